"""Sentences of a text that is still arriving."""

from __future__ import annotations

import re

from pyomni.text.split import ENDED, Piece, sentences

__all__ = ["Sentences"]

#: A beginning whose first word will not grow any more: only then is it known whether a sentence begins there.
KNOWN = re.compile(r"\W*\w+\W")


class Sentences:
    """Hands out each sentence once the next one has begun; see `sentences` for what one is.

    Between what is handed out, nothing but white space is lost.
    """

    def __init__(self) -> None:
        self._text, self._seen = "", 0

    def feed(self, text: str) -> list[Piece]:
        """Take some text, and return the sentences that are complete by now."""
        self._text += text
        if (
            len(self._text) - self._seen <= self._seen // 64
        ):  # what has no end is not read over for each letter
            return []
        found = sentences(self._text)
        whole = found[:-1]
        if whole and not KNOWN.match(found[-1].text) and not ENDED.search(whole[-1].text):
            whole.pop()
        if whole:
            rest = found[len(whole) :]
            at = len(self._text)
            for piece in reversed(rest):
                at = self._text.rindex(piece.text, 0, at)
            self._text = self._text[at:]
        self._seen = len(self._text)
        return whole

    def finish(self) -> list[Piece]:
        """Return the sentences of what is left."""
        text, self._text, self._seen = self._text, "", 0
        return sentences(text)
