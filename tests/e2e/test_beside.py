"""The codec beside the talker on toys: the samples of one thread, in every way, and no thread left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from far_ahead import codec_beside, codec_between_frames
from toys import toy, variant

import pyomni
from pyomni import SpeechModel, SpeechOptions, Voice
from pyomni._binding import Device, Model
from pyomni.api import SpeechRequest, packaged_voice
from pyomni.api.live import Live
from pyomni.api.result import join
from pyomni.components.codec import CodecDecoder
from pyomni.errors import SessionBroken
from pyomni.pipelines import guard
from pyomni.pipelines.arriving import Arrival
from pyomni.pipelines.beside import Ahead, Beside
from pyomni.pipelines.sessions import SpeechSessions
from pyomni.server.scheduler import Scheduler

TEXT = "Hello there, this goes on for a while."
LONG = "One of them. Another one? The third! And this is the last of them."
OPTIONS = SpeechOptions(seed=7, max_frames=30)


@contextmanager
def opened(way: Callable[[pytest.MonkeyPatch], None], path: Path) -> Iterator[SpeechModel]:
    """Open a model of three lanes on two threads, with its codec between frames or beside."""
    with pytest.MonkeyPatch.context() as patch:
        way(patch)
        with pyomni.load(path, device="cpu", threads=2, lanes=3) as model:
            yield model


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pyomni-codec")]


def blocks_of(model: SpeechModel, text: object = TEXT, **arguments) -> list[tuple[bytes, int, str | None]]:
    """Return each block of a stream, with the frames there were by then and how it had ended."""
    with model.stream(text, **{"voice": "ryan", "options": OPTIONS, **arguments}) as stream:
        return [(block.tobytes(), len(stream.codes), stream.finish_reason) for block in stream]


def in_every_way(model: SpeechModel) -> dict[str, object]:
    """Return what a preset's toy says, by how it was asked."""
    long = SpeechOptions(seed=3, max_frames=25, split="sentences", pause=0.1)
    capped = SpeechOptions(seed=3, max_frames=40, split="sentences")
    many = model.speak_many([TEXT, LONG, "Short.", TEXT], voice="ryan", options=OPTIONS)
    each = model.speak_each([SpeechRequest(TEXT, "ryan", options=OPTIONS), SpeechRequest(LONG, options=long)])
    return {
        "speak": model.speak(TEXT, voice="ryan", options=OPTIONS).audio.tobytes(),
        "again": blocks_of(model),
        "streaming": blocks_of(model, options=SpeechOptions(seed=7, max_frames=30, streaming_layout=True)),
        "parts": blocks_of(model, LONG, options=long),
        "capped": blocks_of(model, LONG, options=capped),
        "made up": blocks_of(model, LONG, voice=Voice.none(), options=long),
        "many": [speech.audio.tobytes() for speech in many],
        "each": [speech.audio.tobytes() for speech in each],
        "decode": model.decode(many[0].codes).tobytes(),
    }


def test_every_way_gives_the_same_samples():
    with opened(codec_between_frames, toy()) as model:
        assert model.info["codec_threads"] == 0
        want = in_every_way(model)
    with opened(codec_beside, toy()) as model:
        assert (model.info["threads"], model.info["codec_threads"]) == (2, 1)
        found = in_every_way(model)
        assert len(workers()) == 1
    assert not workers()
    assert found == want


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("path", [packaged_voice, lambda: variant("custom_voice")], ids=["voice", "toy"])
def test_the_codec_gives_the_same_samples_on_any_threads(path: Callable[[], Path], fast: bool):
    found = set()
    for n_threads in (1, 2, 3):
        with (
            Device("cpu", n_threads) as device,
            Model(device, path(), "codec_decoder", fast=fast) as weights,
        ):
            codec = CodecDecoder(weights)
            codes = np.random.default_rng(1).integers(0, 8, (19, codec.n_groups), np.int32)
            blocks = [codec.decode(codes[begin:end]) for begin, end in ((0, 1), (1, 3), (3, 11), (11, 19))]
            found.add(np.concatenate(blocks).tobytes())
            codec.close()
    assert len(found) == 1


def test_a_clone_whose_clip_the_codec_hears_first():
    def made(way: Callable[[pytest.MonkeyPatch], None]) -> list[tuple[bytes, int, str | None]]:
        clip = (0.1 * np.random.default_rng(1).standard_normal(24000)).astype(np.float32)
        with opened(way, variant("base")) as model:
            voice = model.clone((clip, 24000), transcript="What this clip says.")
            return blocks_of(model, voice=voice)

    assert made(codec_beside) == made(codec_between_frames)


def test_the_guard_listens_while_frames_are_made_ahead(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "BEGINS", 0.25)  # so suspicious that it listens to the toy, and lets it go on
    monkeypatch.setattr(guard, "CLEARS", 0.2)
    monkeypatch.setattr(guard, "LISTEN", 0.0)
    levels, step, ahead, listened = SpeechSessions.levels, Ahead.step, [False], []

    def listen(self: SpeechSessions, codes: np.ndarray) -> np.ndarray:
        listened.append(ahead[-1])
        return levels(self, codes)

    def stepping(self: Ahead) -> bool:
        ahead.append(True)
        try:
            return step(self)
        finally:
            ahead.pop()

    monkeypatch.setattr(SpeechSessions, "levels", listen)
    monkeypatch.setattr(Ahead, "step", stepping)

    def made(way: Callable[[pytest.MonkeyPatch], None]) -> list[tuple[bytes, int, str | None]]:
        with opened(way, variant("custom_voice")) as model:
            return blocks_of(model, options=SpeechOptions(seed=7, top_k=3, max_frames=120))

    want = made(codec_between_frames)
    assert listened
    assert not any(listened)
    assert made(codec_beside) == want
    assert any(listened)


def test_text_that_arrives_is_asked_for_no_earlier():
    def made(way: Callable[[pytest.MonkeyPatch], None]) -> list[tuple[int, int]]:
        n_asked = 0

        def pieces() -> Iterator[str]:
            nonlocal n_asked
            for piece in LONG:
                n_asked += 1
                yield piece

        with (
            opened(way, variant("custom_voice")) as model,
            model.stream(pieces(), voice="ryan", options=OPTIONS) as stream,
        ):
            return [(len(block), n_asked) for block in stream]

    assert made(codec_beside) == made(codec_between_frames)


def test_streams_closed_half_way_failed_and_whole_one_after_the_other(monkeypatch: pytest.MonkeyPatch):
    with opened(codec_between_frames, variant("custom_voice")) as model:
        want = blocks_of(model)
    with opened(codec_beside, variant("custom_voice")) as model:
        for n in (1, 2, 4):
            with model.stream(TEXT, voice="ryan", options=OPTIONS) as stream:
                assert [next(stream).tobytes() for _ in range(n)] == [block for block, _, _ in want[:n]]
        assert blocks_of(model) == want
        dropped = model.stream(TEXT, voice="ryan", options=OPTIONS)
        next(dropped), next(dropped)
        del dropped
        assert blocks_of(model) == want

        decode, main = CodecDecoder.decode, threading.get_ident()

        def fail(self: CodecDecoder, codes: np.ndarray, lane: int = 0) -> np.ndarray:
            if len(codes) == 8:
                assert threading.get_ident() != main
                raise SessionBroken("the codec fails")
            return decode(self, codes, lane)

        heard: list[bytes] = []
        with monkeypatch.context() as patch:
            patch.setattr(CodecDecoder, "decode", fail)
            with (
                model.stream(TEXT, voice="ryan", options=OPTIONS) as stream,
                pytest.raises(SessionBroken, match="the codec fails"),
            ):
                heard.extend(block.tobytes() for block in stream)
        assert heard == [block for block, _, _ in want[:3]]
        assert blocks_of(model) == want
    assert not workers()


def test_an_interrupted_stream_leaves_nothing_at_work(monkeypatch: pytest.MonkeyPatch):
    """Ctrl-C while a block is decoded, with `Beside.run` as it is."""
    with opened(lambda patch: patch.setenv("PYOMNI_CODEC_BESIDE", "1"), variant("custom_voice")) as model:
        want = blocks_of(model)
        decode, begun, main = CodecDecoder.decode, threading.Event(), threading.get_ident()
        done: list[bool] = []

        def slow(self: CodecDecoder, codes: np.ndarray, lane: int = 0) -> np.ndarray:
            if threading.get_ident() != main:
                begun.set()
                assert interrupted.wait(60)
            pcm = decode(self, codes, lane)
            done.append(threading.get_ident() != main)
            return pcm

        interrupted, run = threading.Event(), Beside.run

        def interrupt(self: Beside, meanwhile: Callable[[], bool], work: Callable[[], object]) -> object:
            def at_once() -> bool:
                assert begun.wait(60)
                interrupted.set()
                raise KeyboardInterrupt

            return run(self, at_once, work)

        with monkeypatch.context() as patch:
            patch.setattr(CodecDecoder, "decode", slow)
            patch.setattr(Beside, "run", interrupt)
            with model.stream(TEXT, voice="ryan", options=OPTIONS) as stream:
                next(stream)
                with pytest.raises(KeyboardInterrupt):
                    next(stream)
        assert done == [False, True]
        assert blocks_of(model) == want
    assert not workers()


def test_a_server_gives_each_request_what_it_gets_alone():
    asked = [
        SpeechRequest(TEXT, "ryan", options=OPTIONS),
        SpeechRequest(LONG, "ryan", options=SpeechOptions(seed=3, max_frames=12, split="sentences")),
        SpeechRequest("Short.", "ryan", options=SpeechOptions(seed=4, max_frames=3)),
        SpeechRequest(LONG, "ryan", options=SpeechOptions(seed=5, max_frames=20, split="sentences")),
        SpeechRequest(TEXT, "ryan", options=SpeechOptions(seed=6, max_frames=20)),
    ]
    with opened(codec_between_frames, variant("custom_voice")) as model:
        want = [model.speak(one.text, voice=one.voice, options=one.options).audio.tobytes() for one in asked]

    async def all_at_once(model: SpeechModel, scheduler: Scheduler) -> list[bytes]:
        async def read(job) -> bytes:
            return join([block async for block in job]).tobytes()

        live = scheduler.live
        return await asyncio.gather(*[read(scheduler.submit(live.prepare(one), 600.0)) for one in asked])

    with opened(codec_beside, variant("custom_voice")) as model:
        scheduler = Scheduler(model.live())
        try:
            for _ in range(2):  # the second time on codecs that were used
                assert asyncio.run(all_at_once(model, scheduler)) == want
        finally:
            scheduler.close()
    assert not workers()


@pytest.mark.parametrize("arrives", [False, True])
def test_a_request_gets_in_while_another_is_far_ahead(arrives: bool):
    """The codec is the slower one: events wait all the time, and yet a free lane is filled."""
    options = SpeechOptions(seed=2, max_frames=12, streaming_layout=True)

    async def go(live: Live, scheduler: Scheduler) -> bytes:
        endless = SpeechRequest(TEXT, "ryan", options=SpeechOptions(max_frames=1900, guard=False))
        long = scheduler.submit(live.prepare(endless), 600.0)
        for _ in range(4):
            await anext(long)
        text = Arrival()
        text.add(TEXT)
        text.end()
        asked = SpeechRequest(text if arrives else TEXT, "ryan", options=options)
        prepared = live.prepare_arriving(asked, 60.0) if arrives else live.prepare(asked)
        short = scheduler.submit(prepared, 600.0)
        found = join([block async for block in short]).tobytes()
        assert long.receipt is None
        long.cancel()
        return found

    with opened(codec_beside, variant("custom_voice")) as model:
        want = model.speak(TEXT, voice="ryan", options=options).audio.tobytes()
        scheduler = Scheduler(model.live())
        try:
            assert asyncio.run(go(scheduler.live, scheduler)) == want
        finally:
            scheduler.close()
