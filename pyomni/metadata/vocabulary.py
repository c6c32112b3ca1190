"""The text tokenizer out of a GGUF's vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomni.errors import UnsupportedModel
from pyomni.metadata.header import Metadata

if TYPE_CHECKING:
    from pyomni.text.tokenizer import Tokenizer

__all__ = ["read_tokenizer"]

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
