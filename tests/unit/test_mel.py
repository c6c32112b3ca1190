"""The mel front end: known values, frame counts, and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from pyomni.audio.mel import LogMel, hz_to_mel, mel_filters, mel_to_hz
from pyomni.errors import AudioError, ModelFormatError

MEL = LogMel(24000, 128, 1024, 1024, 256, 384, 0.0, 12000.0, 1e-9, 1e-5)
SMALL = LogMel(8000, 10, 64, 40, 16, 5, 100.0, 3500.0, 1e-6, 1e-3)


class Header:
    """Stands in for a GGUF header."""

    def __init__(self, mel: LogMel) -> None:
        self.values = {f"mel.{name}": value for name, value in dataclasses.asdict(mel).items()}
        self.values["sample_rate"] = self.values.pop("mel.sample_rate")

    def u32(self, key: str) -> int:
        value = self.values[key.removeprefix("speaker_encoder.")]
        assert isinstance(value, int)
        return value

    def f32(self, key: str) -> float:
        value = self.values[key.removeprefix("speaker_encoder.")]
        assert isinstance(value, float)
        return value


def test_known_values() -> None:
    # of librosa.filters.mel with these settings and of torch.hann_window(1024)
    np.testing.assert_allclose(MEL.filters[0, 1:3], [0.0335504, 0.0085691], atol=5e-8)
    np.testing.assert_allclose(MEL.filters[1, 2:4], [0.0292659, 0.0128536], atol=5e-8)
    assert MEL.filters.shape == (128, 513)
    assert MEL.taper[0] == 0
    assert MEL.taper[1] == pytest.approx(9.41e-6, rel=1e-3)
    assert MEL.taper[512] == 1  # periodic: the middle is a sample
    np.testing.assert_allclose(MEL.taper[1:], MEL.taper[:0:-1], atol=1e-15)


def test_slaneys_scale() -> None:
    np.testing.assert_allclose(hz_to_mel([0, 500, 1000, 6400]), [0, 7.5, 15, 42], atol=1e-12)
    hz = np.linspace(0, 12000, 97)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz)), hz, atol=1e-8)


def test_filters_have_one_area() -> None:
    fine = mel_filters(24000, 1 << 16, 128, 0.0, 12000.0)
    np.testing.assert_allclose(fine.sum(1) * 24000 / (1 << 16), 1, atol=0.01)


def test_settings_come_from_the_header() -> None:
    assert LogMel.read(Header(SMALL)) == SMALL


@pytest.mark.parametrize("n", [385, 511, 512, 767, 768, 1024, 24000, 414337])
def test_frames(n: int) -> None:
    assert MEL.n_frames(n) == n // 256
    assert MEL(np.zeros(n)).shape == (n // 256, 128)


@pytest.mark.parametrize("mel", [MEL, SMALL])
@pytest.mark.parametrize("frames", [1, 2, 5, 40])
def test_fewest_samples(mel: LogMel, frames: int) -> None:
    n = max(mel.n_samples(frames), mel.n_samples_min)
    assert mel.n_frames(n) >= frames
    assert mel.n_frames(n - 1) < frames or n == mel.n_samples_min
    assert len(mel(np.zeros(n))) == mel.n_frames(n)


def test_formula() -> None:
    # the same by its definition: a sum per bin, for settings with a window shorter than the transform
    m, audio = SMALL, np.random.default_rng(5).standard_normal(200).astype(np.float32)
    padded = np.concatenate([audio[5:0:-1], audio, audio[-2:-7:-1]]).astype(np.float64)
    hann = np.zeros(64)
    hann[12:52] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(40) / 40)
    wave = np.exp(-2j * np.pi * np.outer(np.arange(33), np.arange(64)) / 64)  # [n_bins, n_fft]
    rows = []
    for at in range(0, len(padded) - 63, 16):
        magnitude = np.sqrt(np.abs(wave @ (hann * padded[at : at + 64])) ** 2 + 1e-6)
        rows.append(np.log(np.maximum(m.filters @ magnitude, 1e-3)))
    np.testing.assert_allclose(m(audio), rows, atol=1e-6)


def test_silence_is_the_floor() -> None:
    np.testing.assert_allclose(MEL(np.zeros(2000)), np.log(1e-5), atol=1e-6)


def test_long_clips_are_cut_into_chunks_unseen() -> None:
    audio = np.random.default_rng(6).standard_normal(256 * 1500)
    whole = MEL(audio)
    np.testing.assert_array_equal(whole[1100:1110], MEL(audio[256 * 1090 :])[10:20])


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (np.zeros(384), "the clip has 384 samples at 24000 Hz, expected 385 or more"),
        (np.zeros(0), "the clip has 0 samples"),
        (np.zeros((2, 9000)), r"the clip has shape \[2, 9000\], expected one axis"),
        (np.r_[np.zeros(500), np.nan, 0.0], "sample 500 of the clip is nan, expected a finite number"),
        (np.r_[np.zeros(501), np.inf], "sample 501 of the clip is inf"),
    ],
)
def test_bad_clips(audio: np.ndarray, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        MEL(audio)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hop": 0}, "hop is 0, expected 1 or more"),
        ({"n_mels": 0}, "n_mels is 0"),
        ({"n_fft": 1 << 30}, "n_fft is 1073741824"),
        ({"window": 1025}, "window is 1025 and pad 384, expected a window of at most n_fft, 1024"),
        ({"fmax": 12001.0}, "bands from 0 to 12001 Hz, expected a range from 0 to 12000"),
        ({"fmin": float("nan")}, "bands from nan"),
        ({"floor": 0.0}, "floor is 0 and power_floor 1e-09"),
        ({"power_floor": -1.0}, "power_floor -1"),
    ],
)
def test_impossible_settings(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelFormatError, match=words):
        LogMel.read(Header(MEL if not change else _changed(change)))


def _changed(change: dict[str, Any]) -> Any:
    mel = object.__new__(LogMel)  # unchecked
    mel.__dict__.update(dataclasses.asdict(MEL) | change)
    return mel
