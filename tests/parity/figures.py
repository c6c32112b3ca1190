"""What was reached: ours against a recording, and against the stages in numpy. Tests assert it."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from parity.recordings import load
from parity.stages import Stages

from pyomni.verify import toy_speech as cases
from pyomni.verify.figure import Figure, figure
from pyomni.verify.recording import Recording
from pyomni.verify.speech_engine import Ours
from pyomni.verify.speech_figures import (
    codec,
    decoder_config,
    greedy,
    predictor,
    prompt_rows,
    stage_channels,
    stage_quantity,
    talker,
    waves,
)

__all__ = ["Figure", "Recording", "all_figures", "check", "codec", "figure", "greedy", "load", "predictor",
           "prompt_rows", "same_input", "stage_channels", "stage_quantity", "stages", "talker",
           "waves"]  # fmt: skip


def check(figures: list[Figure]) -> None:
    """Print every figure and assert its tolerance."""
    for one in figures:
        print(one)
    late = [str(one) for one in figures if not one.reached <= one.tolerance]
    assert not late, "; ".join(late)


def same_input(ours: Ours, name: str, recording: Recording) -> Iterator[Figure]:
    """Every stage of the codec decoder against the numpy one on the very input ours had."""
    table = stages(name).table()
    codes = recording["codec.codes"]
    channels = stage_channels(name)
    _, taps = ours.decode_tapped(codes, channels)
    for stage, (source, run) in table.items():
        quantity = "causal conv" if stage == "pcm_raw" else stage_quantity(stage)
        yield figure(quantity, f"{stage}, same input", taps[stage], run(taps[source].astype(np.float64)))


@functools.cache
def stages(name: str) -> Stages:
    """Return the numpy stages of a case."""
    return Stages(cases.folder(name), decoder_config(name))


def all_figures(ours: Ours, name: str, recording: Recording) -> Iterator[Figure]:
    """Every comparison of a case."""
    yield from prompt_rows(ours, name, recording)
    yield from talker(ours, recording)
    yield from predictor(ours, recording)
    yield from same_input(ours, name, recording)
    yield from codec(ours, recording)
    yield from waves(ours, recording)
