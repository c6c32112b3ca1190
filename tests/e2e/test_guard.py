"""The guard on the packaged voice: healthy speech as it was, provoked failures ended, in every way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import pyomni
from pyomni import SpeechModel, SpeechOptions
from pyomni.api import packaged_voice
from pyomni.components.lm import DecoderLM
from pyomni.pipelines.guard import TRIES, GuardCounts

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from guard import lowered_end

TEXT = "She has never seen the sea."
TEXTS = (TEXT, "Close the door when you leave the room.", "No, no, no, no.")


@pytest.fixture(scope="module", params=[False, True], ids=["rows_on_host", "rows_on_device"])
def model(request: pytest.FixtureRequest) -> Iterator[SpeechModel]:
    def watch(_name: str, lm: DecoderLM) -> DecoderLM:
        lm.joins = request.param
        return lm

    with pyomni.load(packaged_voice(), device="cpu", threads=1, lanes=3) as m:
        m._weights.watch = watch
        yield m


@pytest.fixture
def no_end() -> Iterator[None]:
    """Let the end id's score be so low that it is never drawn."""
    with lowered_end(60.0):
        yield


def test_healthy_speech_is_the_same_without_it(model: SpeechModel):
    for seed, text in enumerate(TEXTS):
        watched = model.speak(text, options=SpeechOptions(seed=seed))
        plain = model.speak(text, options=SpeechOptions(seed=seed, guard=False))
        assert watched.audio.tobytes() == plain.audio.tobytes()
        assert (watched.finish_reason, watched.guard) == ("stop", GuardCounts())


def test_speech_without_an_end_is_cut_where_it_falls_silent(model: SpeechModel):
    healthy = model.speak(TEXT, options=SpeechOptions(seed=1))
    with lowered_end(60.0):
        speech = model.speak(TEXT, options=SpeechOptions(seed=1))
    assert (speech.finish_reason, speech.guard.silence) == ("silence", TRIES)
    n = len(healthy.codes)
    assert np.array_equal(speech.codes[:n], healthy.codes)
    assert n <= len(speech.codes) <= n + 13, "a second of the silence went out before it was suspicious"
    assert speech.audio[: len(healthy.audio)].tobytes() == healthy.audio.tobytes()


def ways(model: SpeechModel, options: SpeechOptions) -> None:
    """Hold every way of speaking to `speak`."""
    whole = model.speak(TEXT, options=options)
    with model.stream(TEXT, options=options) as stream:
        blocks, points = [], []
        for block in stream:
            blocks.append(block)
            if stream.finish_reason is None:
                points.append(stream.save())
    assert np.concatenate(blocks).tobytes() == whole.audio.tobytes()
    assert (stream.finish_reason, stream.guard) == (whole.finish_reason, whole.guard)
    assert model.decode(whole.codes).tobytes() == whole.audio.tobytes()
    assert np.array_equal(np.stack(list(model.codes(TEXT, options=options))), whole.codes)
    for at, point in list(enumerate(points, 1))[2::4]:
        with model.resume(point) as again:
            rest = list(again)
        assert [r.tobytes() for r in rest] == [b.tobytes() for b in blocks[at:]]
        assert (again.finish_reason, again.guard) == (whole.finish_reason, whole.guard)
    many = model.speak_many([TEXTS[1], TEXT, TEXTS[2]], options=options)
    assert np.array_equal(many[1].codes, whole.codes)
    assert (many[1].finish_reason, many[1].guard) == (whole.finish_reason, whole.guard)
    pieces = model.speak(iter(TEXT), options=options)
    assert np.array_equal(pieces.codes, whole.codes)


def test_given_up_it_is_the_same_in_every_way(model: SpeechModel, no_end: None):
    ways(model, SpeechOptions(seed=1))


def test_repaired_it_is_the_same_in_every_way(model: SpeechModel):
    # lowered so far, the end is drawn behind the speech, but seldom
    for by, temperature, seed in product((14.0, 13.0, 12.0, 15.0), (1.0, 2.0), range(10)):
        options = SpeechOptions(seed=seed, temperature=temperature)
        with lowered_end(by):
            speech = model.speak(TEXT, options=options)
            if speech.finish_reason == "repaired":
                assert speech.guard.attempts > 0
                ways(model, options)
                return
    pytest.fail("no speech was repaired")


def test_parts_end_as_the_worst_of_them(model: SpeechModel, no_end: None):
    speech = model.speak("The sea. The door.", options=SpeechOptions(seed=1, split="sentences"))
    assert len(speech.pieces) == 2
    assert speech.finish_reason == "silence"
    assert speech.guard.silence == 2 * TRIES
