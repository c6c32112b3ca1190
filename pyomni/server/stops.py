"""Words that end a text, found as it comes."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Stops"]


class Stops:
    """Lets a text through up to the first of some words; what may be the beginning of one waits.

    Parameters
    ----------
    words : sequence of str
        None of them empty.

    Attributes
    ----------
    hit : bool
        One was found; nothing follows.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._held = ""
        self.hit = False

    def push(self, text: str) -> str:
        """Take more text and return what may be shown."""
        if self.hit or not self._words:
            return "" if self.hit else text
        held = self._held + text
        found = [at for word in self._words if (at := held.find(word)) >= 0]
        if found:
            self.hit, self._held = True, ""
            return held[: min(found)]
        n = max(_begun(held, word) for word in self._words)
        self._held = held[len(held) - n :]
        return held[: len(held) - n]

    def finish(self) -> str:
        """Return what waited, at the end of the text."""
        held, self._held = self._held, ""
        return held


def _begun(text: str, word: str) -> int:
    """Return how many last characters of a text a word begins with."""
    return next((n for n in range(min(len(word) - 1, len(text)), 0, -1) if text.endswith(word[:n])), 0)
