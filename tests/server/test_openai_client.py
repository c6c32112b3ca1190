"""The official client of OpenAI against a real server: what it asks for and reads."""

from __future__ import annotations

import asyncio
import base64
import json

import openai
import pytest
from toys import toy

from pyomni.api import SpeechModel
from pyomni.audio.wav import to_int16
from pyomni.options import SpeechOptions

ASKED = {"model": "tts-1", "voice": "alloy", "input": "Hello there."}
SEED = {"extra_body": {"seed": 7}}


@pytest.fixture(scope="module")
def pcm() -> bytes:
    """What the toy says to `ASKED` with `SEED`."""
    with SpeechModel(toy(), device="cpu", threads=1) as model:
        speech = model.speak(ASKED["input"], options=SpeechOptions(seed=7))
    return to_int16(speech.audio).astype("<i2").tobytes()


@pytest.fixture
def client(running):
    """Make a client of a server with a key."""

    def make(key: str = "secret", **given) -> openai.OpenAI:
        host, port, _ = running(api_key="secret", **given)
        return openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key=key, max_retries=0, timeout=60)

    return make


def test_speech_whole(client, pcm, tmp_path):
    one = client()
    answer = one.audio.speech.with_raw_response.create(**ASKED, **SEED)
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.parse().content
    one.audio.speech.create(**ASKED, response_format="wav", speed=1.0, **SEED).write_to_file(
        tmp_path / "a.wav"
    )
    assert (tmp_path / "a.wav").read_bytes()[44:][: len(pcm)] == pcm


def test_speech_streamed(client, pcm):
    with client().audio.speech.with_streaming_response.create(
        **ASKED, response_format="pcm", **SEED
    ) as response:
        chunks = list(response.iter_bytes(1000))
    assert response.headers["x-audio-sample-rate"] == "24000"
    assert b"".join(chunks) == pcm
    assert len(chunks) > 1


def test_speech_as_events(client, pcm):
    with client().audio.speech.with_streaming_response.create(
        **ASKED, response_format="pcm", stream_format="sse", **SEED
    ) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    assert b"".join(base64.b64decode(e["audio"]) for e in events[:-1]) == pcm
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["total_tokens"] > 0


def test_the_async_client_twice_at_once(client, pcm):
    one = client()

    async def both() -> list[bytes]:
        async with openai.AsyncOpenAI(base_url=one.base_url, api_key="secret") as two:
            ask = [two.audio.speech.create(**ASKED, response_format="pcm", **SEED) for _ in range(2)]
            return [found.content for found in await asyncio.gather(*ask)]

    assert asyncio.run(both()) == [pcm, pcm]


def test_models(client):
    one = client()
    names = [model.id for model in one.models.list()]
    assert names == ["toy", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"]
    assert one.models.retrieve("toy").object == "model"
    with pytest.raises(openai.NotFoundError):
        one.models.retrieve("gpt-9")


def test_a_voice(client, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("PYOMNI_VOICES", str(tmp_path / "voices"))
    one = client(kind="base")
    made = one.audio.voices.create(name="Ann", consent="true", audio_sample=("ann.wav", clip, "audio/wav"))
    assert (made.id, made.object, made.type) == ("ann", "audio.voice", "audio_sample")
    asked = {**ASKED, "voice": {"id": made.id}, "extra_body": {"max_new_tokens": 2}}
    assert one.audio.speech.create(**asked, response_format="wav").content.startswith(b"RIFF")
    assert one.audio.voices.delete(made.id).object == "audio.voice.deleted"


def test_errors_are_those_the_client_knows(client):
    with pytest.raises(openai.AuthenticationError):
        client(key="wrong").models.list()
    one = client()
    with pytest.raises(openai.BadRequestError) as caught:
        one.audio.speech.create(**{**ASKED, "input": " "})
    assert (caught.value.param, caught.value.type) == ("input", "invalid_request_error")
    with pytest.raises(openai.NotFoundError) as caught:
        one.audio.speech.create(**{**ASKED, "voice": "nobody"})
    assert caught.value.param == "voice"
