"""Reference clips: every format and rate becomes mono float32, and each bad one is one clear sentence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pyomni.audio.reference import read_reference
from pyomni.errors import AudioError

RATE = 24000


def tone(n: int, rate: int, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(n) / rate)


def encoded(samples: np.ndarray, rate: int, format: str = "WAV", subtype: str | None = "PCM_16") -> bytes:  # noqa: A002
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=format, subtype=subtype)
    return out.getvalue()


def close(ours: np.ndarray, atol: float) -> None:
    """Compare with the tone at RATE, away from the filter's ends."""
    assert ours.dtype == np.float32
    assert ours.ndim == 1
    np.testing.assert_allclose(ours[500:-500], tone(len(ours), RATE)[500:-500], atol=atol)


@pytest.mark.parametrize(
    ("format", "subtype", "atol"),
    [
        ("WAV", "PCM_U8", 0.01),
        ("WAV", "PCM_16", 4e-5),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "FLOAT", 1e-6),
        ("WAV", "DOUBLE", 1e-6),
        ("WAV", "ULAW", 0.02),
        ("AIFF", "PCM_S8", 0.01),
        ("FLAC", "PCM_16", 2e-5),
        ("OGG", "VORBIS", 0.05),
        ("MP3", "MPEG_LAYER_III", 0.05),
    ],
)
def test_every_format(format: str, subtype: str, atol: float, tmp_path: Path) -> None:  # noqa: A002
    data = encoded(tone(RATE, RATE), RATE, format, subtype)
    path = tmp_path / "clip"  # known by its content
    path.write_bytes(data)
    from_bytes, from_file = read_reference(data, RATE), read_reference(path, RATE)
    np.testing.assert_array_equal(from_bytes, from_file)
    np.testing.assert_array_equal(read_reference(str(path), RATE), from_file)
    if format != "MP3":  # whose length is padded
        close(from_file, atol)
        assert len(from_file) == RATE
    assert np.abs(from_file).max() == pytest.approx(0.5, abs=max(atol, 0.002))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000, 192000])
def test_every_rate(rate: int) -> None:
    ours = read_reference(encoded(tone(rate, rate), rate, subtype="FLOAT"), RATE)
    assert len(ours) in (RATE, RATE + 1)  # `resample` says why
    close(ours, 2e-3)


def test_channels_are_averaged() -> None:
    both = np.stack([tone(RATE, RATE), np.zeros(RATE)], 1)
    close(2 * read_reference(encoded(both, RATE, subtype="FLOAT"), RATE), 1e-6)
    close(2 * read_reference((both, RATE), RATE), 1e-6)


@pytest.mark.parametrize(
    ("dtype", "scale", "offset", "atol"),
    [
        (np.float32, 1, 0, 1e-6),
        (np.float64, 1, 0, 1e-6),
        (np.int8, 128, 0, 0.005),
        (np.uint8, 128, 128, 0.005),
        (np.int16, 2**15, 0, 2e-5),
        (np.int32, 2**31, 0, 1e-6),
    ],
)
def test_arrays(dtype: Any, scale: int, offset: int, atol: float) -> None:
    values = tone(RATE, RATE) * scale + offset
    close(read_reference(((np.rint(values) if scale > 1 else values).astype(dtype), RATE), RATE), atol)


SPEECH = tone(RATE, RATE)
BAD_SAMPLES = SPEECH.copy()
BAD_SAMPLES[7] = np.nan
ENDLESS = SPEECH.copy()
ENDLESS[9] = -np.inf


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere/ann.wav", r"nowhere/ann\.wav: there is no such file, expected an audio clip"),
        (Path(__file__).parent, "is a folder, expected an audio clip"),
        ("a\0b", "is not a path to an audio clip|there is no such file"),
        (__file__, r"test_reference_clip\.py: is not an audio file that can be read \(.+\)$"),
        (b"", r"\(0 bytes\): is empty, expected an audio file"),
        (b"RIFF\x04\0\0\0WAVE", "is not an audio file that can be read"),
        (b"\0" * 999, "is not an audio file that can be read"),
        (encoded(np.zeros(0), RATE), "is empty, expected at least one sample"),
        (encoded(np.zeros(RATE), RATE), "the clip is silent"),
        (encoded(np.zeros(RATE), RATE, subtype="PCM_U8"), "the clip is silent"),
        (encoded(np.stack([SPEECH, -SPEECH], 1), RATE), "the clip is silent"),
        ((np.full(RATE, 0.25), RATE), "the clip is silent"),
        (encoded(BAD_SAMPLES, RATE, subtype="FLOAT"), r"not finite, the first at 7 \(nan\)"),
        ((BAD_SAMPLES, RATE), "the reference: .*not finite, the first at 7"),
        ((ENDLESS, RATE), "not finite, the first at 9"),
        ((np.zeros(0), RATE), "is empty"),
        ((SPEECH[:599], RATE), r"the clip is too short, 0\.025 s, expected at least 0\.050 s"),
        (encoded(SPEECH[:300], 8000), r"the clip is too short, 0\.037 s"),
        (encoded(np.tile(SPEECH, 3), RATE), "lasts longer than 2.5 s"),
        ((np.tile(SPEECH, 3), RATE), "lasts longer than 2.5 s"),
        ((SPEECH * 20000, RATE), r"the samples reach 1e\+04, expected a full scale of -1 to 1"),
        ((np.stack([SPEECH, SPEECH]), RATE), r"shape \[2, 24000\], expected \[n\] or \[n, channels\]"),
        ((np.zeros((2, 2, 2)), RATE), r"shape \[2, 2, 2\]"),
        ((SPEECH.astype(np.int64), RATE), "int64"),
        (([[0.1], [0.1, 0.2]], RATE), "not an array"),
        ((["a", "b"], RATE), "the reference: "),
        ((SPEECH, 0), "the sample rate is 0, expected a whole number from 4000 to 768000"),
        ((SPEECH, 10**7), "the sample rate is 10000000"),
        ((SPEECH, 24000.0), r"the sample rate is 24000\.0"),
        ((SPEECH, None), "the sample rate is None"),
        (encoded(SPEECH, 2000), "the sample rate is 2000 Hz, expected 4000 to 768000"),
        (encoded(np.zeros((10, 65)), RATE), "has 65 channels, expected at most 64"),
        (SPEECH, "is a ndarray, expected a path, the bytes of an audio file, or"),
        (None, "is a NoneType, expected a path"),
    ],
)
def test_what_is_refused(source: Any, words: str) -> None:
    with pytest.raises(AudioError, match=words) as caught:
        read_reference(source, RATE, min_samples=1200, max_seconds=2.5)
    assert "\n" not in str(caught.value)


def test_a_raw_file_has_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.raw"
    path.write_bytes(b"\1\2" * 5000)
    with pytest.raises(AudioError, match=r"clip\.raw: is not an audio file that can be read"):
        read_reference(path, RATE)


@pytest.mark.parametrize(("format", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_a_file_cut_anywhere_is_read_or_refused(format: str, subtype: str) -> None:  # noqa: A002
    data = encoded(SPEECH, RATE, format, subtype)
    for n in range(0, len(data), max(1, len(data) // 97)):
        try:
            samples = read_reference(data[:n], RATE)
        except AudioError:
            continue
        assert 0 < len(samples) <= RATE
        assert np.isfinite(samples).all()


def test_a_header_that_promises_too_much_is_read_to_its_end() -> None:
    data = bytearray(encoded(SPEECH, RATE))
    data[40:44] = (2**31 - 2).to_bytes(4, "little")  # bytes of samples
    assert len(read_reference(bytes(data), RATE)) == RATE
