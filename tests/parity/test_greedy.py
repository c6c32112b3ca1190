"""Greedy codes equal the official model's, frame by frame, through the product's own loop."""

from __future__ import annotations

import json

import numpy as np
from parity import figures

from pyomni.verify import recording
from pyomni.verify import toy_speech as cases
from pyomni.verify.speech_engine import Ours
from pyomni.verify.tolerances import TOLERANCES


def test_codes(ours: Ours, name: str, recording: figures.Recording) -> None:
    for p, prompt in enumerate(cases.CASES[name].prompts):
        codes = ours.greedy(prompt, cases.N_FRAMES)
        official = recording[f"greedy.{p}"]
        assert len(official) >= 64
        np.testing.assert_array_equal(codes, official, err_msg=f"{name}, prompt {p}")


def test_no_choice_was_a_toss_up() -> None:
    # equal codes prove something only where the two best scores are further apart than both runs may be off
    for name, about in json.loads((recording.FOLDER / "cases.json").read_text()).items():
        for part, gap in about["smallest_margin"].items():
            assert gap > 2 * TOLERANCES[f"{part} logits"].value, f"{name}, {part}"
        assert about["n_group_ids"] >= 24, f"{name} repeats itself"
