"""``/v1/audio/transcriptions``: equal to `transcribe`, in each format, and what it refuses."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import openai
import pytest
import soundfile
from http_answers import error_of
from starlette.testclient import TestClient
from toys import omni, toy

from pyomni.api import OmniModel, load
from pyomni.chat_options import ChatOptions
from pyomni.server.app import make_app
from pyomni.server.settings import Settings

URL = "/v1/audio/transcriptions"


def clip(seconds: float = 1.25, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).standard_normal(int(16000 * seconds)) * 0.1
    soundfile.write(buffer, noise, 16000, format=kind)
    return buffer.getvalue()


def aac(seconds: float = 1.0) -> bytes:
    """A file as telephones record it, which libsndfile does not read."""
    buffer = io.BytesIO()
    samples = (np.random.default_rng(1).standard_normal((1, int(16000 * seconds))) * 3000).astype(np.int16)
    with av.open(buffer, "w", format="ipod") as out:
        stream: Any = out.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """A server whose toy, which never ends a text by itself, ends one after 12 tokens."""
    with pytest.MonkeyPatch.context() as patch, OmniModel(omni(), device="cpu", threads=1) as model:
        patch.setattr("pyomni.server.transcriptions.TRANSCRIPT", ChatOptions(greedy=True, max_tokens=12))
        app = make_app(model, Settings(max_audio=2.0, max_upload=1_000_000))
        yield TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        app.state.pyomni.scheduler.close()


@pytest.fixture(scope="module")
def alone() -> Iterator[Any]:
    with OmniModel(omni(), device="cpu", threads=1) as model:
        options = ChatOptions(greedy=True, max_tokens=12)
        yield lambda data, **given: model.transcribe(data, options=options, **given)


def post(client: TestClient, data: bytes | None = None, **fields: Any) -> Any:
    files = {"file": ("clip.wav", clip() if data is None else data)}
    return client.post(URL, data={"model": "whisper-1", **fields}, files=files)


def test_text_is_that_of_transcribe(client, alone):
    answer = post(client)
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"] == alone(clip())
    assert answer.json()["usage"]["output_tokens"] == 12
    flac = post(client, clip(kind="FLAC"), response_format="text", model="omni")
    assert flac.headers["content-type"].startswith("text/plain")
    assert flac.text == alone(clip(kind="FLAC")) + "\n"


@pytest.mark.parametrize(("given", "name"), [("en", "english"), ("German", "german"), ("yue", "cantonese")])
def test_languages_by_code_and_by_name(client, alone, given, name):
    assert post(client, language=given).json()["text"] == alone(clip(), language=name)


def test_a_prompt_is_read(client):
    read = [
        post(client, **given).json()["usage"]["input_tokens"] for given in ({}, {"prompt": "Pyomni, ggml"})
    ]
    assert read[1] > read[0]


def test_one_segment_holds_all(client, alone):
    text = alone(clip())
    whole = post(client, response_format="verbose_json", language="en").json()
    assert (whole["task"], whole["language"], whole["duration"]) == ("transcribe", "en", 1.25)
    assert whole["segments"] == [{"id": 0, "start": 0.0, "end": 1.25, "text": whole["text"]}]
    srt = post(client, response_format="srt")
    assert srt.text == f"1\n00:00:00,000 --> 00:00:01,250\n{text}\n\n"
    vtt = post(client, response_format="vtt")
    assert vtt.headers["content-type"].startswith("text/vtt")
    assert vtt.text == f"WEBVTT\n\n00:00:00.000 --> 00:00:01.250\n{text}\n\n"


def test_what_telephones_record(client):
    answer = post(client, aac(), response_format="verbose_json")
    assert answer.status_code == 200, answer.text
    assert answer.json()["duration"] == pytest.approx(1.0, abs=0.2)


def test_a_stream(client, alone):
    answer = post(client, stream="true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert {event["type"] for event in events[:-1]} == {"transcript.text.delta"}
    assert len(events) > 3
    assert "".join(event["delta"] for event in events[:-1]) == events[-1]["text"]
    assert (events[-1]["type"], events[-1]["text"].strip()) == ("transcript.text.done", alone(clip()))


def test_openais_client(running, alone):
    host, port, _ = running(kind="omni")
    own = openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key="none", max_retries=0)
    asked: Any = {"model": "whisper-1", "file": ("clip.wav", clip())}
    found = own.audio.transcriptions.create(**asked).text
    streamed = list(own.audio.transcriptions.create(**asked, stream=True))
    assert streamed[-1].text.strip() == found
    assert found.startswith(alone(clip()))  # this one goes on until it is cut by its own limit


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": "gpt-9"}, 404, "model"),
        ({"response_format": "xml"}, 400, "response_format"),
        ({"response_format": "srt", "stream": "true"}, 400, "response_format"),
        ({"stream": "maybe"}, 400, "stream"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"temperature": "nan"}, 400, "temperature"),
        ({"temperature": "-1"}, 400, "temperature"),
        ({"language": "q"}, 400, "language"),
        ({"language": "english; now ignore that"}, 400, "language"),
        ({"prompt": "x" * 5000}, 400, "prompt"),
        ({"timestamp_granularities[]": "word"}, 400, "timestamp_granularities"),
    ],
)
def test_bad_fields(client, fields, status, param):
    assert error_of(post(client, **fields), status)["param"] == param


@pytest.mark.parametrize("data", [b"noise", b"RIFF", clip(2.5), clip()[:50], b"#EXTM3U\nfile:///etc/passwd"])
def test_clips_that_are_none(client, data):
    error_of(post(client, data), 400)


def test_forms_that_are_none(client):
    assert error_of(client.post(URL, json={"model": "omni"}), 400)["param"] == "file"
    assert error_of(client.post(URL, data={"model": "omni"}), 400)["param"] == "file"
    assert error_of(post(client, b""), 400)["param"] == "file"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for raw in (
        b"",
        b"x",
        b"--x\r\n",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhm\r\n--x--',
    ):
        error_of(client.post(URL, content=raw, headers=kind), 400)
    error_of(client.post(URL, content=b"x", headers={"Content-Type": "multipart/form-data"}), 400)
    error_of(post(client, bytes(1_100_000)), 413)


def test_a_model_that_speaks_does_not_hear():
    with load(toy(), device="cpu", threads=1) as model:
        app = make_app(model, Settings())
        try:
            answer = post(TestClient(app, base_url="http://127.0.0.1"))
            assert re.search("speaks texts", error_of(answer, 400)["message"])
        finally:
            app.state.pyomni.scheduler.close()
