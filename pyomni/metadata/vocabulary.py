"""The text tokenizer out of a GGUF's vocabulary, and what its tokens stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomni.errors import ModelFormatError, UnsupportedModel
from pyomni.metadata.header import Metadata

if TYPE_CHECKING:
    from pyomni.text.detokenizer import TokenTexts
    from pyomni.text.tokenizer import Tokenizer

__all__ = ["read_token_texts", "read_tokenizer"]

KEY = "tokenizer.ggml."


def read_tokenizer(meta: Metadata) -> Tokenizer:
    """Build the tokenizer.

    Raises
    ------
    ModelFormatError
        The vocabulary does not fit together.
    UnsupportedModel
        It is one of another kind.
    """
    from pyomni.text.tokenizer import Tokenizer

    kind = meta.str(KEY + "model"), meta.str(KEY + "pre")
    if kind != ("gpt2", "qwen2"):
        raise UnsupportedModel(f"{meta.path}: tokenizer is {'/'.join(kind)}, expected gpt2/qwen2")
    lists = meta.strings(KEY + "tokens"), meta.ints(KEY + "token_type"), meta.strings(KEY + "merges")
    return Tokenizer(*lists)


def read_token_texts(meta: Metadata) -> TokenTexts:
    """Read what each token stands for.

    Raises
    ------
    ModelFormatError
        The vocabulary does not fit together.
    """
    from pyomni.text.detokenizer import TokenTexts

    tokens, types = meta.strings(KEY + "tokens"), meta.ints(KEY + "token_type")
    if len(tokens) != len(types):
        raise ModelFormatError(
            f"{meta.path}: key '{KEY}token_type' has {len(types)} entries, expected one for each of the "
            f"{len(tokens)} tokens"
        )
    return TokenTexts(tokens, types)
