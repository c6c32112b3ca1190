"""The codec decoder against the official one: every stage, the PCM, and PCM in pieces."""

from __future__ import annotations

import numpy as np
import pytest
from parity import figures

from pyomni.verify import toy_speech as cases
from pyomni.verify.speech_engine import Ours


def test_numpy_stages_are_the_official_ones(name: str, recording: figures.Recording) -> None:
    # each on the official input: then they may stand in for the official modules below
    taps = {
        key.removeprefix("codec.tap."): tap for key, tap in recording.items() if key.startswith("codec.tap.")
    }
    held = []
    for stage, (source, run) in figures.stages(name).table().items():
        if stage in taps and source in taps:
            quantity = "causal conv" if stage == "pcm_raw" else figures.stage_quantity(stage)
            held.append(figures.figure(quantity, stage, run(taps[source].astype(np.float64)), taps[stage]))
    assert len(held) >= 10
    figures.check(held)


def test_every_stage_on_the_same_input(ours: Ours, name: str, recording: figures.Recording) -> None:
    figures.check(list(figures.same_input(ours, name, recording)))


def test_every_stage_running(ours: Ours, recording: figures.Recording) -> None:
    figures.check(list(figures.codec(ours, recording)))


def test_codes_to_waveform(ours: Ours, recording: figures.Recording) -> None:
    figures.check(list(figures.waves(ours, recording)))


@pytest.mark.parametrize("width", [1, 3])
def test_codes_to_waveform_in_pieces(ours: Ours, recording: figures.Recording, width: int) -> None:
    # the official decoder has no state: what it gives in one pass, ours must give piece by piece
    codec = ours.codec()
    official = recording["wave.0"]
    codes = recording["greedy.0"][: len(official) // codec.hop]
    pcm = np.concatenate([codec.decode(codes[i : i + width]) for i in range(0, len(codes), width)])
    figures.check([figures.figure("codes to waveform", f"{width} frames a call", pcm, official)])


def test_some_samples_are_clamped() -> None:
    # else a missing clamp, or a tanh in its place, would look right on these models
    assert (abs(figures.load("wide")["wave.0"]) == 1).any()


def test_the_window_is_passed() -> None:
    # else an unbounded attention would look right
    passed = [c.n_tapped > 2 * c.dims["window"] for c in cases.CASES.values()]
    assert sum(passed) >= 2
