"""The document of the routes, and what Schemathesis makes of it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from starlette.routing import Route

from pyomni.server.front import PATHS
from pyomni.server.openapi import document
from pyomni.server.settings import Settings
from pyomni.server.tables import FORMATS

LIMITS = {"api_key": "secret", "max_chars": 40}
KEY = {"Authorization": "Bearer secret"}
#: A document cannot say which bytes are a clip, or which languages a model has, so what it allows may be
#: refused; and 413 refuses as well as 400 does.
CHECKS = {
    "positive_data_acceptance": {"enabled": False},
    "negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 413]},
}


class Now:
    """The application of the test that runs, for a schema that is read before any runs; notes statuses."""

    def __init__(self) -> None:
        self.app: Any = None
        self.statuses: set[int] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.statuses.add(message["status"])
            await send(message)

        await self.app(scope, receive, noted)


schema = schemathesis.openapi.from_dict(
    document(Settings(**LIMITS)), config=schemathesis.Config.from_dict({"checks": CHECKS})
)
schema.app = now = Now()


CONVERSE = ("/v1/chat/completions", "/v1/audio/transcriptions")


@pytest.fixture
def app(served, tmp_path, monkeypatch, clip):
    """A toy that clones, with one saved voice in a folder of its own, and one that converses."""
    monkeypatch.setenv("PYOMNI_VOICES", str(tmp_path / "voices"))
    client = served(kind="base", **LIMITS)
    made = {"name": "ann", "consent": True, "audio_sample": base64.b64encode(clip).decode()}
    assert client.post("/v1/audio/voices", json=made, headers=KEY).status_code == 201
    now.statuses = set()
    yield {False: client.app, True: served(kind="omni", **LIMITS).app}
    assert {status // 100 for status in now.statuses} == {2, 4}, "some were to be served, and some refused"


@schema.parametrize()
@settings(
    max_examples=10, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_every_answer_is_as_described(app, clip, case):
    now.app = app[case.path in CONVERSE]
    # what a document allows is mostly not here: some of it becomes what is, and short
    here = {"model": "tts-1", "voice": "ann", "language": "auto", "name": "bea"}
    here |= dict.fromkeys(("instruct", "instructions", "ref_text"), "")
    here |= dict.fromkeys(("ref_audio", "audio_sample"), base64.b64encode(clip).decode())
    body = case.body
    if isinstance(body, dict):
        known = [key for key in here if isinstance(body.get(key), str) and body[key].strip()]
        body.update({key: here[key] for key in known})
        if body.get("audio_sample") == "":
            body["audio_sample"] = here["audio_sample"]
        most = body.get("max_new_tokens")
        if "input" in body and (most is None or (type(most) is int and 0 < most < 2**31)):
            body["max_new_tokens"] = 2
        messages = body.get("messages")
        if isinstance(messages, list) and messages and all(isinstance(one, dict) for one in messages):
            body.update(messages=[{"role": "user", "content": "Hi."}], max_tokens=2)
        if isinstance(body.get("file"), str | bytes):
            body.update(file=clip, response_format="text")
    if isinstance(case.path_parameters.get("id"), str):
        case.path_parameters["id"] = "tts-1" if "models" in case.path else "ann"
    case.call_and_validate(headers=KEY)


def test_every_route_is_described(served):
    client = served()
    paths = client.get("/openapi.json").json()["paths"]
    found = {(method.upper(), path) for path, one in paths.items() for method in one}
    api = [route for route in client.app.routes if isinstance(route, Route)]
    routes = [route for route in api if route.path not in PATHS]  # the page's files
    assert found == {(method, route.path) for route in routes for method in route.methods - {"HEAD"}}


def test_the_document_allows_what_the_tables_do(served):
    body = (
        served(max_chars=77).get("/openapi.json").json()["paths"]["/v1/audio/speech"]["post"]["requestBody"]
    )
    fields = body["content"]["application/json"]["schema"]["properties"]
    assert fields["input"]["maxLength"] == 77
    assert fields["response_format"]["enum"] == [*FORMATS, None]
    assert (fields["seed"]["minimum"], fields["seed"]["maximum"]) == (0, 2**64 - 1)
