"""The codec decoder against the official one: every stage, the PCM, and PCM in pieces."""

from __future__ import annotations

import numpy as np
import pytest
from parity import cases, figures
from parity.ours import Ours


def test_every_stage(ours: Ours, recording: figures.Recording) -> None:
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


def test_the_window_is_passed() -> None:
    # else an unbounded attention would look right
    passed = [c.n_tapped > 2 * c.dims["window"] for c in cases.CASES.values()]
    assert sum(passed) >= 2
