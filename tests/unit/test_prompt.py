"""The prompt layout, position by position, against the tables of the official package's behaviour."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeMetadata, FakeTokenizer

from pyomni.components.lm import CODEC, TEXT
from pyomni.errors import ArgumentError
from pyomni.pipelines.prompt import (
    SPEAKER_ROW,
    build,
    instruct_ids,
    language_id,
    layout,
    text_ids,
    wrapped_ids,
)

META, TOKENIZER = FakeMetadata(), FakeTokenizer()
START, ASSISTANT, NEWLINE = 151644, 77091, 198
PAD, BOS, EOS = 151671, 151672, 151673
X = [11, 12, 13]
ROLE = [(START, None), (ASSISTANT, None), (NEWLINE, None)]


def test_streaming_english_ryan():
    plan = layout(META, TOKENIZER, X, language=2050, speaker=3061, streaming=True)
    assert list(plan.positions) == [
        *ROLE,
        (PAD, 2154),
        (PAD, 2156),
        (PAD, 2050),
        (PAD, 2157),
        (PAD, 3061),
        (BOS, 2148),
        (X[0], 2149),
    ]
    assert plan.trailing == (X[1], X[2], EOS)
    assert plan.pad == PAD


def test_whole_text_auto_ryan():
    plan = layout(META, TOKENIZER, X, speaker=3061)
    assert list(plan.positions) == [
        *ROLE,
        (PAD, 2155),
        (PAD, 2156),
        (PAD, 2157),
        (PAD, 3061),
        (BOS, 2148),
        (X[0], 2148),
        (X[1], 2148),
        (X[2], 2148),
        (EOS, 2148),
        (PAD, 2149),
    ]
    assert plan.trailing == ()
    assert len(plan.positions) == 6 + len(X) + 4  # n + N + 4 with n = 6 codec prefix ids


def test_instruct_shifts_the_same_rows():
    instruct = instruct_ids(TOKENIZER, META, "slowly")
    assert instruct == [START, 872, 198, *map(ord, "slowly"), 151645, 198]
    plain = layout(META, TOKENIZER, X, speaker=3061)
    plan = layout(META, TOKENIZER, X, speaker=3061, instruct=instruct)
    assert list(plan.positions[: len(instruct)]) == [(i, None) for i in instruct]
    assert plan.positions[len(instruct) :] == plain.positions


def test_voice_design_has_no_speaker_row():
    instruct = [1, 2, 3, 4]
    plan = layout(META, TOKENIZER, X, language=2050, instruct=instruct)
    assert len(plan.positions) == len(instruct) + len(X) + 10
    assert [c for _, c in plan.positions[7:12]] == [2154, 2156, 2050, 2157, 2148]


def test_one_token_of_text():
    plan = layout(META, TOKENIZER, [42], streaming=True)
    assert plan.positions[-1] == (42, 2149)
    assert plan.trailing == (EOS,)


def test_blank_instruction_is_none():
    assert instruct_ids(TOKENIZER, META, "") == instruct_ids(TOKENIZER, META, " \n") == []


def test_wrapped_text():
    ids = wrapped_ids(TOKENIZER, META, "Hi")
    assert ids == [START, ASSISTANT, NEWLINE, ord("H"), ord("i"), 151645, NEWLINE, START, ASSISTANT, NEWLINE]


@pytest.mark.parametrize(
    ("language", "speaker", "expected"),
    [
        (None, "ryan", None),
        ("auto", "ryan", None),
        ("English", "ryan", 2050),
        (" ENGLISH ", None, 2050),
        ("chinese", "ryan", 2055),
        ("chinese", "eric", 2062),
        ("auto", "eric", 2062),
        (None, "eric", 2062),
        ("english", "eric", 2050),
    ],
)
def test_language_and_dialect(language: str | None, speaker: str | None, expected: int | None):
    assert language_id(META, language, speaker) == expected


@pytest.mark.parametrize("language", ["klingon", "sichuan_dialect", ""])
def test_unknown_language_lists_what_there_is(language: str):
    with pytest.raises(ArgumentError, match=r"expected one of: auto, english, chinese$"):
        language_id(META, language, "ryan")


@pytest.mark.parametrize(("text", "found"), [("", "empty"), (" \n\t", "only white space")])
def test_nothing_to_say(text: str, found: str):
    with pytest.raises(ArgumentError, match=found):
        text_ids(TOKENIZER, text)


def table_row(table: int, i: int) -> np.ndarray:
    return np.array([i, table, 1.0], np.float32)


def embed(table: int, ids) -> np.ndarray:
    assert len(set(ids)) == len(ids), "each id is looked up once"
    return np.stack([table_row(table, i) for i in ids])


@pytest.mark.parametrize("streaming", [True, False])
def test_rows_are_the_sums_the_layout_says(streaming: bool):
    plan = layout(META, TOKENIZER, X, language=2050, speaker=3061, streaming=streaming)
    prompt = build(plan, embed)
    assert prompt.rows.dtype == np.float32
    assert prompt.rows.shape == (len(plan.positions), 3)
    for row, (t, c) in zip(prompt.rows, plan.positions, strict=True):
        want = np.zeros(3, np.float32)
        if t is not None:
            want += table_row(TEXT, t)
        if c is not None:
            want += table_row(CODEC, c)
        assert np.array_equal(row, want)
    later = [*plan.trailing, PAD, PAD]
    assert [prompt.text_row(g).tolist() for g in range(len(later))] == [
        table_row(TEXT, i).tolist() for i in later
    ]


def test_a_cloned_speaker_is_a_row():
    plan = layout(META, TOKENIZER, X, speaker=SPEAKER_ROW)
    row = np.array([100, 200, 300], np.float32)
    assert np.array_equal(build(plan, embed, row).rows[6], table_row(TEXT, PAD) + row)
    with pytest.raises(ArgumentError, match="speaker slot"):
        build(plan, embed)
