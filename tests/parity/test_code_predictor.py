"""The code predictor against the official one: every head, teacher-forced, and its own greedy frames."""

from __future__ import annotations

import numpy as np
from parity import figures

from pyomni.verify.speech_engine import Ours


def test_logits_of_every_head(ours: Ours, recording: figures.Recording) -> None:
    figures.check(list(figures.predictor(ours, recording)))


def test_whole_frame_in_one_graph(ours: Ours, recording: figures.Recording) -> None:
    for hidden, codes in zip(recording["predictor.hidden"], recording["predictor.codes"], strict=True):
        made, _ = ours.predictor.groups(hidden[None], codes[:1], temperature=0.0, top_k=0, top_p=1.0)
        np.testing.assert_array_equal(made[0], codes)


def test_row_sum_is_the_next_talker_row(ours: Ours, recording: figures.Recording) -> None:
    # the recorded step row is the frame's embeddings plus a text row, here always the pad
    hidden, codes = recording["predictor.hidden"], recording["predictor.codes"]
    pad = recording["prompt.0.pad"]
    sums = [
        ours.predictor.groups(h[None], c[:1], temperature=0.0, top_k=0, top_p=1.0)[1][0]
        for h, c in zip(hidden, codes, strict=True)
    ]
    figures.check(
        [
            figures.figure(
                "prompt rows", "frame rows", np.stack(sums) + pad, recording["talker.step_rows"][: len(sums)]
            )
        ]
    )
