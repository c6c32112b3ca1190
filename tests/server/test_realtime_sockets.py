"""`/v1/realtime` over real sockets: a plain client, OpenAI's own, and the program of the manual."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import openai
import pytest
import soundfile
import websockets
from realtime_client import encoded, loud
from starlette.testclient import WebSocketDenialResponse
from websockets.sync.client import connect

import pyomni
from pyomni import SpeechOptions
from pyomni.server.realtime.sound import RATE

URL = "ws://127.0.0.1/v1/realtime"  # starlette's client has another host of its own
PUSH = {"audio": {"input": {"turn_detection": None}}}


def test_over_a_real_socket_with_a_key_as_a_page_sends_it(running):
    host, port, _ = running(kind="omni", api_key="right", lanes=1)
    url = f"ws://{host}:{port}/v1/realtime"

    async def main() -> None:
        offered = ["realtime", "openai-insecure-api-key.right", "openai-beta.realtime-v1"]
        async with websockets.connect(url, subprotocols=offered) as socket:
            assert socket.subprotocol == "realtime"
            created = json.loads(await socket.recv())
            assert created["session"]["modalities"] == ["audio", "text"]
            await socket.send(
                json.dumps({"type": "session.update", "session": {"max_output_tokens": 60_000}})
            )
            await socket.send(json.dumps({"type": "response.create"}))
            while json.loads(await socket.recv())["type"] != "response.audio.delta":
                pass
            socket.transport.abort()  # no goodbye

    asyncio.run(main())
    with connect(url, additional_headers={"Authorization": "Bearer right"}) as socket:
        assert json.loads(socket.recv())["session"]["output_modalities"] == ["audio"]
        socket.send(json.dumps({"type": "response.create", "response": {"max_output_tokens": 4}}))
        while (event := json.loads(socket.recv()))["type"] != "response.done":
            pass
        assert event["response"]["status"] == "incomplete"  # so the one lane is free again


def test_openais_client_talks_with_it(running):
    host, port, _ = running(kind="omni")

    async def main() -> None:
        client = openai.AsyncOpenAI(api_key="none", base_url=f"http://{host}:{port}/v1")
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.session.update(
                session={
                    "type": "realtime",
                    "output_modalities": ["audio"],
                    "instructions": "Be brief.",
                    "max_output_tokens": 4,
                    "audio": {
                        "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": None},
                        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy"},
                    },
                }
            )
            await connection.input_audio_buffer.append(audio=encoded(loud(0.5)))
            await connection.input_audio_buffer.commit()
            await connection.response.create()
            events = []
            async for event in connection:
                # events of a shape the client does not know come as another class
                assert type(event).__name__ != "BaseModel"
                events.append(event)
                if event.type == "response.done":
                    break
            names = [event.type for event in events]
            assert names[:2] == ["session.created", "session.updated"]
            assert events[1].session.audio.output.voice == "alloy"
            assert "input_audio_buffer.committed" in names
            assert "response.output_audio.delta" in names
            item = events[-1].response.output[0]
            await connection.conversation.item.truncate(item_id=item.id, content_index=0, audio_end_ms=80)
            event = await connection.recv()
            assert (event.type, event.audio_end_ms) == ("conversation.item.truncated", 80)
            await connection.response.cancel()
            event = await connection.recv()
            assert event.error.code == "response_cancel_not_active"

    asyncio.run(main())


def test_a_model_that_speaks_texts_does_not_converse(served):
    with pytest.raises(WebSocketDenialResponse) as caught, served().websocket_connect(URL):
        pass
    assert caught.value.json()["error"]["code"] == "unsupported_by_model"


def test_the_program_of_the_manual_works(running, tmp_path, monkeypatch, capsys):
    manual = Path(__file__).parents[2] / "docs" / "realtime.md"
    [program] = [
        code for code in re.findall("```python\n(.*?)```", manual.read_text(), re.DOTALL) if "main(" in code
    ]
    with pyomni.load(device="cpu", threads=1) as model:
        model.speak("Good morning to you.", options=SpeechOptions(seed=1)).save(tmp_path / "question.wav")
    host, port, _ = running(kind="omni")
    address = f"ws://{host}:{port}/v1/realtime"
    files = str(tmp_path / "question.wav"), str(tmp_path / "answer.wav")
    monkeypatch.setattr("sys.argv", ["talk.py", *files, address])
    exec(compile(program.replace("MOST_TOKENS = 500", "MOST_TOKENS = 4"), "talk.py", "exec"), {})
    answer, rate = soundfile.read(files[1])
    assert rate == RATE
    assert len(answer) > RATE
    said_aloud = capsys.readouterr()
    assert said_aloud.out
    assert not said_aloud.err
