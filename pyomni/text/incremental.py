"""Token ids of a text that is still arriving: each is released once no later text can change it.

What later text can change is bounded on three levels. NFC composes a character with what follows it, but
never across a *boundary*: a character that starts a new composition whatever stands before it. The Qwen2
pattern looks ahead only to the end of a pre-token and, within white space, to the end of the run. The merges
stay inside a pre-token. So everything before the last pre-token, or before the white space the text ends in,
is final, as far as it lies before the last boundary.
"""

from __future__ import annotations

import unicodedata
from typing import Protocol

from pyomni.errors import ArgumentError

__all__ = ["IncrementalEncoder", "Splitter", "starts_anew"]

#: Below this many waiting characters every piece is looked at; above, only as the wait grows by an eighth, so
#: that a text without any place to cut costs n log n and not n squared.
EAGER = 256


class Splitter(Protocol):
    """The part of `pyomni.text.tokenizer.Tokenizer` this needs."""

    def split(self, text: str) -> list[str]:
        """Return the pre-tokens of a text."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""


class IncrementalEncoder:
    """Pieces of text in, ids out: those released so far are a prefix of the whole text's ids.

    Parameters
    ----------
    tokenizer : Tokenizer
        Gives the pre-tokens of a text and the ids of one.
    """

    def __init__(self, tokenizer: Splitter) -> None:
        self._tokenizer = tokenizer
        self._waiting = ""  # not released yet, as it came
        self._looked_at = 0  # length of `_waiting` when it was last split
        self._n_before = 0  # characters before `_waiting`, for messages
        self._ended = False

    def feed(self, piece: str) -> list[int]:
        """Append a piece of text and return the ids that became certain; there may be none.

        Raises
        ------
        ArgumentError
            Not a string, half of a surrogate pair, or text after `finish`.
        """
        if not isinstance(piece, str):
            raise ArgumentError(f"a piece of text is {piece!r}, expected a string")
        if self._ended:
            raise ArgumentError("text came after the end of the text, expected none")
        self._check(piece)
        self._waiting += piece
        n = len(self._waiting)
        if n > EAGER and n < self._looked_at + self._looked_at // 8:
            return []
        at = n - 1
        while at > 0 and not starts_anew(self._waiting[at]):
            at -= 1
        if at <= 0:
            return []
        tokens = self._tokenizer.split(self._waiting[:at])
        held = _n_held(tokens)
        released, kept = tokens[: len(tokens) - held], tokens[len(tokens) - held :]
        if released:
            # NFC of what is kept is what is kept: it was normalised up to a boundary
            unsettled = self._waiting[at:]
            self._waiting = "".join(kept) + unsettled
            self._n_before += n - len(self._waiting)
        self._looked_at = len(self._waiting)
        return [i for token in released for i in self._tokenizer.encode(token)]

    def finish(self) -> list[int]:
        """Return the ids of what was held back: the text has ended."""
        self._ended = True
        rest, self._waiting = self._waiting, ""
        return self._tokenizer.encode(rest)

    def _check(self, piece: str) -> None:
        try:
            piece.encode("utf-8")
        except UnicodeEncodeError as error:
            at = self._n_before + len(self._waiting) + error.start
            raise ArgumentError(
                f"the text has the lone surrogate {piece[error.start]!r} at character {at}, "
                "expected Unicode text"
            ) from None


def starts_anew(character: str) -> bool:
    """Return whether NFC of a text is NFC of what stands before this character, then of the rest.

    True for most characters. Marks may compose with what stands before them, as may Hangul vowels and final
    consonants; what this Python's tables do not know might too.
    """
    if character < "\u0300":
        return True
    if "\u1100" <= character <= "\u11ff" or "\U00016d60" <= character <= "\U00016d6f":
        return False  # Hangul jamo; Kirat Rai vowels, which are letters that compose
    category = unicodedata.category(character)
    return category[0] != "M" and category != "Cn" and unicodedata.combining(character) == 0


def _n_held(tokens: list[str]) -> int:
    """Return how many of the last pre-tokens later text may still change."""
    held = min(len(tokens), 1)
    while held < len(tokens) and tokens[-held].isspace() and tokens[-held - 1].isspace():
        held += 1  # a line break to come would make one pre-token of the run
    return held
