"""The talker against the official one: hidden rows and logits, prefill and teacher-forced steps."""

from __future__ import annotations

import numpy as np
from parity import figures

from pyomni.verify.speech_engine import Ours


def test_hidden_and_logits(ours: Ours, recording: figures.Recording) -> None:
    figures.check(list(figures.talker(ours, recording)))


def test_prefill_in_two_calls(ours: Ours, recording: figures.Recording) -> None:
    rows = recording["talker.prefill_rows"]
    ours.talker.rewind()
    ours.talker.decode(rows[:7])
    step = ours.talker.decode(rows[7:])
    figures.check(
        [
            figures.figure(
                "talker hidden", "7 rows, then the rest", step.hidden[0], recording["talker.hidden"][0]
            ),
            figures.figure(
                "talker logits", "7 rows, then the rest", step.logits[0], recording["talker.logits"][0]
            ),
        ]
    )


def test_step_after_rewind(ours: Ours, recording: figures.Recording) -> None:
    # positions forgotten and given again must leave no trace
    rows, steps = recording["talker.prefill_rows"], recording["talker.step_rows"]
    ours.talker.rewind()
    ours.talker.decode(np.concatenate([rows, steps[::-1]]))
    ours.talker.rewind(0, len(rows))
    step = ours.talker.decode(steps[:1])
    figures.check(
        [figures.figure("talker hidden", "after rewind", step.hidden[0], recording["talker.hidden"][1])]
    )
