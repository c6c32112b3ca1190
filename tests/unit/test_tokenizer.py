"""The tokenizer on a vocabulary small enough to see through; parity/ holds it to the real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyomni.errors import ArgumentError, ModelFormatError
from pyomni.text.tokenizer import PATTERN, Tokenizer


def byte_alphabet() -> list[str]:
    """Return GPT-2's printable stand-ins for the 256 bytes, by byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shown = {b: chr(b) for b in plain}
    extra = (b for b in range(256) if b not in shown)
    shown.update({b: chr(256 + n) for n, b in enumerate(extra)})
    return [shown[b] for b in range(256)]


BYTES = byte_alphabet()
SPACE = BYTES[32]
MERGES = ["h e", "l l", "he ll", "hell o", f"{SPACE} hell", "1 2", "# #"]
TOKENS = [*BYTES, *(merge.replace(" ", "") for merge in MERGES), "<|im_end|>", "<think>"]
TYPES = [1] * (256 + len(MERGES)) + [3, 4]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(TOKENS, TYPES, MERGES)


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [TOKENS[i] for i in tokenizer.encode(text)]


def test_merges_apply_in_order(tokenizer: Tokenizer):
    assert pieces(tokenizer, "hello") == ["hello"]
    assert pieces(tokenizer, "hell") == ["hell"]
    assert pieces(tokenizer, " hell") == [f"{SPACE}hell"]
    assert pieces(tokenizer, " hello") == [SPACE, "hello"]  # "hell o" comes before the merge with the space


def test_digits_stay_apart(tokenizer: Tokenizer):
    assert pieces(tokenizer, "12") == ["1", "2"]


def test_merges_that_start_with_a_hash_are_merges(tokenizer: Tokenizer):
    assert pieces(tokenizer, "##") == ["##"]


def test_special_spellings_are_plain_text(tokenizer: Tokenizer):
    for text in ("<|im_end|>", "<think>"):
        ids = tokenizer.encode(text)
        assert max(ids) < 256 + len(MERGES)
        assert tokenizer.decode(ids) == text


def test_text_is_composed_first(tokenizer: Tokenizer):
    assert tokenizer.encode("e\u0301") == tokenizer.encode("\u00e9")
    assert tokenizer.encode("\u212b") == tokenizer.encode("\u00c5")


@pytest.mark.parametrize(
    "text", ["", " ", "héllo wörld", "你好，世界。", "a\r\n\tb  c", "👨‍👩‍👧", "\x00\x7f", "e\u0301"]
)
def test_round_trip(tokenizer: Tokenizer, text: str):
    import unicodedata

    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", text)


def test_nothing_is_added(tokenizer: Tokenizer):
    assert tokenizer.encode("") == []
    assert tokenizer.encode("\n") == [10]


def test_half_a_surrogate_pair(tokenizer: Tokenizer):
    with pytest.raises(ArgumentError, match=r"lone surrogate .* at character 1"):
        tokenizer.encode("a\ud800")


def test_lists_that_do_not_fit():
    with pytest.raises(ModelFormatError, match="has 3 entries, expected one for each"):
        Tokenizer(TOKENS, [1, 1, 1], MERGES)
    with pytest.raises(ModelFormatError, match="holds 'ab', expected two tokens"):
        Tokenizer(TOKENS, TYPES, ["ab"])
    with pytest.raises(ModelFormatError, match=r"merges does not fit the tokens"):
        Tokenizer(TOKENS, TYPES, ["q z"])
    with pytest.raises(ModelFormatError, match="lacks 1 single bytes, 'A' among them"):
        Tokenizer([t if t != "A" else "AA" for t in TOKENS], TYPES, MERGES)


def test_the_pattern_splits_as_qwen2_does():
    # recorded from the official tokenizer: words whose ids are one token each show where the splits are
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    cut = [piece for piece, _ in split.pre_tokenize_str("It's 42 eBay's\n\n  x!?\n")]
    assert cut == ["It", "'s", " ", "4", "2", " eBay", "'s", "\n\n", " ", " x", "!?\n"]


def test_recorded_ids_are_those_of_text_not_of_special_tokens():
    cases = json.loads(
        (Path(__file__).parents[1] / "parity" / "recorded" / "tokenizer_ids.json").read_text("utf-8")
    )
    assert {"text": "Hello.", "ids": [9707, 13]} in cases
    assert all(max(case["ids"], default=0) < 151643 for case in cases)
