"""The prompt layout, position by position, against the tables of the official package's behaviour."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeMetadata, FakeTokenizer

from pyomni.components.lm import CODEC, TEXT
from pyomni.errors import ArgumentError
from pyomni.pipelines.prompt import (
    REFERENCE_ROW,
    SPEAKER_ROW,
    Reference,
    build,
    instruct_ids,
    language_id,
    layout,
    reference_rows,
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


# --- in-context cloning: the two texts and their end beside begin of speech and the frames of the reference

PREFIX = [*ROLE, (PAD, 2154), (PAD, 2156), (PAD, 2050), (PAD, 2157), (PAD, SPEAKER_ROW), (BOS, 2148)]


def frame(t: int) -> int:
    return REFERENCE_ROW - t


def in_context(n_frames: int, streaming: bool):
    reference = Reference((21, 22), n_frames)
    return layout(
        META, TOKENIZER, X, language=2050, speaker=SPEAKER_ROW, reference=reference, streaming=streaming
    )


def test_in_context_with_more_text_than_frames():
    plan = in_context(2, streaming=True)  # T1 = 2 + 3 + 1, T2 = 1 + 2
    assert list(plan.positions) == [*PREFIX, (21, 2149), (22, frame(0)), (X[0], frame(1))]
    assert plan.trailing == (X[1], X[2], EOS)
    assert plan.n_text == len(X)


@pytest.mark.parametrize("n_frames", [5, 7])
def test_in_context_with_as_many_frames_as_text_or_more(n_frames: int):
    plan = in_context(n_frames, streaming=True)
    text = [21, 22, *X, EOS, *[PAD] * (n_frames - 5)]
    assert list(plan.positions) == [*PREFIX, *zip(text, [2149, *map(frame, range(n_frames))], strict=True)]
    assert plan.trailing == ()


def test_in_context_with_all_text_in_the_prompt():
    plan = in_context(2, streaming=False)
    assert list(plan.positions) == [
        *PREFIX,
        *((i, 2148) for i in (21, 22, *X, EOS)),
        *((PAD, c) for c in (2149, frame(0), frame(1))),
    ]
    assert plan.trailing == ()


def test_in_context_length_of_the_worked_example():
    # 17.2 s of English reference: 9 + 216 positions
    plan = layout(
        META,
        TOKENIZER,
        X,
        language=2050,
        speaker=SPEAKER_ROW,
        reference=Reference((1, 2, 3), 215),
        streaming=True,
    )
    assert len(plan.positions) == 225


def test_reference_frames_are_the_sum_of_their_groups():
    codes = np.array([[5, 6, 7], [8, 9, 10]], np.int32)

    def any_row(table: int, ids) -> np.ndarray:
        return np.stack([table_row(table, i) for i in ids])

    rows = reference_rows(codes, any_row, lambda table, ids: any_row(100 + table, ids))
    want = table_row(CODEC, 8) + table_row(100, 9) + table_row(101, 10)
    assert np.array_equal(rows[1], want)
    plan = in_context(2, streaming=True)
    prompt = build(plan, embed, np.array([100, 200, 300], np.float32), rows)
    assert np.array_equal(prompt.rows[-1], table_row(TEXT, X[0]) + want)
    with pytest.raises(ArgumentError, match="frames of a reference"):
        build(plan, embed, np.array([100, 200, 300], np.float32))
