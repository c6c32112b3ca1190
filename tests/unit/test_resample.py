"""Clips of any rate and channel count become mono float32 at the model's rate, or one clear line."""

from __future__ import annotations

import numpy as np
import pytest

from pyomni.audio.resample import MAX_RATE, mono, resample
from pyomni.errors import AudioError


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 96000, 192000])
def test_a_sine_keeps_its_pitch_and_level(rate: int) -> None:
    t = np.arange(rate) / rate
    made = resample(0.5 * np.sin(2 * np.pi * 440 * t), rate, 24000)
    assert made.dtype == np.float32
    assert len(made) in (24000, 24001)  # librosa's length: a product rounded in double precision
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(made)) / 24000)
    assert abs(made - expected)[500:-500].max() < 2e-3


@pytest.mark.parametrize(
    ("n", "rate", "expected"), [(1, 8000, 3), (1, 48000, 1), (441, 44100, 241), (3, 48000, 2)]
)
def test_length(n: int, rate: int, expected: int) -> None:
    assert len(resample(np.ones(n, np.float32), rate, 24000)) == expected


def test_the_same_rate_changes_no_sample() -> None:
    samples = np.linspace(-1, 1, 1000, dtype=np.float32)
    np.testing.assert_array_equal(resample(samples, 24000, 24000), samples)


def test_channels_are_averaged() -> None:
    left, right = np.full(10, 0.5, np.float32), np.full(10, -0.25, np.float32)
    np.testing.assert_array_equal(mono(np.stack([left, right], axis=1)), np.full(10, 0.125, np.float32))


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (np.zeros(0, np.float32), "is empty"),
        (np.zeros((5, 0), np.float32), "is empty"),
        (np.zeros(5, np.int16), "is int16 of shape"),
        (np.zeros(5, np.uint8), "is uint8 of shape"),
        (np.zeros((1, 2, 3)), r"of shape \[1, 2, 3\]"),
        (np.float32(1.0), r"of shape \[\]"),
        (["a", "b"], "expected float samples"),
        ([[1.0], [1.0, 2.0]], "ragged"),
        ([0.0, float("nan"), 0.0], "1 samples that are not finite, the first at 1"),
        ([[0.0, 1.0], [0.0, float("inf")]], "the first at 1 .inf."),
        (np.array([1e300]), "expected samples within float32"),
    ],
)
def test_what_is_no_audio_is_refused(audio: object, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        resample(audio, 16000, 24000)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [0, -1, 1.5, MAX_RATE + 1, True, None, "24000", float("nan")])
def test_what_is_no_rate_is_refused(rate: object) -> None:
    with pytest.raises(AudioError, match=r"sample rate is .*, expected a whole number from 1"):
        resample(np.zeros(5), rate, 24000)  # type: ignore[arg-type]
