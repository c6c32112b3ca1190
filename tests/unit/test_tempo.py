"""Faster and slower at the same pitch, and AAC: what stands on FFmpeg's filters and encoders."""

from __future__ import annotations

import io
import sys
from itertools import pairwise

import av
import numpy as np
import pytest

from pyomni.audio.formats import open_writer
from pyomni.audio.tempo import Tempo, stretched
from pyomni.errors import ArgumentError, AudioError

RATE = 24_000
SPEEDS = [0.25, 0.3, 0.5, 0.8, 1.25, 2, 3, 4]


def sine(seconds: float, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(RATE * seconds)) / RATE)).astype(np.float32)


def joined(pcm: np.ndarray, speed: float, n: int) -> np.ndarray:
    blocks = (pcm[i : i + n] for i in range(0, len(pcm), n))
    return np.concatenate([np.zeros(0, np.float32), *stretched(blocks, RATE, speed)])


@pytest.mark.parametrize("speed", SPEEDS)
def test_length_changes_and_pitch_does_not(speed):
    pcm = sine(1.5)
    out = joined(pcm, speed, 1920)
    assert len(out) == round(len(pcm) / speed)
    assert out.dtype == np.float32
    middle = out[len(out) // 8 : -len(out) // 8]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(int(spectrum.argmax()) * RATE / len(middle) - 440) < 6
    assert 0.3 < np.sqrt(2 * np.mean(middle**2)) < 0.55


@pytest.mark.parametrize("speed", SPEEDS)
def test_blocks_join_to_the_whole(speed):
    pcm = np.random.default_rng(0).normal(scale=0.1, size=RATE).astype(np.float32)
    whole = joined(pcm, speed, len(pcm))
    for n in (1, 777, 1920) if speed == 2 else (1920,):
        assert np.array_equal(joined(pcm, speed, n), whole)


@pytest.mark.parametrize("speed", [0.25, 0.9, 4])
@pytest.mark.parametrize("n", [0, 1, 500, 1000])
def test_the_shortest_sounds_have_their_length(speed, n):
    assert len(joined(sine(1)[:n], speed, 1920)) == round(n / speed)


def test_sound_comes_while_more_is_to_come():
    tempo, pcm = Tempo(RATE, 0.5), sine(2)
    first = tempo.push(pcm[: RATE // 2])
    assert RATE * 0.8 < len(first) <= RATE
    assert len(first) + len(tempo.push(pcm[RATE // 2 :])) + len(tempo.finish()) == 4 * RATE


def test_speed_1_gives_the_very_samples_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    pcm = sine(0.1)
    assert [block is pcm for block in stretched([pcm], RATE, 1)] == [True]
    with pytest.raises(AudioError, match="needs the package av"):
        Tempo(RATE, 2)
    with pytest.raises(AudioError, match=r"aac at 24000 Hz .* needs the package av"):
        open_writer(io.BytesIO(), "aac", RATE)


@pytest.mark.parametrize("speed", [0.2, 4.1, float("nan"), float("inf"), -1, 0, True, "2", None])
def test_a_speed_that_is_none_is_refused(speed):
    with pytest.raises(ArgumentError, match=r"expected a number from 0\.25 to 4"):
        stretched([], RATE, speed)


def test_aac_comes_in_packets_and_is_the_sound():
    file, pcm = io.BytesIO(), sine(0.5)
    writer = open_writer(file, "aac", RATE)
    sizes = []
    for i in range(0, len(pcm), 2400):
        writer.write(pcm[i : i + 2400])
        sizes.append(len(file.getvalue()))
    assert all(a < b for a, b in pairwise(sizes)), "not as they come"
    writer.close()
    data = file.getvalue()
    assert data[:2] in (b"\xff\xf1", b"\xff\xf9")
    with av.open(io.BytesIO(data)) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        assert container.streams[0].codec_context.sample_rate == RATE
    assert 0 <= len(heard) - len(pcm) <= 2 * 1024  # the encoder's lead, and a last packet that is full
    middle = heard[4096:-2048]
    assert abs(np.sqrt(2 * np.mean(middle**2)) - 0.5) < 0.02


def test_aac_without_sound_is_no_error():
    file = io.BytesIO()
    open_writer(file, "aac", RATE).close()
    assert not file.closed


def test_aac_of_a_rate_it_has_not():
    with pytest.raises(AudioError, match="aac at 12345 Hz cannot be written here"):
        open_writer(io.BytesIO(), "aac", 12345)
