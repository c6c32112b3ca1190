"""Wyoming: what Home Assistant sends is spoken, and nothing a stranger sends ends the server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import toy, variant
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped

from pyomni.api import SpeechModel
from pyomni.audio.wav import to_int16
from pyomni.cli import main
from pyomni.options import SpeechOptions
from pyomni.pipelines.script import part_seed
from pyomni.server.running import listen
from pyomni.server.wyoming.door import Door
from pyomni.server.wyoming.events import LINE
from pyomni.text.split import sentences

RECORDED = json.loads((Path(__file__).parent / "wyoming_recorded" / "home_assistant.json").read_text("utf-8"))
LIMIT_S = 120.0
Served = Callable[..., Any]
Use = Callable[[int], Awaitable[None]]


def door(served: Served, use: Use, **given: Any) -> Any:
    """Open a door on loopback, use it, and return the state behind it."""
    state = served(**{"kind": "custom_voice", **given}).app.state.pyomni

    async def run() -> None:
        with listen("127.0.0.1", 0) as sock:
            one = Door(state, sock)
            await one.open()
            try:
                await asyncio.wait_for(use(sock.getsockname()[1]), LIMIT_S)
            finally:
                await one.close(0)

    asyncio.run(run())
    return state


def client(port: int) -> AsyncTcpClient:
    return AsyncTcpClient("127.0.0.1", port)


def synthesize(text: str, **more: Any) -> Event:
    return Event("synthesize", {"text": text, "max_new_tokens": 4, **more})


async def answers(one: AsyncTcpClient, last: str = "audio-stop") -> list[Event]:
    events = []
    while (event := await one.read_event()) is not None:
        events.append(event)
        if event.type == last:
            break
    return events


def sound(events: list[Event]) -> np.ndarray[Any, Any]:
    """The samples between one start and one stop."""
    kinds = [event.type for event in events if event.type != "synthesize-stopped"]
    assert kinds[0] == "audio-start"
    assert kinds[-1] == "audio-stop"
    assert set(kinds[1:-1]) == {"audio-chunk"}
    start = AudioStart.from_event(events[0])
    assert (start.rate, start.width, start.channels) == (24000, 2, 1)
    return np.frombuffer(b"".join(event.payload or b"" for event in events), "<i2")


def spoken(text: str, kind: str = "custom_voice", voice: str | None = None, **options: Any) -> Any:
    with SpeechModel(variant(kind), device="cpu", threads=1) as model:
        options = {"max_frames": 4, **options}
        return to_int16(model.speak(text, voice=voice, options=SpeechOptions(**options)).audio)


def by_sentences(text: str, seed: int) -> Any:
    found, pause = [], np.zeros(0, np.int16)
    for index, piece in enumerate(sentences(text)):
        found += [pause, spoken(piece.text, seed=part_seed(seed, index))]
        pause = np.zeros(round(SpeechOptions().pause_after(piece.end) * 24000), np.int16)
    return np.concatenate(found)


# --- what is said -----------------------------------------------------------------------------------------


def test_what_the_server_says_of_itself(served: Served) -> None:
    async def use(port: int) -> None:
        async with client(port) as one:
            await one.write_event(Ping(text="hm").event())
            assert Pong.from_event(await one.read_event()).text == "hm"
            await one.write_event(Describe().event())
            [program] = Info.from_event(await one.read_event()).tts
        assert program.installed
        assert program.supports_synthesize_streaming
        assert "ryan" in [voice.name for voice in program.voices]
        assert {"en", "zh"} <= set(program.voices[0].languages)

    door(served, use)


def test_a_text_is_spoken_as_by_the_model(served: Served) -> None:
    async def use(port: int) -> None:
        async with client(port) as one:
            for voice in ({"name": "ryan"}, {"name": "custom_voice", "speaker": "ryan"}):
                await one.write_event(synthesize("Hello there.", seed=7, voice=voice))
                assert np.array_equal(sound(await answers(one)), spoken("Hello there.", voice="ryan", seed=7))
            await one.write_event(synthesize("Hello there.", seed=7, voice={"language": "de-AT"}))
            german = sound(await answers(one))
        with SpeechModel(variant("custom_voice"), device="cpu", threads=1) as model:
            options = SpeechOptions(seed=7, max_frames=4)
            alone = model.speak("Hello there.", language="german", options=options).audio
        assert np.array_equal(german, to_int16(alone))

    door(served, use)


def test_sound_comes_before_the_text_is_there(served: Served) -> None:
    text = "One is said. Two follows it.\n\nThree is last."

    async def use(port: int) -> None:
        async with client(port) as one:
            await one.write_event(Event("synthesize-start", {"seed": 5, "max_new_tokens": 4}))
            await one.write_event(SynthesizeChunk(text[:17]).event())
            events = [await one.read_event(), await one.read_event()]
            assert AudioChunk.is_type(events[1].type)
            for letter in text[17:]:
                await one.write_event(SynthesizeChunk(letter).event())
            await one.write_event(SynthesizeStop().event())
            events += await answers(one, "synthesize-stopped")
            assert SynthesizeStopped.is_type(events[-1].type)
        assert np.array_equal(sound(events), by_sentences(text, 5))

    door(served, use, lanes=1)


def test_a_voice_that_is_made_up_stays_the_same(served: Served) -> None:
    text = "One is said. Two follows it."

    async def use(port: int) -> None:
        async with client(port) as one:
            await one.write_event(Event("synthesize-start", {"seed": 5, "max_new_tokens": 4}))
            for word in text.split(" "):
                await one.write_event(SynthesizeChunk(word + " ").event())
            await one.write_event(SynthesizeStop().event())
            events = await answers(one, "synthesize-stopped")
        assert np.array_equal(sound(events), spoken(text + " ", "base", seed=5))

    door(served, use, kind="base")


def test_two_at_once(served: Served) -> None:
    async def use(port: int) -> None:
        async with client(port) as one, client(port) as two:
            await one.write_event(synthesize("Hello.", max_new_tokens=1900))
            await one.read_event()
            await two.write_event(synthesize("Hello there.", seed=3))
            assert np.array_equal(sound(await answers(two)), spoken("Hello there.", seed=3))
            assert AudioChunk.is_type((await one.read_event()).type)

    door(served, use)


@pytest.mark.parametrize("which", ["synthesize", "without a voice", "stream"])
def test_what_home_assistant_sends(which: str, served: Served) -> None:
    async def use(port: int) -> None:
        async with client(port) as one:
            one._writer.write("".join(RECORDED["describe"]).encode())
            info = Info.from_event(await one.read_event())
        assert "ryan" in [voice.name for voice in next(one for one in info.tts if one.installed).voices]
        async with client(port) as one:
            one._writer.write("".join(RECORDED[which]).encode())
            last = "synthesize-stopped" if which == "stream" else "audio-stop"
            assert len(sound(await answers(one, last))) > 1000

    door(served, use, kind=None)


# --- what goes wrong --------------------------------------------------------------------------------------


def line(**head: Any) -> bytes:
    return json.dumps(head).encode() + b"\n"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\x00\xff garbage\n", "invalid_value"),
        (b"[" * 100_000 + b"\n", "invalid_value"),
        (b"[1]\n", "invalid_value"),
        (b"x" * (LINE + 100), "too_large"),
        (line(data={}), "invalid_value"),
        (line(type="synthesize", data=[]), "invalid_value"),
        (line(type="synthesize", data_length=10**18), "too_large"),
        (line(type="synthesize", data_length=-1), "invalid_value"),
        (line(type="synthesize", data_length=True), "invalid_value"),
        (line(type="synthesize", data_length=2) + b"{]", "invalid_value"),
        (line(type="audio-chunk", payload_length=10**18), "too_large"),
        (line(type="synthesize", data={"text": 5}), "invalid_value"),
        (line(type="synthesize", data={"text": " "}), "invalid_value"),
        (line(type="synthesize", data={"text": "\ud800"}), "invalid_value"),
        (line(type="synthesize", data={"text": "x" * 20_001}), "too_large"),
        (line(type="synthesize", data={"text": "a", "voice": 5}), "invalid_value"),
        (line(type="synthesize", data={"text": "a", "voice": {"name": "../x"}}), "not_found"),
        (line(type="synthesize", data={"text": "a", "voice": {"name": 5}}), "invalid_value"),
        (line(type="synthesize", data={"text": "a", "voice": {"language": "xx"}}), "invalid_value"),
        (line(type="synthesize", data={"text": "<a/>", "text_format": "ssml"}), "invalid_value"),
        (line(type="synthesize", data={"text": "a", "seed": "b"}), "invalid_value"),
        (line(type="synthesize-start") + line(type="synthesize-stop"), "invalid_value"),
        (line(type="synthesize-start") + line(type="synthesize-chunk"), "invalid_value"),
        (line(type="synthesize-start") * 40, "queue_full"),
    ],
)
def test_bad_events(raw: bytes, code: str, served: Served) -> None:
    async def use(port: int) -> None:
        async with client(port) as one:
            one._writer.write(raw)
            [event] = await answers(one)
            error = Error.from_event(event)
            assert error.code == code
            assert "expected" in error.text
        async with client(port) as one:  # the server goes on
            await one.write_event(synthesize("Hello."))
            assert sound(await answers(one)).size

    state = door(served, use)
    assert state.failures == 1


def test_events_for_others_are_passed_over(served: Served) -> None:
    async def use(port: int) -> None:
        async with client(port) as one:
            one._writer.write(line(type="audio-chunk", payload_length=100_000) + bytes(100_000))
            await one.write_event(SynthesizeChunk("Not asked for.").event())
            await one.write_event(SynthesizeStop().event())
            await one.write_event(Event("select-program", {"name": "pyomni"}))
            await one.write_event(synthesize("Hello.", seed=1))
            assert np.array_equal(sound(await answers(one)), spoken("Hello.", seed=1))

    door(served, use)


@pytest.mark.parametrize("streamed", [False, True])
def test_who_hangs_up_frees_the_lane(streamed: bool, served: Served) -> None:
    async def use(port: int) -> None:
        async with client(port) as one:
            if streamed:
                await one.write_event(Event("synthesize-start", {"max_new_tokens": 1900}))
                await one.write_event(SynthesizeChunk("One. Two ").event())
            else:
                await one.write_event(synthesize("Hello.", max_new_tokens=1900))
            assert AudioStart.is_type((await one.read_event()).type)
        async with client(port) as two:
            await two.write_event(synthesize("Hello."))
            assert sound(await answers(two)).size

    state = door(served, use, lanes=1)
    assert state.scheduler.cancelled == 1
    assert state.scheduler.frames < 1900


def test_a_full_queue_is_said_but_not_to_who_has_begun(served: Served) -> None:
    async def use(port: int) -> None:
        async with client(port) as long, client(port) as begun, client(port) as waits, client(port) as late:
            await begun.write_event(Event("synthesize-start", {"max_new_tokens": 4}))
            await begun.write_event(SynthesizeChunk("One is said. Two ").event())
            assert AudioStart.is_type((await begun.read_event()).type)
            await begun.read_event()
            await long.write_event(synthesize("Hello.", max_new_tokens=300))
            await long.read_event()
            await waits.write_event(synthesize("Hello."))
            while state.scheduler.load()[1] == 0:
                await asyncio.sleep(0.01)
            await late.write_event(synthesize("Hello."))
            [event] = await answers(late)
            assert Error.from_event(event).code == "queue_full"
            await begun.write_event(SynthesizeStop().event())
            assert AudioStop.is_type((await answers(begun))[-1].type)
            assert sound(await answers(waits)).size

    made = served(kind="custom_voice", lanes=1, queue=1)
    state = made.app.state.pyomni
    door(lambda **_: made, use)


# --- the command ------------------------------------------------------------------------------------------


def test_sigterm_lets_a_stream_end() -> None:
    argv = [sys.executable, "-m", "pyomni", "serve", "-m", str(toy()), "--device", "cpu", "-t", "1", "--json"]
    env = {key: value for key, value in os.environ.items() if key != "PYOMNI_API_KEY"}
    process = subprocess.Popen(
        [*argv, "--port", "0", "--wyoming-port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )

    async def use(port: int) -> None:
        async with client(port) as one, client(port) as idle:
            await idle.write_event(Describe().event())
            await idle.read_event()
            await one.write_event(SynthesizeStart().event())
            await one.write_event(SynthesizeChunk("One is said. Two ").event())
            events = [await one.read_event()]
            process.send_signal(signal.SIGTERM)
            assert await idle.read_event() is None  # it stops, and who has nothing to do is let go
            await one.write_event(SynthesizeChunk("comes after it. Three").event())
            await one.write_event(SynthesizeStop().event())
            assert sound(events + await answers(one, "synthesize-stopped")).size
            assert await one.read_event() is None

    try:
        about = json.loads(process.stdout.readline())
        scheme, host, port = about["wyoming"].split(":")
        assert (scheme, host) == ("tcp", "//127.0.0.1")
        asyncio.run(asyncio.wait_for(use(int(port)), LIMIT_S))
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, b"", b"")
    finally:
        process.kill()
        process.communicate()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name.startswith("pyomni.server.wyoming")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == "wyoming"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["serve", "-m", str(toy()), "--wyoming-port", "0"]) == 4
    assert "pip install 'pyomni[server,wyoming]'" in capsys.readouterr().err


def test_a_model_that_converses_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tiny_omni import omni_gguf

    path = omni_gguf(tmp_path / "omni.gguf")
    assert main(["serve", "-m", str(path), "--port", "0", "--wyoming-port", "0"]) == 3
    assert "expected one that speaks texts for Wyoming" in capsys.readouterr().err
