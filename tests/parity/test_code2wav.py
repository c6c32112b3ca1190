"""Code2wav against one call of the official one: every length, every stage, and in pieces."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from mutate import rewrite
from numpy.typing import NDArray
from parity import figures, recordings

from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder
from pyomni.verify import toy_code2wav as code2wav_cases

NAMES = sorted(code2wav_cases.CASES)
ROWS_OF_CHANNELS = ("code_embd", "transformer")  # taps with a step's channels together

F32 = NDArray[np.float32]


@functools.cache
def recording(name: str) -> dict[str, NDArray]:
    """Load what the official code2wav did, and check that it did it with these weights."""
    arrays = recordings.load(f"code2wav_{name}")
    assert str(arrays["weights_sha256"]) == code2wav_cases.weights_hash(name), (
        "this machine makes other weights from the seed"
    )
    return arrays


@functools.cache
def model(name: str) -> Model:
    return Model(Device("cpu", 2), code2wav_cases.gguf(name), "code2wav")


def streamed(decoder: CodecDecoder, codes: NDArray, widths: Sequence[int]) -> F32:
    """Decode in calls of ``widths`` frames, the last width for ever; each as long as was said before it."""
    parts, at, i = [], 0, 0
    while at < len(codes):
        piece = codes[at : at + widths[min(i, len(widths) - 1)]]
        n_samples = decoder.n_samples(len(piece))
        parts.append(decoder.decode(piece))
        assert parts[-1].shape == (n_samples,)
        at, i = at + len(piece), i + 1
    return np.concatenate(parts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", code2wav_cases.LENGTHS)
@pytest.mark.parametrize("widths", [(310,), (1,), (4,), (25,)], ids=str)
def test_codes_to_waveform(name: str, n: int, widths: tuple[int, ...]) -> None:
    # the official model keeps nothing from call to call: its whole call is what every cut must give
    decoder, official = CodecDecoder(model(name)), recording(name)
    pcm = streamed(decoder, code2wav_cases.codes(name, n), widths)
    assert pcm.size == official[f"{n}.samples"] == n * decoder.hop - decoder.lead
    figures.check(
        [figures.figure("code2wav", f"{n} frames", pcm[:: code2wav_cases.LENGTHS[n]], official[f"{n}.pcm"])]
    )


def test_the_released_trims() -> None:
    info = model("real_rates").info
    assert (info.hop, info.lead, info.sample_rate, info.n_groups) == (1920, 555, 24000, 16)


@pytest.mark.parametrize("name", [name for name in NAMES if code2wav_cases.CASES[name].n_tapped])
@pytest.mark.parametrize("width", [1, 3])
def test_every_stage(name: str, width: int) -> None:
    official = {key[4:]: tap for key, tap in recording(name).items() if key.startswith("tap.")}
    channels, decoder = code2wav_cases.channels(name), CodecDecoder(model(name))
    assert set(official) == set(channels)
    for stage in channels:
        decoder.session.tap(stage)
    codes = code2wav_cases.codes(name, code2wav_cases.CASES[name].n_tapped)
    pieces: dict[str, list[F32]] = {stage: [] for stage in channels}
    # a tap holds what the last graph of a call left, and a stream's first frame has one of its own
    for begin, end in [(0, 1), *((at, at + width) for at in range(1, len(codes), width))]:
        decoder.decode(codes[begin:end])
        for stage, n in channels.items():
            flat = decoder.session.read_tap(stage)
            rows = stage in ROWS_OF_CHANNELS
            pieces[stage].append(flat.reshape(-1, n).T if rows else flat.reshape(n, -1))
    ours = {stage: np.concatenate(parts, 1) for stage, parts in pieces.items()}
    figures.check(
        [figures.figure("code2wav stages", stage, ours[stage], tap) for stage, tap in official.items()]
    )


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_clamped(name: str, tmp_path: Path) -> None:
    # eight times the last convolution is eight times the samples, bit for bit, in the official model too
    last = {f"code2wav.conv_out.{part}": lambda w: w * np.float32(8) for part in ("weight", "bias")}
    loud = rewrite(code2wav_cases.alone(name), tmp_path / "loud.gguf", tensors=last)
    pcm = CodecDecoder(Model(Device("cpu", 2), loud, "code2wav")).decode(code2wav_cases.codes(name, 25))
    official = 8 * recording(name)["25.pcm"]
    assert (abs(official) > 1).mean() > 0.1
    one = figures.figure("code2wav", "clamped", pcm[:: code2wav_cases.LENGTHS[25]], np.clip(official, -1, 1))
    assert abs(pcm).max() == 1
    assert one.reached <= 8 * one.tolerance, one
