"""The socket that takes text in pieces: its dialects, what it refuses, and who leaves."""

from __future__ import annotations

import io
import json
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
from starlette.websockets import WebSocketDisconnect
from toys import toy, variant
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from pyomni.api import SpeechModel
from pyomni.audio.tempo import stretched
from pyomni.audio.wav import to_int16
from pyomni.options import SpeechOptions

PATH = "/v1/audio/speech/stream"
URL = f"ws://127.0.0.1{PATH}"
PIECES = [" ", "Hello ", "there. This", " comes in ", "pieces."]
CONFIG = {"type": "session.config", "response_format": "pcm", "stream_audio": True, "seed": 7}


@pytest.fixture(scope="module")
def alone():
    with SpeechModel(toy(), device="cpu", threads=1) as model:
        return model.stream(iter(PIECES), options=SpeechOptions(seed=7)).read()


def say(socket, *pieces: str, done: bool = True) -> None:
    for piece in pieces:
        socket.send_json({"type": "input.text", "text": piece})
    if done:
        socket.send_json({"type": "input.done"})


def heard(socket, last: str = "session.done") -> tuple[list[dict], bytes]:
    """Return the messages up to one of a type, and the sound between them."""
    messages, sound = [], b""
    while True:
        message = socket.receive()
        assert message["type"] == "websocket.send", message
        if message.get("bytes") is not None:
            sound += message["bytes"]
            continue
        messages.append(json.loads(message["text"]))
        if messages[-1]["type"] in (last, "error"):
            return messages, sound


def refused(socket) -> tuple[dict, int]:
    """Return the error that ends a connection, and the code it is closed with."""
    messages, _ = heard(socket, "error")
    error = messages[-1]["error"]
    assert set(error) == {"message", "type", "code", "param"}
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_text()
    return error, closed.value.code


def idle(state) -> None:
    """Wait until no lane is held."""
    while state.scheduler.load() != (0, 0):
        threading.Event().wait(0.01)


def test_the_sound_is_that_of_the_stream_of_the_pieces(served, alone):
    client = served()
    with client.websocket_connect(URL) as socket:
        socket.send_json(CONFIG)
        for index in range(2):  # one connection, two utterances
            say(socket, *PIECES)
            messages, sound = heard(socket)
            assert [m["type"] for m in messages] == ["audio.start", "audio.done", "session.done"]
            assert {m["utterance_index"] for m in messages} == {index}
            assert messages[0]["sample_rate"] == alone.sample_rate
            assert messages[1]["total_bytes"] == len(sound)
            assert messages[1]["finish_reason"] == alone.finish_reason
            assert sound == to_int16(alone.audio).astype("<i2").tobytes()
        socket.send_json({"type": "session.close"})
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        assert closed.value.code == 1000


def test_sound_goes_out_before_the_text_is_all_there(served, alone):
    with served().websocket_connect(URL) as socket:
        socket.send_json(CONFIG)
        say(socket, *PIECES[:-1], done=False)
        assert socket.receive_json()["type"] == "audio.start"
        first = socket.receive_bytes()
        say(socket, PIECES[-1])
        _, rest = heard(socket)
        assert first + rest == to_int16(alone.audio).astype("<i2").tobytes()


def test_one_file_at_another_speed(served, alone):
    with served().websocket_connect(URL) as socket:
        socket.send_json({"type": "session.config", "seed": 7, "speed": 2, "split_granularity": "sentence"})
        say(socket, "".join(PIECES))
        socket.receive_json()
        data = socket.receive_bytes()
        heard(socket)
    pcm, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    assert np.array_equal(pcm, to_int16(np.concatenate(list(stretched([alone.audio], 24000, 2)))))


def test_an_utterance_without_a_word_and_one_that_comes_while_another_is_spoken(served, alone):
    with served().websocket_connect(URL) as socket:
        socket.send_json(CONFIG)
        say(socket, " ")
        assert heard(socket)[0] == [{"type": "session.done", "utterance_index": 0, "total_sentences": 0}]
        say(socket, *PIECES)
        say(socket, *PIECES)
        socket.send_json({"type": "session.close"})
        sounds = [heard(socket)[1] for _ in range(2)]
        assert sounds[0] == sounds[1] == to_int16(alone.audio).astype("<i2").tobytes()
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


def test_a_cancel_ends_the_utterance_and_the_next_is_whole(served):
    client = served(kind="custom_voice", lanes=1)
    with SpeechModel(variant("custom_voice"), device="cpu", threads=1) as model:
        want = model.stream(iter(["Two."]), options=SpeechOptions(seed=7)).read()
    with client.websocket_connect(URL) as socket:
        socket.send_json(CONFIG)
        for done in (False, True):  # while its text is late, and while nothing more is to come
            say(socket, "Hello there. " * 40, done=done)
            socket.receive_json()
            assert socket.receive_bytes()
            socket.send_json({"type": "input.cancel"})
            messages, _ = heard(socket)
            assert messages[-2]["finish_reason"] == "cancelled"
        assert client.app.state.pyomni.scheduler.cancelled == 2
        say(socket, "Two.")
        _, sound = heard(socket)
        assert sound == to_int16(want.audio).astype("<i2").tobytes()


def test_nari(served, alone):
    with served().websocket_connect(URL, subprotocols=["nari.speech.v1"]) as socket:
        assert socket.accepted_subprotocol == "nari.speech.v1"
        hello = socket.receive_json()
        assert hello["type"] == "session.created"
        assert hello["audio"] == {"encoding": "pcm_s16le", "sample_rate": 24000, "channels": 1}
        socket.send_json({"type": "request.start", "seed": 7})
        for n, piece in enumerate(PIECES):
            socket.send_json({"type": "input_text.append", "sequence": n, "text": piece})
        socket.send_json({"type": "input_text.end", "sequence": len(PIECES)})
        messages, sound = heard(socket, "response.done")
        assert sound == to_int16(alone.audio).astype("<i2").tobytes()
        acks = [m["sequence"] for m in messages if m["type"] == "input_text.ack"]
        assert acks == list(range(len(acks)))
        assert messages[0] == {"type": "request.configured"}
        assert messages[-1]["stop_reason"] == alone.finish_reason
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        assert closed.value.code == 1000


TEXT = {"type": "input.text", "text": "Hi."}


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        ([TEXT], "type", 1008),
        ([{"type": "input.done"}], "type", 1008),
        ([{"type": "sing"}], "type", 1008),
        ([{}], "type", 1008),
        ([[]], None, 1008),
        ([{**CONFIG, "voice": "nobody"}], "voice", 1008),
        ([{**CONFIG, "speaker": "nobody"}], "voice", 1008),
        ([{**CONFIG, "language": "klingon"}], None, 1008),
        ([{**CONFIG, "speed": 9}], "speed", 1008),
        ([{**CONFIG, "stream_audio": 1}], "stream_audio", 1008),
        ([{**CONFIG, "split_granularity": "word"}], "split_granularity", 1008),
        ([{**CONFIG, "ref_audio": "aGVsbG8="}], None, 1008),
        ([CONFIG, {"type": "input.text", "text": 1}], "text", 1008),
        ([CONFIG, {"type": "input.text", "text": "\ud800"}], "text", 1008),
        ([CONFIG, {"type": "input.text", "text": "a" * 101}], "text", 1009),
        ([CONFIG, TEXT, CONFIG], "type", 1008),
        ([CONFIG, TEXT, {"type": "input.text", "text": "a" * 99}], "text", 1009),
    ],
)
def test_what_is_refused(served, messages, param, code):
    client = served(max_chars=100, kind="custom_voice")
    with client.websocket_connect(URL) as socket:
        for message in messages:
            socket.send_text(json.dumps(message))
        error, closed = refused(socket)
    assert (error["param"], closed) == (param, code)
    idle(client.app.state.pyomni)


@pytest.mark.parametrize("raw", ["", "{", "[" * 100_000])
def test_messages_that_are_not_json(served, raw):
    with served().websocket_connect(URL) as socket:
        socket.send_text(raw)
        assert refused(socket)[1] == 1008


@pytest.mark.parametrize("sequence", [1, None, "0", True])
def test_nari_refuses_another_sequence(served, sequence):
    with served().websocket_connect(URL, subprotocols=["nari.speech.v1"]) as socket:
        socket.receive_json()
        socket.send_json({"type": "request.start"})
        socket.send_json({"type": "input_text.append", "sequence": sequence, "text": "Hi."})
        assert refused(socket)[0]["param"] == "sequence"


def test_text_that_does_not_come_frees_the_lane(served):
    client = served(text_wait=0.3, lanes=1, kind="custom_voice")
    with client.websocket_connect(URL) as socket:
        socket.send_json(CONFIG)
        say(socket, "Hello there, ", done=False)
        error, code = refused(socket)
        assert (error["code"], code) == ("deadline_exceeded", 1011)
    idle(client.app.state.pyomni)


# --- a real server ----------------------------------------------------------------------------------------


@contextmanager
def connected(host: str, port: int, **how):
    with connect(f"ws://{host}:{port}{PATH}", compression=None, **how) as socket:
        yield socket


def test_who_hangs_up_frees_the_lane(running):
    host, port, state = running(kind="custom_voice", lanes=1)
    for text in ("Hello there, ", "Hello there. " * 40):
        with connected(host, port) as socket:
            socket.send(json.dumps(CONFIG))
            socket.send(json.dumps({"type": "input.text", "text": text}))
            assert json.loads(socket.recv())["type"] == "audio.start"
            assert isinstance(socket.recv(), bytes)
            assert state.scheduler.load()[0] == 1
        idle(state)
    assert state.scheduler.cancelled == 2
    assert state.scheduler.done == 0


def test_the_door_of_a_real_socket(running):
    host, port, _state = running(api_key="secret", max_upload=2000)
    for headers in ({}, {"Authorization": "Bearer other"}):
        with pytest.raises(InvalidStatus) as found, connected(host, port, additional_headers=headers):
            pass
        assert found.value.response.status_code == 401
        assert json.loads(found.value.response.body)["error"]["code"] == "invalid_api_key"
    with connected(host, port, subprotocols=["openai-insecure-api-key.secret"]) as socket:
        assert socket.subprotocol is None
        socket.send("x" * 3000)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
        assert closed.value.rcvd.code == 1009
