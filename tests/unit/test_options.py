"""Speech options: what is refused, and what the file's defaults fill in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pyomni.errors import ArgumentError
from pyomni.options import Draw, SpeechOptions, guard_frames

DEFAULTS = {
    "do_sample": True,
    "temperature": 0.9,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.05,
    "predictor_do_sample": True,
    "predictor_temperature": 0.8,
    "predictor_top_k": 40,
    "predictor_top_p": 0.95,
    "max_new_tokens": 8192,
    "min_new_tokens": 2,
}


def resolve(options: SpeechOptions, n_text: int = 10, **changes):
    return options.resolve({**DEFAULTS, **changes}, n_text=n_text, streaming_layout=False)


def test_names_are_those_promised():
    names = [f.name for f in dataclasses.fields(SpeechOptions)]
    assert names == [
        "seed", "greedy", "temperature", "top_k", "top_p", "repetition_penalty", "predictor_temperature",
        "predictor_top_k", "predictor_top_p", "max_frames", "min_frames", "streaming_layout", "guard",
        "split", "pause", "paragraph_pause", "speculate",
    ]  # fmt: skip


def test_unset_fields_take_the_files_values():
    got = resolve(SpeechOptions(seed=3))
    assert got.talker == Draw(0.9, 50, 1.0)
    assert got.predictor == Draw(0.8, 40, 0.95)
    assert (got.seed, got.repetition_penalty, got.min_frames, got.streaming_layout) == (3, 1.05, 2, False)


def test_set_fields_win():
    got = resolve(
        SpeechOptions(
            temperature=0.5, top_k=7, top_p=0.4, repetition_penalty=1.2, predictor_temperature=0.0,
            max_frames=9, min_frames=4, streaming_layout=True,
        )
    )  # fmt: skip
    assert got.talker == Draw(0.5, 7, 0.4)
    assert got.predictor == Draw(0.0, 40, 0.95)
    assert (got.repetition_penalty, got.max_frames, got.min_frames, got.streaming_layout) == (1.2, 9, 4, True)


def test_greedy_and_checkpoints_that_do_not_sample():
    assert resolve(SpeechOptions(greedy=True, temperature=0.7)).talker == Draw(0.0)
    assert resolve(SpeechOptions(), do_sample=False).talker == Draw(0.0)
    assert resolve(SpeechOptions(temperature=0.7), do_sample=False).talker == Draw(0.7, 50, 1.0)
    assert resolve(SpeechOptions(), predictor_do_sample=False).predictor == Draw(0.0)


def test_a_limit_of_ids_gives_one_frame_less():
    assert resolve(SpeechOptions(guard=False)).max_frames == 8191
    assert resolve(SpeechOptions(guard=False), max_new_tokens=64).max_frames == 63


def test_guard_caps_by_the_text_unless_told_otherwise():
    assert resolve(SpeechOptions(), n_text=10).max_frames == guard_frames(10) == 220
    assert resolve(SpeechOptions(), n_text=10**4).max_frames == 8191
    assert resolve(SpeechOptions(max_frames=5000), n_text=10).max_frames == 5000


def test_one_frame_is_a_fair_wish():
    got = resolve(SpeechOptions(max_frames=1))
    assert (got.min_frames, got.max_frames) == (1, 1)


def test_a_missing_seed_is_drawn_anew():
    seeds = {resolve(SpeechOptions()).seed for _ in range(8)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1), ("seed", 2**64), ("seed", 1.5), ("seed", "7"), ("seed", True),
        ("temperature", -0.1), ("temperature", float("nan")), ("temperature", float("inf")), ("temperature",
        "hot"), ("top_k", -1), ("top_k", 2.0), ("top_p", 0.0), ("top_p", 1.01), ("repetition_penalty", 0.0),
        ("predictor_temperature", -1), ("predictor_top_k", -5), ("predictor_top_p", 2), ("max_frames", 0),
        ("min_frames", -1),
    ],
)  # fmt: skip
def test_values_out_of_range_are_named(field: str, value: object):
    with pytest.raises(ArgumentError, match=f"^{field} is .*, expected a"):
        SpeechOptions(**{field: value})


def test_more_frames_at_least_than_at_most():
    with pytest.raises(ArgumentError, match="min_frames is 5, expected at most max_frames, which is 4"):
        SpeechOptions(min_frames=5, max_frames=4)


def test_numpy_numbers_are_welcome():
    assert resolve(SpeechOptions(seed=np.int64(5), temperature=np.float32(0.5))).seed == 5


def test_options_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SpeechOptions().seed = 3  # type: ignore[misc]
