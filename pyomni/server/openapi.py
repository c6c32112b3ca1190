"""``GET /openapi.json``: the routes, in OpenAPI 3.1, from the tables that requests are checked with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from pyomni import __version__
from pyomni.server.doors import OPEN
from pyomni.server.failures import FAILURES
from pyomni.server.schema import Schema, optional
from pyomni.server.settings import Settings
from pyomni.server.tables import BATCH, FORMATS, VOICE, speech_schema

__all__ = ["document", "openapi"]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
#: Statuses of everything that waits for the model.
SPEAKS = (404, 429, 503, 504)


@dataclass(frozen=True)
class Operation:
    """A method of a path.

    Attributes
    ----------
    words : str
    answers : dict
        Schemas by status; a dict of them by media type where it is not JSON.
    body : dict
        Schemas by media type.
    failures : tuple of int
        Statuses of errors besides those that any request may get.
    """

    words: str
    answers: dict[int, Any]
    body: dict[str, Schema] = field(default_factory=dict)
    failures: tuple[int, ...] = ()


def thing(**properties: Schema) -> Schema:
    """Return the schema of an object that has these, and maybe others."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def listed(of: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": of}


ERROR = thing(
    error=thing(message=TEXT, type=TEXT, code=TEXT, param={"type": ["string", "null"]}),
)
VOICE_MADE = thing(id=TEXT, name=TEXT, kind={"enum": ["preset", "saved"]})
ABOUT = thing(version=TEXT, model=TEXT, kind=TEXT, sample_rate=NUMBER, max_chars=NUMBER)
#: What must be there; what else a conversation may ask for is in docs/serve.md.
CHAT = thing(messages={"type": "array", "items": {"type": "object"}, "minItems": 1})
ANSWERED = thing(
    id=TEXT, object={"const": "chat.completion"}, model=TEXT, choices=listed(thing(index=NUMBER))
)
MODEL = thing(id=TEXT, object={"const": "model"}, created=NUMBER, owned_by=TEXT)
NAMED = thing(id=TEXT, name=TEXT)


def _operations(settings: Settings) -> dict[tuple[str, str], Operation]:
    sound: dict[str, Schema] = {media: {} for media in dict.fromkeys(FORMATS.values())}
    fields = VOICE["properties"]
    file = {"type": "string", "contentMediaType": "application/octet-stream", "description": "A clip."}
    form = {
        **VOICE,
        "properties": {
            "name": fields["name"],
            "consent": {"type": "string", "const": "true"},
            "audio_sample": file,
            "ref_text": fields["ref_text"],
        },
        "required": ["name", "consent", "audio_sample"],
    }
    speech: dict[str, Any] = {**sound, "text/event-stream": thing(data=TEXT)}
    return {
        ("POST", "/v1/audio/speech"): Operation(
            "Speak a text.",
            {200: speech},
            {"application/json": speech_schema(settings.max_chars)},
            SPEAKS,
        ),
        ("POST", "/v1/audio/speech/batch"): Operation(
            "Speak texts side by side; what became of each, in order, with sound as base64.",
            {200: thing(results=listed(thing(index=NUMBER, status=NUMBER)))},
            {"application/json": BATCH},
            SPEAKS,
        ),
        ("GET", "/v1/audio/voices"): Operation(
            "The model's speakers and the saved voices.", {200: thing(voices=listed(VOICE_MADE))}
        ),
        ("POST", "/v1/audio/voices"): Operation(
            "Clone a clip and keep the voice.",
            {201: VOICE_MADE},
            {"application/json": VOICE, "multipart/form-data": form},
            (429, 503, 507),
        ),
        ("DELETE", "/v1/audio/voices/{id}"): Operation(
            "Remove a saved voice.", {200: thing(id=TEXT, deleted={"const": True})}, {}, (400, 404, 507)
        ),
        ("POST", "/v1/chat/completions"): Operation(
            "Go on with a conversation.",
            {200: {"application/json": ANSWERED, "text/event-stream": TEXT}},
            {"application/json": CHAT},
            SPEAKS,
        ),
        ("POST", "/v1/audio/transcriptions"): Operation(
            "Write down what a clip says.",
            {200: {"application/json": thing(text=TEXT), "text/plain": TEXT, "text/event-stream": TEXT}},
            {"multipart/form-data": thing(file=file)},
            SPEAKS,
        ),
        ("GET", "/v1/pyomni/about"): Operation("What the page needs to know.", {200: ABOUT}, {}, (400,)),
        ("GET", "/v1/audio/models"): Operation(
            "The model, as Open WebUI reads it.", {200: thing(models=listed(NAMED))}
        ),
        ("GET", "/v1/models"): Operation(
            "The model, and the names of OpenAI's that it answers to.",
            {200: thing(object={"const": "list"}, data=listed(MODEL))},
        ),
        ("GET", "/v1/models/{id}"): Operation("One of them.", {200: MODEL}, {}, (404,)),
        ("GET", "/health"): Operation("The process answers.", {200: thing(status={"const": "ok"})}),
        ("GET", "/ready"): Operation(
            "It takes requests.",
            {200: thing(status={"const": "ready"}), 503: thing(status={"const": "stopping"})},
        ),
        ("GET", "/metrics"): Operation("Counters, as Prometheus reads them.", {200: {"text/plain": TEXT}}),
        ("GET", "/openapi.json"): Operation("This document.", {200: thing(openapi=TEXT, paths={})}),
    }


def document(settings: Settings) -> dict[str, Any]:
    """Return the document of a server with such settings."""
    paths: dict[str, Any] = {}
    for (method, path), operation in _operations(settings).items():
        paths.setdefault(path, {})[method.lower()] = _described(operation, path)
    components: dict[str, Any] = {"schemas": {"Error": ERROR}}
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "pyomni", "version": __version__},
        "paths": paths,
        "components": components,
    }
    if settings.api_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
    return found


async def openapi(request: Request) -> JSONResponse:
    """``GET /openapi.json``."""
    return JSONResponse(document(request.app.state.pyomni.settings))


def _described(operation: Operation, path: str) -> dict[str, Any]:
    answers: dict[str, dict[str, Any]] = {}
    for status, answer in operation.answers.items():
        media = answer if any("/" in key for key in answer) else {"application/json": answer}
        answers[str(status)] = {
            "description": "Done." if status < 300 else "Not now.",
            "headers": {"X-Request-ID": {"schema": TEXT, "required": True}},
            "content": {name: {"schema": schema} if schema else {} for name, schema in media.items()},
        }
    for status, words in _failures((401, 413, *((400,) if operation.body else ()), *operation.failures)):
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        answers.setdefault(str(status), {"description": words, "content": content})
    found: dict[str, Any] = {"summary": operation.words, "responses": answers}
    if path in OPEN:
        found["security"] = []
    if "{id}" in path:
        found["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": TEXT}]
    if operation.body:
        bodies = {media: {"schema": _with_nulls(schema)} for media, schema in operation.body.items()}
        found["requestBody"] = {"required": True, "content": bodies}
    return found


def _failures(statuses: Iterable[int]) -> list[tuple[int, str]]:
    """Return statuses of errors and the codes that come with them."""
    return [
        (status, ", ".join(dict.fromkeys(f.code for _, f in FAILURES if f.status == status)))
        for status in sorted(set(statuses))
    ]


def _with_nulls(schema: Schema) -> Schema:
    needed = schema.get("required", ())
    fields = {name: one if name in needed else optional(one) for name, one in schema["properties"].items()}
    return {**schema, "properties": fields}
