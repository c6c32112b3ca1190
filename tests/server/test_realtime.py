"""`/v1/realtime` on a toy, over starlette's test client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soxr
from realtime_client import decoded, encoded, loud, loudness, silent
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

import pyomni
from pyomni import ChatOptions, SpeechOptions
from pyomni.audio.hearing import Hearing
from pyomni.audio.wav import to_int16
from pyomni.server.realtime.heard import said
from pyomni.server.realtime.sound import RATE

URL = "ws://127.0.0.1/v1/realtime"  # starlette's client has another host of its own
PUSH = {"audio": {"input": {"turn_detection": None}}}


@pytest.fixture
def talking(served: Callable[..., TestClient]) -> Callable[..., TestClient]:
    """Make a client of a toy's application, whose sessions take every noise for speech."""

    def make(load: Any = loudness, **given: Any) -> TestClient:
        client = served(kind="omni", **given)
        client.app.state.realtime.load = load
        return client

    return make


class Socket:
    """A session over starlette's test client."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.created = self.until("session.created")[-1]

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send_json({"type": kind, **fields})

    def until(self, kind: str) -> list[dict[str, Any]]:
        found = [self.socket.receive_json()]
        while found[-1]["type"] != kind:
            found.append(self.socket.receive_json())
        return found

    def push_to_talk(self, **session: Any) -> None:
        self.send("session.update", session={**PUSH, "seed": 5, "max_output_tokens": 4, **session})
        self.until("session.updated")

    def says(self, *content: Any) -> None:
        parts = [{"type": "input_text", "text": one} if isinstance(one, str) else one for one in content]
        item = {"type": "message", "role": "user", "content": parts}
        self.send("conversation.item.create", item=item)
        self.until("conversation.item.done")

    def answer(self, **response: Any) -> list[dict[str, Any]]:
        self.send("response.create", response=response)
        return self.until("response.done")


def transcript(events: list[dict[str, Any]]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "response.output_audio_transcript.delta")


def test_an_answer_is_that_of_reply(talking):
    one = talking()
    with one.websocket_connect(URL) as socket:
        session = Socket(socket)
        assert session.created["session"]["model"] == "omni"
        session.push_to_talk(instructions="Be brief.", audio={"output": {"voice": "ethan"}, **PUSH["audio"]})
        session.says("Hello", {"type": "input_audio", "audio": encoded(loud(0.5))})
        events = session.answer()
    assert one.app.state.realtime.sessions == 0
    one.app.state.pyomni.scheduler.close()
    sound = loud(0.5).astype(np.float32) / 32768
    content = [{"type": "text", "text": "Hello"}, {"type": "audio", "audio": (sound, RATE)}]
    alone = one.app.state.pyomni.model.reply(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}],
        speak=True,
        voice="ethan",
        options=ChatOptions(seed=5, max_tokens=4),
        speech_options=SpeechOptions(seed=5),
    )
    assert transcript(events) == alone.text
    assert np.array_equal(decoded(events), to_int16(alone.speech.audio))
    usage = events[-1]["response"]["usage"]
    assert usage["input_tokens"] == alone.n_prompt
    assert usage["output_token_details"] == {"text_tokens": 4, "audio_tokens": len(alone.speech.codes)}


def test_only_what_is_new_is_read(talking, monkeypatch):
    one, heard = talking(), []
    load = Hearing.load
    monkeypatch.setattr(
        Hearing, "load", lambda self, *given, **how: heard.append(given) or load(self, *given, **how)
    )
    with one.websocket_connect(URL) as socket:
        session = Socket(socket)
        session.push_to_talk(output_modalities=["text"])
        before = 0
        for seed in range(3):
            session.send("input_audio_buffer.append", audio=encoded(loud(0.4 + seed / 10)))
            session.send("input_audio_buffer.commit")
            session.until("conversation.item.done")
            usage = session.answer()[-1]["response"]["usage"]
            assert usage["input_token_details"]["cached_tokens"] >= before
            assert usage["input_tokens"] > before
            before = usage["input_tokens"]
    assert len(heard) == 3  # each clip once, not once for each answer


def test_two_sessions_are_answered_at_once_and_as_alone(talking):
    one = talking()
    with one.websocket_connect(URL) as a, one.websocket_connect(URL) as b:
        sessions = Socket(a), Socket(b)
        for session in sessions:
            session.push_to_talk()
            session.says("Hello")
            session.send("response.create")
        answers = [session.until("response.done") for session in sessions]
    assert transcript(answers[0]) == transcript(answers[1]) != ""
    assert np.array_equal(decoded(answers[0]), decoded(answers[1]))


def test_who_speaks_into_an_answer_frees_its_lane(talking):
    one = talking(lanes=1)
    with one.websocket_connect(URL) as socket:
        session = Socket(socket)
        session.send("session.update", session={"seed": 5, "max_output_tokens": 60_000})
        session.says("Talk for hours.")
        session.send("response.create")
        begun = session.until("response.output_audio.delta")
        item = begun[-1]["item_id"]
        session.send("input_audio_buffer.append", audio=encoded(loud(0.2)))
        events = session.until("conversation.item.truncated")
        names = [event["type"] for event in events]
        rest = events[names.index("input_audio_buffer.speech_started") :]
        assert not [event for event in rest if event["type"] == "response.output_audio.delta"]
        done = next(event for event in rest if event["type"] == "response.done")
        assert done["response"]["status_details"]["reason"] == "turn_detected"
        made = len(decoded([*begun, *events])) * 1000 // RATE
        assert events[-1]["item_id"] == item
        assert events[-1]["audio_end_ms"] <= made
        # the lane is free: what is said next is answered, from what was heard
        session.send("session.update", session={"max_output_tokens": 4})
        session.send("input_audio_buffer.append", audio=encoded(silent(1)))
        assert session.until("response.done")[-1]["response"]["usage"]["output_tokens"] > 4
        session.send("conversation.item.retrieve", item_id=item)
        shown = session.until("conversation.item.retrieved")[-1]["item"]["content"][0]["transcript"]
        whole = transcript([*begun, *events])
        assert shown == said(whole, events[-1]["audio_end_ms"], made, False)


def test_a_voice_is_heard_and_answered(talking):
    with pyomni.load(device="cpu", threads=1) as model:
        spoken = model.speak("Good morning to you.", options=SpeechOptions(seed=1))
        speech = to_int16(soxr.resample(spoken.audio, model.sample_rate, RATE))
    from pyomni.server.realtime.hearing import silero

    one = talking(load=silero)
    with one.websocket_connect(URL) as socket:
        session = Socket(socket)
        assert session.created["session"]["audio"]["input"]["turn_detection"]["threshold"] == 0.5
        session.send("session.update", session={"max_output_tokens": 4, "output_modalities": ["text"]})
        pcm = np.concatenate([silent(0.5), speech, silent(1)])
        for begin in range(0, len(pcm), 2400):
            session.send("input_audio_buffer.append", audio=encoded(pcm[begin : begin + 2400]))
        names = [event["type"] for event in session.until("response.done")]
        assert names.count("input_audio_buffer.speech_started") == 1
        assert names.count("input_audio_buffer.committed") == 1
        assert "response.output_text.delta" in names


def test_a_client_that_hangs_up_leaves_nothing_behind(talking):
    one = talking(lanes=1)
    with one.websocket_connect(URL) as socket:
        session = Socket(socket)
        session.send("session.update", session={"max_output_tokens": 60_000})
        session.send("response.create")
        session.until("response.output_audio.delta")
    assert one.app.state.realtime.sessions == 0
    with one.websocket_connect(URL) as socket:
        session = Socket(socket)
        session.push_to_talk()
        assert session.answer()[-1]["response"]["usage"]["output_tokens"] > 4
    assert one.app.state.pyomni.scheduler.load() == (0, 0)


def test_a_session_nobody_uses_ends(talking):
    one = talking()
    one.app.state.realtime.idle_s = 0.01
    with one.websocket_connect(URL) as socket:
        session = Socket(socket)
        assert session.until("error")[-1]["error"]["code"] == "session_expired"
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_binary_and_too_large_messages_are_told(talking):
    one = talking(max_upload=100_000)
    with one.websocket_connect(URL) as socket:
        session = Socket(socket)
        socket.send_bytes(b"\0" * 10)
        assert session.until("error")[-1]["error"]["code"] == "invalid_event"
        session.send("input_audio_buffer.append", audio="A" * 200_000)
        assert session.until("error")[-1]["error"]["code"] == "too_large"
        session.push_to_talk()


@pytest.mark.parametrize(
    ("settings", "path", "headers", "status"),
    [
        ({"api_key": "right"}, URL, {}, 401),
        ({"api_key": "right"}, URL, {"authorization": "Bearer wrong"}, 401),
        ({}, URL, {"origin": "https://elsewhere.example"}, 401),
        ({}, f"{URL}?model=other", {}, 404),
    ],
)
def test_who_may_not_open_a_session(talking, settings, path, headers, status):
    one = talking(**settings)
    with (
        pytest.raises(WebSocketDenialResponse) as caught,
        one.websocket_connect(path, headers=headers),
    ):
        pass
    assert caught.value.status_code == status
    assert caught.value.json()["error"]["message"]
    assert one.app.state.realtime.sessions == 0


def test_no_more_sessions_than_there_may_be(talking):
    one = talking()
    one.app.state.realtime.most = 1
    with one.websocket_connect(f"{URL}?model=gpt-realtime"):
        with pytest.raises(WebSocketDenialResponse) as caught, one.websocket_connect(URL):
            pass
        assert caught.value.status_code == 429
    with one.websocket_connect(URL, subprotocols=["realtime"]) as socket:
        assert socket.accepted_subprotocol == "realtime"


def test_sessions_are_counted(talking):
    one = talking()
    with one.websocket_connect(URL) as socket:
        Socket(socket)
        text = one.get("/metrics").text
    assert "pyomni_sessions 1\n" in text
    assert "pyomni_sessions_total 1\n" in text
    assert "pyomni_sessions 0\n" in one.get("/metrics").text
