"""Where a long text is cut, and that nothing of it is lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import MERGES, TOKENS, TYPES

from pyomni.errors import ArgumentError
from pyomni.text.split import Piece, sentences, split
from pyomni.text.tokenizer import Tokenizer

TINY = Tokenizer(TOKENS, TYPES, MERGES)


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    "text",
    [
        "One. | Two! | Three? | Four",
        "Dr. Smith met Mrs. Jones. | They spoke.",
        "It costs 3.14 or 1,000.50 euros. | That is all.",
        "See e.g. Figure 3, i.e. the one below. | It is clear.",
        "The U.S. Army left at 5 p.m. yesterday. | He stayed.",
        "He moved to the U.S. | The rest stayed.",
        "J. R. R. Tolkien wrote it. | George W. Bush did not.",
        "Apples, pears, etc. | They were fine.",
        "Apples, pears, etc. were fine. | Good.",
        '"Why?" he asked. | "Because." | She left.',
        "“Stop!” | “Never.” | (It was late. He knew.) | Then they went.",
        "Wait... what? | No… | Then yes.",
        "He said no. | Then he read No. 5 of it.",
        "1. First things first. | 2. Then the rest.",
        "In the year 1999. | Then 2000 came.",
        "Version 2.0.1 is out at example.com/a.html. | Get it.",
        "你好，世界。|今天天气很好！|你呢？|“是的。”|他说。",
        "今日は。|「元気ですか？」|はい!|そうです。",
        "यह एक है। | यह दो है।",
        "Really?! | Yes!!! | Good.",
        "The Ph.D. | She has one.",
        "¿Qué? | ¡Nada! | Bien.",
        "Herr Dr. Müller z.B. kam. | Dann ging er.",
        "a wrapped\nline goes on. | And on.",
    ],
)
def test_sentences(text: str):
    want = [part.strip() for part in text.split("|")]
    joined = text.replace("|", "") if "。" in text else text.replace(" | ", " ")
    assert [piece.text for piece in sentences(joined)] == want


def test_paragraphs_are_set_apart_by_an_empty_line():
    got = sentences("A title\n\nOne. Two.\r\n \r\nThree\rfour.\n")
    assert got == [
        Piece("A title", "paragraph"),
        Piece("One.", "sentence"),
        Piece("Two.", "paragraph"),
        Piece("Three\rfour.", "paragraph"),
    ]


def test_sentences_are_packed_up_to_the_bound_and_not_across_paragraphs():
    text = "One two. Three four. Five six. Seven.\n\nEight."
    got = split(text, words, 4)
    assert [p.text for p in got] == ["One two. Three four.", "Five six. Seven.", "Eight."]
    assert [p.end for p in got] == ["sentence", "paragraph", "paragraph"]
    assert [p.text for p in split(text, words, 4, pack=False)] == [
        "One two.", "Three four.", "Five six.", "Seven.", "Eight.",
    ]  # fmt: skip


def test_a_sentence_too_long_is_cut_at_clauses_then_words():
    got = split("One two, three four; five six seven eight nine.", words, 4)
    assert got == [
        Piece("One two, three four;", "clause"),
        Piece("five six seven eight", "word"),
        Piece("nine.", "paragraph"),
    ]
    assert [p.text for p in split("(One two. Three four five.) Six.", words, 3)] == [
        "(One two.", "Three four five.)", "Six.",
    ]  # fmt: skip


def test_characters_are_the_last_resort():
    got = split("我们今天去公园散步吗", lambda s: 3 * len(s), 9)
    assert [p.text for p in got] == ["我们今", "天去公", "园散步", "吗"]
    assert [p.text for p in split("e\u0301e\u0301", len, 1)] == ["e\u0301", "e\u0301"]


def test_marks_alone_join_what_they_follow():
    got = [p.text for p in split("One two. *** Three.", words, 9, pack=False)]
    assert got == ["One two. ***", "Three."] or got == ["One two.", "*** Three."]


def test_nothing_to_split():
    assert split("", words, 5) == []
    assert split(" \n\n \n", words, 5) == []
    with pytest.raises(ArgumentError, match="bound is 0"):
        split("a", words, 0)


BITS = st.sampled_from(
    [
        "Hello", " ", ". ", "! ", "? ", "... ", "… ", ", ", "; ", " - ", "\n", "\n\n", "\r\n\r\n", "Dr.",
        "e.g. ", "U.S. ", "3.14", "1,000", "(", ")", '"', "”", "“", "。", "！", "，", "你好", "A. ", "etc. ",
        "The ", "1. ", "\u0301", "\u200d", "\u2029", "\f", "\x85", "\u3000", "x" * 30,
    ]
)  # fmt: skip
TEXTS = (
    st.lists(st.one_of(BITS, st.text(max_size=5)), max_size=40)
    .map("".join)
    .filter(lambda text: not any(0xD800 <= ord(c) <= 0xDFFF for c in text))
)


@given(text=TEXTS, bound=st.integers(1, 60), pack=st.booleans())
@settings(max_examples=500, deadline=None)
def test_nothing_is_lost_and_nothing_is_too_long(text: str, bound: int, pack: bool):
    pieces = split(text, lambda s: len(TINY.encode(s)), bound, pack=pack)
    at = 0
    for piece in pieces:  # in order, and only white space between them
        assert piece.text == piece.text.strip() != ""
        gap = len(text[at:]) - len(text[at:].lstrip())
        assert text.startswith(piece.text, at + gap)
        at += gap + len(piece.text)
        if len(TINY.encode(piece.text)) > bound:
            assert all(not starts for starts in _inner_starts(piece.text)), piece
    assert not text[at:].strip()
    assert not pieces or pieces[-1].end == "paragraph"


def _inner_starts(text: str) -> list[bool]:
    from pyomni.text.incremental import starts_anew

    return [starts_anew(text[i]) and "\u200d" not in text[i - 1 : i + 1] for i in range(1, len(text))]


@given(text=TEXTS)
@settings(max_examples=200, deadline=None)
def test_sentences_lose_nothing(text: str):
    assert "".join("".join(p.text for p in sentences(text)).split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["a" * 20_000, "a. " * 9_000, "(" * 20_000, "1. " * 9_000, "\n \n" * 20_000])
def test_long_texts_take_a_moment(text: str):
    start = time.perf_counter()
    split(text, lambda s: len(TINY.encode(s)), 200)
    assert time.perf_counter() - start < 20
