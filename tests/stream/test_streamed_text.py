"""Text that is still arriving is spoken with the codes of the whole text, and the loop waits for it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from toys import toy, variant

import pyomni
from pyomni import SpeechModel, SpeechOptions, Voice, errors

TEXT = "Hello there, it's 3.14 o'clock! Cafe\u0301 \u4f60\u597d\u3002\n\nBye  now."
N_FRAMES = 70
OPTIONS = SpeechOptions(seed=7, max_frames=N_FRAMES, streaming_layout=True)


@pytest.fixture(scope="module")
def model() -> Iterator[SpeechModel]:
    """A model that never draws its end id, so that all of the text is used."""
    with pyomni.load(variant("custom_voice"), device="cpu", threads=1) as m:
        yield m


@pytest.fixture(scope="module")
def whole(model: SpeechModel) -> pyomni.Speech:
    speech = model.speak(TEXT, voice="ryan", options=OPTIONS)
    assert len(speech.codes) == N_FRAMES
    return speech


CUTS = {
    "characters": list(TEXT),
    "words": re.findall(r"\S+|\s+", TEXT),
    "empty pieces": ["", *(p for c in re.findall(r".{1,5}", TEXT, re.DOTALL) for p in (c, "")), ""],
    "whole": [TEXT],
    "all but the end": [TEXT[:-1], TEXT[-1]],
}


@pytest.mark.parametrize("pieces", CUTS.values(), ids=CUTS)
def test_pieces_give_the_codes_of_the_whole(model: SpeechModel, whole: pyomni.Speech, pieces: list[str]):
    assert "".join(pieces) == TEXT
    speech = model.speak(iter(pieces), voice="ryan", options=OPTIONS)
    assert np.array_equal(speech.codes, whole.codes)
    assert speech.audio.tobytes() == whole.audio.tobytes()


def test_every_way_of_speaking_takes_pieces(model: SpeechModel, whole: pyomni.Speech):
    pieces = CUTS["words"]
    for text in (pieces, tuple(pieces), (p for p in pieces)):
        frames = list(model.codes(text, voice="ryan", options=OPTIONS))
        assert np.array_equal(np.stack(frames), whole.codes)
    with model.stream(iter(pieces), voice="ryan", options=OPTIONS) as stream:
        assert np.concatenate(list(stream)).tobytes() == whole.audio.tobytes()


def test_pieces_mean_the_streaming_layout(model: SpeechModel, whole: pyomni.Speech):
    options = SpeechOptions(seed=7, max_frames=N_FRAMES)
    assert np.array_equal(model.speak([TEXT], voice="ryan", options=options).codes, whole.codes)
    assert not np.array_equal(model.speak(TEXT, voice="ryan", options=options).codes, whole.codes)


def test_each_frame_asks_for_one_more_token_and_no_piece_too_early(model: SpeechModel):
    given = []

    def words() -> Iterator[str]:
        for i in range(1000):
            given.append(i)
            yield f" {i % 10}."  # a space, a digit, a stop: three tokens

    with model.stream(words(), voice="ryan", options=OPTIONS) as stream:
        assert given == [], "nothing is read before the speech begins"
        next(stream)
        assert given == [0], "the space is certain, and enough to begin"
        for _ in stream:
            assert len(stream.codes) - 1 <= 3 * len(given) <= len(stream.codes) + 6


def test_speech_starts_before_the_text_is_complete_and_waits_for_late_text(
    model: SpeechModel, whole: pyomni.Speech
):
    more = threading.Event()

    def pieces() -> Iterator[str]:
        yield TEXT[:20]
        assert more.wait(60)
        yield TEXT[20:]

    blocks: list[np.ndarray] = []
    stream = model.stream(pieces(), voice="ryan", options=OPTIONS)
    blocks.append(next(stream))  # while the rest is not there
    blocks.append(next(stream))
    worker = threading.Thread(target=lambda: blocks.extend(stream))
    worker.start()
    worker.join(0.5)
    assert worker.is_alive(), "it waits"
    assert 3 <= len(stream.codes) < 20, "no padding in place of text"
    more.set()
    worker.join()
    assert np.concatenate(blocks).tobytes() == whole.audio.tobytes()


def test_an_iterator_that_fails_ends_the_speech_with_its_exception(model: SpeechModel, whole: pyomni.Speech):
    def pieces() -> Iterator[str]:
        yield "Hello there, "
        raise RuntimeError("the text server is gone")

    with pytest.raises(RuntimeError, match="the text server is gone"):
        model.speak(pieces(), voice="ryan", options=OPTIONS)
    with pytest.raises(RuntimeError, match="the text server is gone"):
        list(model.codes(pieces(), voice="ryan", options=OPTIONS))
    assert np.array_equal(model.speak(TEXT, voice="ryan", options=OPTIONS).codes, whole.codes)


class Closing(Iterator[str]):
    """An endless text that knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def __next__(self) -> str:
        return "la "

    def close(self) -> None:
        self.closed += 1


def test_the_iterator_is_closed_when_the_speech_ends(model: SpeechModel):
    unread, half, cut, codes = (Closing() for _ in range(4))
    model.stream(unread, voice="ryan", options=OPTIONS).close()
    with model.stream(half, voice="ryan", options=OPTIONS) as stream:
        next(stream)
        assert not half.closed
    speech = model.speak(cut, voice="ryan", options=OPTIONS)
    assert (len(speech.codes), speech.finish_reason) == (N_FRAMES, "length")
    frames = model.codes(codes, voice="ryan", options=OPTIONS)
    next(frames)
    frames.close()
    assert unread.closed >= 1
    assert half.closed == cut.closed == codes.closed == 1


def test_what_is_not_text(model: SpeechModel):
    for pieces in ([], [""], [" ", "\n", ""]):
        with pytest.raises(errors.ArgumentError, match="expected something to say"):
            model.speak(iter(pieces), voice="ryan", options=OPTIONS)
    with pytest.raises(errors.ArgumentError, match="a piece of text is 3, expected a string"):
        model.speak(["a ", 3], voice="ryan", options=OPTIONS)
    with pytest.raises(errors.ArgumentError, match="a piece of text is None"):
        model.speak(["a ", None], voice="ryan", options=OPTIONS)
    with pytest.raises(errors.ArgumentError, match="expected strings"):
        model.speak([1], voice="ryan", options=SpeechOptions(streaming_layout=False))
    with pytest.raises(errors.ArgumentError, match="the text is int, expected a string, pieces of one"):
        model.speak(3, voice="ryan")

    async def later() -> AsyncIterator[str]:
        yield "a"

    with pytest.raises(errors.ArgumentError, match="astream for an async iterator"):
        model.speak(later(), voice="ryan")
    with pytest.raises(errors.ArgumentError, match="voice 'nobody'"):
        model.stream(iter("abc"), voice="nobody")  # the rest of a request is checked before any text is read


def test_the_guard_grows_with_the_text(model: SpeechModel):
    options = SpeechOptions(seed=1, streaming_layout=True)
    whole = model.speak("Hi you", voice="ryan", options=options)
    assert whole.finish_reason == "runaway"
    assert len(whole.codes) == 38 + 17 - 25  # 3 s and 1.34 s of text; the last 2 s are given up
    pieces = model.speak(iter("Hi you"), voice="ryan", options=options)
    assert np.array_equal(pieces.codes, whole.codes)


def test_a_model_that_ends_by_itself_ends_in_both():
    with pyomni.load(toy(), threads=1) as model:
        for seed in range(4):
            options = SpeechOptions(seed=seed, streaming_layout=True)
            one = model.speak(TEXT, voice="ryan", options=options)
            two = model.speak(iter(TEXT), voice="ryan", options=options)
            assert np.array_equal(one.codes, two.codes)
            assert one.finish_reason == two.finish_reason


@pytest.mark.parametrize("n_frames", [3, 40])
def test_in_context_cloning_takes_the_text_it_needs_first(n_frames: int):
    rng = np.random.default_rng(3)
    with pyomni.load(variant("base"), threads=1) as model:
        n_embd = _width(model)
        codes = rng.integers(0, 32, (n_frames, 16)).astype(np.int32)
        voice = Voice.clone(rng.standard_normal(n_embd).astype(np.float32), codes, "What it says.")
        for text in (TEXT, "Hi."):
            whole = model.speak(text, voice=voice, options=OPTIONS)
            pieces = model.speak(iter(text), voice=voice, options=OPTIONS)
            assert np.array_equal(pieces.codes, whole.codes)
            assert pieces.audio.tobytes() == whole.audio.tobytes()


def _width(model: SpeechModel) -> int:
    model.speak("a", voice=Voice.none(), options=SpeechOptions(max_frames=2))
    return int(model._engine._sessions._talker.info.n_embd)


# --- async ------------------------------------------------------------------------------------------------


def test_an_async_iterator(model: SpeechModel, whole: pyomni.Speech):
    async def words() -> AsyncIterator[str]:
        for word in CUTS["words"]:
            await asyncio.sleep(0.001)
            yield word

    async def joined(text) -> bytes:
        blocks = [pcm async for pcm in model.astream(text, voice="ryan", options=OPTIONS)]
        return np.concatenate(blocks).tobytes()

    assert asyncio.run(joined(words())) == whole.audio.tobytes()
    assert asyncio.run(joined(iter(TEXT))) == whole.audio.tobytes()


def test_an_async_iterator_that_fails_or_is_left(model: SpeechModel, whole: pyomni.Speech):
    closed = []

    async def failing() -> AsyncIterator[str]:
        yield "Hello there, "
        raise RuntimeError("the text server is gone")

    async def stuck() -> AsyncIterator[str]:
        try:
            yield "Hello there, "
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.1)  # as a server that is told to stop
            closed.append(True)

    async def read(text, n: int) -> int:
        stream = model.astream(text, voice="ryan", options=OPTIONS)
        taken = 0
        try:
            async for _ in stream:
                taken += 1
                if taken == n:
                    break
        finally:
            await stream.aclose()
        return taken

    async def cancelled() -> None:
        task = asyncio.create_task(read(stuck(), 100))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with pytest.raises(RuntimeError, match="the text server is gone"):
        asyncio.run(read(failing(), 100))
    assert asyncio.run(read(stuck(), 1)) == 1
    asyncio.run(asyncio.wait_for(cancelled(), 30))
    assert closed == [True, True]
    assert np.array_equal(model.speak(TEXT, voice="ryan", options=OPTIONS).codes, whole.codes)
