"""Text that arrives in pieces has the ids of the whole, whatever the pieces are."""

from __future__ import annotations

import json
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import MERGES, TOKENS, TYPES, qwen2_subset

from pyomni.errors import ArgumentError
from pyomni.text.incremental import IncrementalEncoder, starts_anew
from pyomni.text.tokenizer import Tokenizer

HERE = Path(__file__).parent
RECORDED = json.loads((HERE.parent / "parity" / "recorded" / "tokenizer_ids.json").read_text("utf-8"))

TINY = Tokenizer(TOKENS, TYPES, MERGES)
REAL = Tokenizer(*qwen2_subset())

#: What the pattern and NFC tell apart, far more often than random text would hold it.
TRICKY = st.sampled_from(
    [
        *"aeolhs12 \t\n\r'!#.,-", "'s", "'re", "'ll", "\r\n", "  ", "hello", " hell", "\u0301", "\u0323",
        "\u0338", "=", "<", "\u1100", "\u1161", "\u11a8", "\uac00", "\u09c7", "\u09be", "\u0dd9",
        "\u0dcf", "\u0b47", "\u0b56", "\u212b", "\ufb01", "\u4f60\u597d", "\u3002", "\u3000", "\u00a0",
        "\u2028", "\x85", "\x1c", "\x1f", "\U0001f468\u200d\U0001f469", "\ufe0f", "\u017f", "\u0f71",
        "\u0f72", "\u0344", "\U000110a5\U000110ba", "\U00016d63", "\U00016d67", "\u0930\u093c", "\u2160",
        "\u00bd", "\u0660",
    ]
)  # fmt: skip
TEXTS = (
    st.lists(st.one_of(TRICKY, st.text(max_size=4)), max_size=30)
    .map("".join)
    .filter(lambda text: not any(0xD800 <= ord(c) <= 0xDFFF for c in text))
)


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(p % (len(text) + 1) for p in places), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def ids_of(tokenizer: Tokenizer, pieces: list[str]) -> list[int]:
    encoder = IncrementalEncoder(tokenizer)
    whole = tokenizer.encode("".join(pieces))
    ids: list[int] = []
    for piece in pieces:
        ids += encoder.feed(piece)
        assert ids == whole[: len(ids)], "released too early"
    return ids + encoder.finish()


@pytest.mark.parametrize("tokenizer", [TINY, REAL], ids=["tiny", "qwen2"])
@given(text=TEXTS, places=st.lists(st.integers(0, 10**6), max_size=12))
@settings(max_examples=400, deadline=None)
def test_any_split_gives_the_ids_of_the_whole(tokenizer: Tokenizer, text: str, places: list[int]):
    whole = tokenizer.encode(text)
    assert ids_of(tokenizer, cut(text, places)) == whole
    assert ids_of(tokenizer, list(text)) == whole


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: ascii(case["text"]))
def test_the_official_ids_one_character_at_a_time(case: dict):
    assert ids_of(REAL, list(case["text"])) == case["ids"]


@given(text=TEXTS)
@settings(max_examples=200, deadline=None)
def test_pre_tokens_are_the_normalised_text(text: str):
    tokens = REAL.split(text)
    assert "".join(tokens) == REAL._normalizer.normalize_str(text)
    assert [i for token in tokens for i in REAL.encode(token)] == REAL.encode(text)


def test_a_word_is_released_when_the_next_begins():
    encoder = IncrementalEncoder(TINY)
    assert encoder.feed("hel") == []
    assert encoder.feed("lo") == []
    assert encoder.feed(" w") == TINY.encode("hello")
    assert encoder.feed("") == []
    assert encoder.feed("orld") == []
    assert encoder.finish() == TINY.encode(" world")


def test_no_character_that_composes_with_the_one_before_starts_anew():
    composed = [unicodedata.decomposition(chr(c)).split() for c in range(0x110000)]
    seconds = {chr(int(parts[1], 16)) for parts in composed if len(parts) == 2 and parts[0][0] != "<"}
    assert len(seconds) > 60
    assert not [ascii(c) for c in seconds if starts_anew(c)]
    assert not any(starts_anew(chr(c)) for c in [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)])
    assert not [c for c in map(chr, range(0x110000)) if starts_anew(c) and unicodedata.combining(c)]


def test_a_text_without_a_place_to_cut_does_not_take_for_ever():
    text = "a" * 20_000
    assert ids_of_quickly(text) == TINY.encode(text)


def ids_of_quickly(text: str) -> list[int]:
    encoder = IncrementalEncoder(TINY)
    return [i for c in text for i in encoder.feed(c)] + encoder.finish()


def test_what_is_not_text():
    encoder = IncrementalEncoder(TINY)
    with pytest.raises(ArgumentError, match="a piece of text is 3, expected a string"):
        encoder.feed(3)
    encoder.feed("ab")
    with pytest.raises(ArgumentError, match=r"lone surrogate .* at character 3"):
        encoder.feed("c\ud83d")
    encoder.finish()
    with pytest.raises(ArgumentError, match="after the end"):
        encoder.feed("x")
