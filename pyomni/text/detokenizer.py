"""Ids to text as they come: never half a character, and joined the same as in one."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

__all__ = ["Detokenizer", "TokenTexts"]

#: ``tokenizer.ggml.token_type``
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4


def byte_alphabet() -> dict[str, int]:
    """Return the byte of each letter of the GPT-2 alphabet, in which byte-level tokens are written."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in set(printable)]
    return {
        **{chr(b): b for b in printable},
        **{chr(256 + n): b for n, b in enumerate(others)},
    }


class TokenTexts:
    """What each token of a vocabulary stands for.

    Parameters
    ----------
    tokens : sequence of str
        By id, in the GPT-2 byte alphabet where they are ordinary (``tokenizer.ggml.tokens``).
    token_types : sequence of int
        By id (``tokenizer.ggml.token_type``): ordinary and user-defined tokens have text, others none.

    Attributes
    ----------
    specials : dict of str to int
        Spelling to id of control and user-defined tokens.
    controls : tuple of str
        Spellings of control tokens.
    """

    def __init__(self, tokens: Sequence[str], token_types: Sequence[int]) -> None:
        self._tokens, self._types = tokens, token_types
        self._bytes = byte_alphabet()
        marked = {
            i: kind for i, kind in enumerate(token_types) if kind in (CONTROL, USER_DEFINED)
        }  # a few tens of 150 000
        self.specials = {tokens[i]: i for i in marked}
        self.controls = tuple(tokens[i] for i, kind in marked.items() if kind == CONTROL)

    def __len__(self) -> int:
        return len(self._tokens)

    def bytes_of(self, token: int) -> bytes:
        """Return the UTF-8 bytes a token stands for, which may be part of a character; b"" for none."""
        if not 0 <= token < len(self._tokens):
            return b""
        kind = self._types[token]
        if kind == USER_DEFINED:
            return self._tokens[token].encode("utf-8", "replace")
        if kind != NORMAL:
            return b""
        known = self._bytes
        # a letter outside the alphabet stands for itself, as in the library's own decoder
        return b"".join(
            bytes((known[c],)) if c in known else c.encode("utf-8", "replace") for c in self._tokens[token]
        )

    def silent(self, *, but: Sequence[int] = ()) -> list[int]:
        """Return the ids that stand for no text, `but` for some: those an answer should not hold."""
        allowed = set(but)
        return [
            i for i, kind in enumerate(self._types) if kind not in (NORMAL, USER_DEFINED) and i not in allowed
        ]


class Detokenizer:
    """Ids in, text out: `feed` gives whole characters only, `finish` what is left of a broken one.

    Parameters
    ----------
    texts : TokenTexts
        Of the vocabulary.
    """

    def __init__(self, texts: TokenTexts) -> None:
        self._texts = texts
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """Append a token and return the characters it completes; often all of it, sometimes none."""
        return self._decoder.decode(self._texts.bytes_of(token))

    def finish(self) -> str:
        """Return the replacement character of a character that was never completed, or nothing."""
        return self._decoder.decode(b"", final=True)

    def all(self, ids: Sequence[int]) -> str:
        """Return the text of ids that are all there."""
        return "".join(map(self.feed, ids)) + self.finish()
