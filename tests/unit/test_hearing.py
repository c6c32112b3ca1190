"""What an omni model hears: frame and row counts, the range below the loudest, and what is refused."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pyomni.audio import clip as clips
from pyomni.audio.clip import read_clip
from pyomni.audio.hearing import Hearing
from pyomni.audio.resample import resample
from pyomni.errors import AudioError, ModelFormatError

RELEASED = Hearing(
    16000, 128, 400, 400, 160, 0.0, 8000.0, 1e-10, 8.0, 4.0, 4.0,
    chunk=100, n_conv=3, conv_kernel=3, conv_stride=2, conv_pad=1,
)  # fmt: skip
RATE = 16000


class Header:
    """Stands in for a GGUF header."""

    def __init__(self, ear: Hearing, dropped: str = "") -> None:
        plain = {"sample_rate", "chunk", "n_conv", "conv_kernel", "conv_stride", "conv_pad"}
        self.values = {
            f"audio_encoder.{'' if name in plain else 'mel.'}{name}": value
            for name, value in dataclasses.asdict(ear).items()
        }
        self.values.pop(dropped, None)

    def get(self, key: str) -> Any:
        if key not in self.values:
            raise ModelFormatError(f"key {key!r} is missing")
        return self.values[key]

    def u32(self, key: str) -> int:
        assert isinstance(self.get(key), int)
        return int(self.get(key))

    def f32(self, key: str) -> float:
        assert isinstance(self.get(key), float)
        return float(self.get(key))


def noise(n: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(n).standard_normal(n)).astype(np.float32)


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype="FLOAT")
    return out.getvalue()


def test_settings_come_from_the_header() -> None:
    assert Hearing.read(Header(RELEASED)) == RELEASED
    for key in Header(RELEASED).values:
        with pytest.raises(ModelFormatError, match=f"{key}' is missing"):
            Hearing.read(Header(RELEASED, key))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hop": 0}, "hop is 0, expected 1 to"),
        ({"n_fft": 1 << 21}, "n_fft is 2097152"),
        ({"window": 401}, "window is 401, expected at most n_fft, 400"),
        ({"fmax": 8001.0}, "bands from 0 to 8001 Hz"),
        ({"power_floor": 0.0}, "power_floor is 0"),
        ({"scale": 0.0}, "scale 0"),
        ({"n_conv": 9}, "9 convolutions"),
        ({"conv_pad": 0}, "padding 0"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelFormatError, match=words):
        dataclasses.replace(RELEASED, **changes)


@pytest.mark.parametrize(
    ("n_frames", "n_rows"),
    [(0, 0), (1, 1), (8, 1), (9, 2), (97, 13), (99, 13), (100, 13), (101, 14), (800, 104), (3000, 390),
     (360_000, 46_800)],
)  # fmt: skip
def test_rows(n_frames: int, n_rows: int) -> None:
    assert RELEASED.n_rows(n_frames) == n_rows


def test_rows_of_every_length() -> None:
    for n in range(1, 5000):  # the closed form of the official length formula
        rest = (n % 100 - 1) // 2 + 1
        assert RELEASED.n_rows(n) == ((rest - 1) // 2 + 1 - 1) // 2 + 1 + n // 100 * 13


@pytest.mark.parametrize(("n", "n_frames"), [(201, 1), (319, 1), (320, 2), (16000, 100), (16159, 100)])
def test_frames(n: int, n_frames: int) -> None:
    assert RELEASED.n_frames(n) == n_frames
    assert RELEASED(noise(n)).shape == (n_frames, 128)


def test_the_shortest_clip() -> None:
    assert RELEASED.n_samples_min == 201
    assert RELEASED.n_frames(200) == 0
    with pytest.raises(AudioError, match="the clip has 200 samples at 16000 Hz, expected 201 or more"):
        RELEASED(noise(200))


def test_a_tone_is_in_its_band() -> None:
    seconds = np.arange(RATE) / RATE
    rows = RELEASED(np.sin(2 * np.pi * 1000 * seconds))
    at = RELEASED.filters[:, 25].argmax()  # bin 25 of 400 at 16 kHz is 1000 Hz
    assert set(rows[5:-5].argmax(1)) <= {at - 1, at, at + 1}


def test_silence_is_one_value() -> None:
    np.testing.assert_array_equal(RELEASED(np.zeros(3200, np.float32)), np.float32(-1.5))  # (-10 + 4) / 4


def test_what_is_far_below_the_loudest_is_raised() -> None:
    clip = np.concatenate([noise(16000), 1e-7 * noise(16000)])
    rows = RELEASED(clip)
    assert rows.min() == pytest.approx(rows.max() - 2)  # 8 decades, divided by 4
    assert (rows[105:] == rows.min()).all()
    assert RELEASED(clip[16000:]).min() < rows.min()


def test_a_long_clip_is_transformed_in_blocks() -> None:
    clip = noise(1300 * 160)
    part = RELEASED(clip[1000 * 160 : 1100 * 160])  # across the border of two blocks
    np.testing.assert_allclose(RELEASED(clip)[1002:1098], part[2:98], atol=1e-6)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (np.zeros((2, 400), np.float32), r"shape \[2, 400\], expected one axis"),
        (np.full(400, np.nan, np.float32), "sample 0 of the clip is nan"),
        (np.zeros(0, np.float32), "has 0 samples"),
    ],
)
def test_bad_samples(clip: np.ndarray, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        RELEASED(clip)


# --- clips ------------------------------------------------------------------------------------------------


def test_files_become_rows(tmp_path: Path) -> None:
    samples = np.stack([noise(48000), 0.5 * noise(48001)[:48000]], 1)  # two channels at 48 kHz
    path = tmp_path / "clip.wav"
    path.write_bytes(wav(samples, 48000))
    expected = RELEASED(resample(samples, 48000, RATE))
    for source in (path, str(path), path.read_bytes(), (samples, 48000)):
        np.testing.assert_array_equal(RELEASED.load(source), expected)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_blocks_change_nothing(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.stack([noise(3 * rate + 7), noise(3 * rate + 8)[1:]], 1)
    expected = resample(samples, rate, RATE)
    monkeypatch.setattr(clips, "BLOCK", 1000)
    np.testing.assert_array_equal(read_clip(wav(samples, rate), RATE), expected)


def test_a_silent_clip_is_heard() -> None:
    assert RELEASED.load((np.zeros(RATE), RATE)).shape == (100, 128)


def test_where_a_bad_sample_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "BLOCK", 1000)
    samples = noise(5000)
    samples[4321] = np.inf
    with pytest.raises(AudioError, match=r"the clip \(\d+ bytes\): .*not finite, the first at 4321 \(inf\)"):
        RELEASED.load(wav(samples))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.wav", r"nowhere\.wav: there is no such file"),
        (b"", r"the clip \(0 bytes\): is empty"),
        (b"no sound at all", "is not an audio file that can be read"),
        (wav(np.zeros(0)), "is empty, expected at least one sample"),
        (wav(noise(160)), r"the clip is too short, 0\.010 s, expected at least 0\.013 s"),
        ((noise(200), RATE), "the clip: the clip is too short"),
        ((noise(48000) * 1e6, 48000), "the samples reach"),
        ((np.full(400, np.nan), RATE), "the clip: .*not finite, the first at 0"),
        (wav(noise(20 * RATE)), "lasts longer than 10 s, expected a clip of at most that"),
        ((noise(20 * RATE), RATE), "lasts longer than 10 s"),
        (12, "the clip is a int, expected a path"),
    ],
)
def test_what_is_refused(source: Any, words: str) -> None:
    with pytest.raises(AudioError, match=words) as caught:
        RELEASED.load(source, max_seconds=10)
    assert "\n" not in str(caught.value)


def test_three_hours_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        samplerate, channels, read_so_far = 8000, 1, 0

        def __init__(self, file: Any) -> None:
            pass

        def read(self, n: int, **_: Any) -> np.ndarray:
            Endless.read_so_far += n
            assert Endless.read_so_far <= 3600 * 8000 + n, "read on behind the limit"
            return np.zeros((n, 1), np.float32)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(soundfile, "SoundFile", Endless)
    with pytest.raises(AudioError, match="lasts longer than 3600 s"):
        RELEASED.load(b"three hours")
