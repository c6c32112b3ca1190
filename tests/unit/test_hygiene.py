"""Reference clips and their transcripts: what cannot be is refused, what is doubtful is said."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pyomni.audio.measure import measure
from pyomni.audio.recogniser import Recogniser
from pyomni.errors import ArgumentError, AudioError
from pyomni.pipelines.hygiene import doubts, misheard

RATE = 24000
TEXT = "The market sells fresh fruit every day, and bread."  # 40 letters: 1.0 s at least, 12 s at most


def voice(seconds: float, level: float = 0.2, syllable: float = 0.2) -> np.ndarray:
    """Return something as loud and as quiet as speech: bursts of a buzz, four in five of the time."""
    t = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12))
    return (level * buzz * (t % syllable < 0.8 * syllable)).astype(np.float32)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def said(pcm: np.ndarray, transcript: str | None = TEXT) -> list[str]:
    return list(doubts(pcm, RATE, transcript))


def test_a_clip_that_is_as_it_should_be():
    assert said(np.concatenate([quiet(0.3), voice(3.5), quiet(0.3)])) == []
    assert said(voice(5), None) == []


def test_measures():
    found = measure(np.concatenate([quiet(1), voice(2), quiet(0.8), voice(1), quiet(0.5)]), RATE)
    assert found.seconds == pytest.approx(5.3)
    assert found.speech_s == pytest.approx(3, abs=0.15)
    assert (found.before_s, found.pause_s, found.after_s) == pytest.approx((1, 0.84, 0.54), abs=0.05)
    assert found.clipped == 0
    assert measure(np.array([0.5], np.float32), RATE).speech_s > 0


@pytest.mark.parametrize(
    ("pcm", "transcript", "words"),
    [
        (voice(0.7), TEXT, "the clip holds 0.7 s of speech and its transcript takes 1.0 s at the very least"),
        (
            np.concatenate([voice(0.7), quiet(9)]),
            TEXT,
            "at the very least, expected a transcript of what this",
        ),
        (
            voice(60),
            "Yes.",
            "60.0 s of speech and its transcript takes .* at most, expected a transcript of all",
        ),
    ],
)
def test_what_cannot_be(pcm: np.ndarray, transcript: str, words: str):
    with pytest.raises(AudioError, match=words):
        said(pcm, transcript)


@pytest.mark.parametrize(
    ("pcm", "transcript", "words"),
    [
        (voice(1.5), TEXT, "fast for its transcript, expected 2.0 s or more"),
        (voice(20), TEXT, "slow for its transcript, expected at most"),
        (voice(0.8), None, "holds 0.8 s of speech, expected some 3 to 15 s"),
        (voice(70), None, "holds 70 s of speech"),
        (voice(4, level=0.001), None, "the clip is faint"),
        (
            voice(4) + 0.1 * np.random.default_rng(1).standard_normal(4 * RATE).astype(np.float32),
            None,
            "noise",
        ),
        (np.clip(voice(4, level=2), -1, 1), None, "clipped at full scale"),
        (np.concatenate([quiet(3), voice(4)]), None, "begins with 3.0 s of silence"),
        (np.concatenate([voice(4), quiet(3), voice(1)]), None, "goes on with 3.0 s of silence"),
        (np.concatenate([voice(4), quiet(3)]), None, "ends with 3.0 s of silence"),
    ],
)
def test_what_is_doubtful(pcm: np.ndarray, transcript: str | None, words: str):
    [sentence] = said(pcm, transcript)
    assert words in sentence


def test_a_peak_or_two_at_full_scale_are_no_clipping():
    pcm = voice(4)
    pcm[[1000, 40000]] = 1.0
    assert said(pcm) == []


def test_what_a_recogniser_hears_is_compared():
    pcm = voice(4)
    assert misheard(pcm, RATE, TEXT, lambda pcm, rate: "a market sells french fruit and red") is None
    other = misheard(pcm, RATE, TEXT, lambda pcm, rate: "please close the door behind you")
    assert "1 were heard in the clip ('please close the door behind you')" in other
    assert "(nothing)" in misheard(pcm, RATE, TEXT, lambda pcm, rate: "")


def test_the_recogniser_is_an_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(ArgumentError, match=r"pip install 'pyomni\[check\]'"):
        Recogniser()
