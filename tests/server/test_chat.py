"""``/v1/chat/completions``: what it answers."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import openai
import pytest
from chat_requests import ALOUD, ASK, URL, b64, clip, heard, png, seen, user
from films import video
from http_answers import decoded, error_of
from toys import omni

from pyomni.api import OmniModel
from pyomni.audio.wav import to_int16
from pyomni.chat_options import ChatOptions
from pyomni.options import SpeechOptions
from pyomni.receipt import Receipt


@pytest.fixture(scope="module")
def model():
    with OmniModel(omni(), device="cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def alone(model):
    """What `reply` says of the messages of a request."""

    def reply(messages: Any, **given: Any):
        options = ChatOptions(seed=7, temperature=0.9, max_tokens=9)
        return model.reply(messages, options=options, **given)

    return reply


@pytest.fixture(scope="module")
def aloud(model):
    """What `reply` says aloud to `ALOUD`."""
    options = ChatOptions(seed=7, temperature=0.9, max_tokens=2)
    spoken = SpeechOptions(seed=7)
    return model.reply(ALOUD["messages"], speak=True, voice="aiden", options=options, speech_options=spoken)


def events_of(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_text_is_that_of_reply_and_nothing_that_speaks_is_loaded(served, alone):
    client = served(kind="omni")
    answer = client.post(URL, json=ASK)
    assert answer.status_code == 200, answer.text
    body, reply = answer.json(), alone(ASK["messages"])
    [choice] = body["choices"]
    message = {"role": "assistant", "content": reply.text, "refusal": None}
    assert choice == {"index": 0, "message": message, "logprobs": None, "finish_reason": "length"}
    assert body["object"] == "chat.completion"
    assert body["model"] == "omni"
    assert body["usage"]["completion_tokens"] == 9
    assert body["usage"]["prompt_tokens"] == reply.n_prompt
    assert set(client.app.state.pyomni.model.info["loaded"]) == {"thinker"}


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "opus", "pcm16"])
def test_sound_is_that_of_reply(served, aloud, kind):
    answer = served(kind="omni").post(URL, json={**ALOUD, "audio": {"voice": "aiden", "format": kind}})
    assert answer.status_code == 200, answer.text
    message, reply = answer.json()["choices"][0]["message"], aloud
    sound = message["audio"]
    assert set(sound) == {"id", "data", "expires_at", "transcript"}
    assert (message["content"], sound["transcript"]) == (None, reply.text)
    data = base64.b64decode(sound["data"])
    expected = to_int16(reply.speech.audio)
    if kind == "pcm16":
        assert data == expected.astype("<i2").tobytes()
    elif kind in ("wav", "flac"):
        assert np.array_equal(decoded(data)[0], expected)
    else:
        pcm, rate = decoded(data)
        assert abs(len(pcm) / rate - reply.speech.seconds) < 0.12
    receipt = Receipt.from_dict(json.loads(answer.headers["x-pyomni-receipt"]))
    assert receipt == reply.speech.receipt.public()
    assert answer.json()["usage"]["completion_tokens_details"]["audio_tokens"] == len(reply.speech.codes)


def test_a_stream_of_text(served, alone):
    body = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
    answer = served(kind="omni").post(URL, json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    chunks = events_of(answer.text)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas[0]["role"] == "assistant"
    assert len(deltas) > 4
    assert "".join(delta.get("content", "") for delta in deltas) == alone(ASK["messages"]).text
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None] * (len(chunks) - 2) + ["length"]
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"]) == ([], 9)


def test_a_stream_of_sound(served, aloud):
    answer = served(kind="omni").post(URL, json={**ALOUD, "audio": {"voice": "aiden"}, "stream": True})
    sounds = [chunk["choices"][0]["delta"].get("audio") for chunk in events_of(answer.text)]
    sounds = [sound for sound in sounds if sound]
    assert len({sound["id"] for sound in sounds}) == 1
    assert "transcript" in sounds[0]
    assert "".join(sound.get("transcript", "") for sound in sounds) == aloud.text
    data = b"".join(base64.b64decode(sound.get("data", "")) for sound in sounds)
    assert data == to_int16(aloud.speech.audio).astype("<i2").tobytes()
    assert "expires_at" in sounds[-1]


def test_media_are_heard_and_seen(served, alone):
    url = f"data:audio/wav;base64,{b64(clip(0.5))}"
    asked = user(
        {"type": "text", "text": "What?"},
        heard(),
        seen(png()),
        {"type": "audio_url", "audio_url": {"url": url}},
    )
    answer = served(kind="omni").post(URL, json={**ASK, "messages": asked})
    assert answer.status_code == 200, answer.text
    own = user({"text": "What?"}, {"audio": clip()}, {"image": png()}, {"audio": clip(0.5)})
    assert answer.json()["choices"][0]["message"]["content"] == alone(own).text


def test_a_video_is_seen_and_heard(served, alone):
    data = video(20, sound=30_000)
    body = {**ASK, "messages": user(seen(data, "video")), "mm_processor_kwargs": {"use_audio_in_video": True}}
    answer = served(kind="omni").post(URL, json=body)
    assert answer.status_code == 200, answer.text
    own = alone(user({"video": data}), audio_in_video=True)
    assert answer.json()["choices"][0]["message"]["content"] == own.text


def test_the_id_of_a_sound_stands_for_its_words(served):
    client = served(kind="omni")
    sound = client.post(URL, json=ALOUD).json()["choices"][0]["message"]["audio"]
    turns = lambda turn: [*ASK["messages"], turn, {"role": "user", "content": "And?"}]  # noqa: E731
    by_id = client.post(
        URL, json={**ASK, "messages": turns({"role": "assistant", "audio": {"id": sound["id"]}})}
    )
    by_words = client.post(
        URL, json={**ASK, "messages": turns({"role": "assistant", "content": sound["transcript"]})}
    )
    assert by_id.json()["choices"] == by_words.json()["choices"]
    assert by_id.json()["usage"]["prompt_tokens"] == by_words.json()["usage"]["prompt_tokens"]
    unknown = client.post(URL, json={**ASK, "messages": turns({"role": "assistant", "audio": {"id": "x"}})})
    error_of(unknown, 404)


def test_stop_and_openais_voices_and_names(served, alone):
    client = served(kind="omni")
    whole = alone(ASK["messages"]).text
    answer = client.post(URL, json={**ASK, "stop": whole[3:5], "model": "gpt-audio"}).json()
    assert answer["choices"][0]["message"]["content"] == whole[: whole.index(whole[3:5])]
    assert answer["choices"][0]["finish_reason"] == "stop"
    sounds = [
        client.post(URL, json={**ALOUD, "audio": {"voice": voice, "format": "pcm16"}}).json()
        for voice in ("chelsie", "alloy", {"id": "Chelsie"})
    ]
    assert len({sound["choices"][0]["message"]["audio"]["data"] for sound in sounds}) == 1


def test_tools_reach_the_template(served, monkeypatch):
    client = served(kind="omni")
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    error_of(client.post(URL, json={**ASK, "tools": tools}), 400)  # the toy's template knows none
    monkeypatch.setattr("pyomni.api.OmniModel.takes_tools", True)
    taken = []
    ids = client.app.state.pyomni.model._asker._template.ids

    def spied(messages: Any, **variables: Any) -> list[int]:
        taken.append((messages, variables))
        return ids(messages, **variables)

    monkeypatch.setattr(client.app.state.pyomni.model._asker._template, "ids", spied)
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    turns = [
        *ASK["messages"],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ]
    for choice, expected in (("auto", {"tools": tools}), ("none", {})):
        body = {**ASK, "messages": turns, "tools": tools, "tool_choice": choice}
        assert client.post(URL, json=body).status_code == 200
        messages, variables = taken.pop()
        assert variables == expected
        assert messages[1].extra == {"tool_calls": [call]}


def test_openais_client(running):
    host, port, _ = running(kind="omni")
    client = openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key="none", max_retries=0)
    asked = {**ASK, "model": "omni"}
    whole = client.chat.completions.create(**asked)
    streamed = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = list(streamed)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage.model_copy(
        update={"prompt_tokens_details": chunks[-1].usage.prompt_tokens_details}
    )
    aloud = client.chat.completions.create(**{**ALOUD, "model": "omni"})
    assert base64.b64decode(aloud.choices[0].message.audio.data).startswith(b"RIFF")
    assert text.startswith(aloud.choices[0].message.audio.transcript)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**{**asked, "model": "gpt-9"})
    assert [one.id for one in client.models.list()] == ["omni"]


def test_models_of_the_other_kind_say_so(served):
    error = error_of(served().post(URL, json=ASK), 400)
    assert error["code"] == "unsupported_by_model"
    assert "speaks texts" in error["message"]
    client = served(kind="omni")
    for path in ("/v1/audio/speech", "/v1/audio/speech/batch", "/v1/audio/voices"):
        assert "converses" in error_of(client.post(path, json={"input": "Hi."}), 400)["message"]
    voices = client.get("/v1/audio/voices").json()["voices"]
    assert [voice["id"] for voice in voices] == ["chelsie", "ethan", "aiden"]


def test_metrics_and_readiness(served):
    client = served(kind="omni")
    client.post(URL, json=ALOUD)
    client.post(URL, json={})
    text = client.get("/metrics").text
    for row in (
        "requests_total 2",
        "requests_failed_total 1",
        "answers_total 1",
        "tokens_total 2",
        "lanes 2",
    ):
        assert f"\npyomni_{row}\n" in text
    assert "pyomni_frames_total 0\n" not in text
    assert client.get("/ready").status_code == 200
    client.app.state.pyomni.scheduler.drain()
    assert client.get("/ready").status_code == 503
    error_of(client.post(URL, json=ASK), 503)
