"""Sound to codes by the Python face, on the toy model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
from mutate import rewrite
from toys import toy

import pyomni
from pyomni import SpeechModel, errors


@pytest.fixture(scope="module")
def model() -> Iterator[SpeechModel]:
    with pyomni.load(toy(), device="cpu", threads=1) as m:
        yield m


def clip(n: int) -> np.ndarray:
    t = np.arange(n) / 24_000
    return (0.3 * np.sin(2 * np.pi * (200 + 300 * t) * t)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 1919, 1920, 1921, 50_000])
def test_codes_of_a_clip_can_be_decoded(model: SpeechModel, n: int) -> None:
    codes = model.encode(clip(n), model.sample_rate)
    assert codes.dtype == np.int32
    assert codes.shape == (-(-n // model.hop), 16)
    assert model.decode(codes).shape == (len(codes) * model.hop,)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 192_000])
def test_every_rate(model: SpeechModel, rate: int) -> None:
    codes = model.encode(clip(rate), rate)
    assert codes.shape == (13, 16)


def test_stereo_is_averaged(model: SpeechModel) -> None:
    mono = clip(10_000)
    stereo = np.stack([mono + np.float32(0.25), mono - np.float32(0.25)], axis=1)
    codes = model.encode(stereo.mean(axis=1), 24_000)
    np.testing.assert_array_equal(model.encode(stereo, 24_000), codes)


@pytest.mark.parametrize(
    ("audio", "rate", "words"),
    [
        (np.zeros(0, np.float32), 24_000, "is empty"),
        (np.array([0.0, np.nan], np.float32), 24_000, "not finite, the first at 1"),
        (np.zeros(10, np.int16), 24_000, "int16 of shape"),
        (np.zeros((2, 2, 2), np.float32), 24_000, r"shape \[2, 2, 2\]"),
        (np.zeros(10, np.float32), 0, "sample rate is 0"),
        (np.zeros(10, np.float32), 24_000.0, "sample rate is 24000.0"),
    ],
)
def test_what_is_no_clip(model: SpeechModel, audio: np.ndarray, rate: int, words: str) -> None:
    before = model.encode(clip(3000), 24_000)
    with pytest.raises(errors.AudioError, match=words):
        model.encode(audio, rate)
    np.testing.assert_array_equal(model.encode(clip(3000), 24_000), before)


def test_a_file_without_the_encoder(tmp_path: Path) -> None:
    names = ["talker", "code_predictor", "codec_decoder"]
    path = rewrite(
        toy(), tmp_path / "less.gguf", keys={"pyomni.components": (names, gguf.GGUFValueType.ARRAY)}
    )
    with pyomni.load(path, device="cpu", threads=1) as less:
        with pytest.raises(errors.UnsupportedModel, match="no codec_encoder"):
            less.encode(clip(100), 24_000)
        assert len(less.speak("Hi.", options=pyomni.SpeechOptions(seed=1, max_frames=3)).codes) == 3


def test_the_encoder_is_loaded_when_needed_and_freed(tmp_path: Path) -> None:
    model = pyomni.load(toy(), device="cpu", threads=1)
    assert "codec_encoder" not in model.info["loaded"]
    codes = model.encode(clip(5000), 24_000)
    assert model.info["loaded"]["codec_encoder"] > 0
    model.close()
    model.close()
    with pytest.raises(errors.PyOmniError):
        model.encode(clip(5000), 24_000)
    assert len(codes) == 3
