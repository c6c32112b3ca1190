"""The tokenizer on a vocabulary small enough to see through; parity/ holds it to the real one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from vocabularies import MERGES, SPACE, TOKENS, TYPES, qwen2_subset

from pyomni.errors import ArgumentError, ModelFormatError
from pyomni.text.tokenizer import PATTERN, Tokenizer


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


HERE = Path(__file__).parent

#: Carries the real vocabulary; read by vendor/fetch.py as vendor/ggml.lock is.
ARCHIVE = """\
package = llama-cpp-python
version = 0.3.36
sha256 = 832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
folder = vendor/llama.cpp/models
licence = vendor/llama.cpp/LICENSE
ggml = 0.25.3
"""
RECORDED = json.loads((HERE.parent / "parity" / "recorded" / "tokenizer_ids.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def qwen2() -> Tokenizer:
    """The part of the real vocabulary that the recorded strings need, at its real ids."""
    return Tokenizer(*qwen2_subset())


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: ascii(case["text"]))
def test_ids_of_the_official_tokenizer(qwen2: Tokenizer, case: dict):
    assert qwen2.encode(case["text"]) == case["ids"]


def test_the_wrapped_text_of_the_official_package(qwen2: Tokenizer):
    from fakes import FakeMetadata

    from pyomni.pipelines.prompt import wrapped_ids

    want = [151644, 77091, 198, 9707, 13, 151645, 198, 151644, 77091, 198]
    assert wrapped_ids(qwen2, FakeMetadata(), "Hello.") == want
    assert qwen2.encode("assistant\n") == [77091, 198]


@pytest.mark.reference
def test_ids_on_the_whole_vocabulary(tmp_path: Path):
    """Fetches the archive that carries the real vocabulary (76 MB) through pip."""
    import importlib.util

    from pyomni.metadata import Metadata

    spec = importlib.util.spec_from_file_location("fetch", HERE.parents[1] / "vendor" / "fetch.py")
    assert spec is not None
    assert spec.loader is not None
    fetch = importlib.util.module_from_spec(spec)
    sys.modules["fetch"] = fetch  # dataclasses look their module up
    spec.loader.exec_module(fetch)
    (tmp_path / "lock").write_text(ARCHIVE)
    fetch.fetch(fetch.read_lock(tmp_path / "lock"), tmp_path / "models")
    meta = Metadata.read(tmp_path / "models" / "ggml-vocab-qwen2.gguf")
    tokenizer = Tokenizer(
        meta.strings("tokenizer.ggml.tokens"),
        meta.ints("tokenizer.ggml.token_type"),
        meta.strings("tokenizer.ggml.merges"),
    )
    for case in RECORDED:
        assert tokenizer.encode(case["text"]) == case["ids"]
    assert len(tokenizer.encode("<|im_end|>")) > 1
