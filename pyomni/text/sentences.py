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
        if len(self._text) - self._seen <= self._seen // 64:  # what has no end is not read for each letter
            return []
        found = sentences(self._text)
        at, n = len(self._text), len(found)
        while n > 1:
            n -= 1
            at = self._text.rindex(found[n].text, 0, at)
            if KNOWN.match(self._text, at) or ENDED.search(found[n - 1].text):
                self._text, self._seen = self._text[at:], len(self._text) - at
                return found[:n]
        self._seen = len(self._text)
        return []

    def finish(self) -> list[Piece]:
        """Return the sentences of what is left."""
        text, self._text, self._seen = self._text, "", 0
        return sentences(text)
