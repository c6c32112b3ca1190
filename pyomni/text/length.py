"""How long a text takes to say, at least and at most, counted by its characters.

Nothing here is of a model or a voice: a tokenizer may count a letter or a word as one, a listener hears
letters. The bounds are far apart on purpose. Faster than the least is no speech that anyone follows, slower
than the most no reading aloud: 40 letters a second (auctioneers reach 25, people 15) and six (80 words a
minute, with pauses). Times are whole milliseconds, so that a text and its pieces add up to the same.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

__all__ = ["SpokenTime", "spoken_time"]


class SpokenTime(NamedTuple):
    """Milliseconds a text takes to say.

    Attributes
    ----------
    least, most : int
        Without the silence around it.
    """

    least: int
    most: int

    def plus(self, other: SpokenTime) -> SpokenTime:
        """Return the time of one text after the other."""
        return SpokenTime(self.least + other.least, self.most + other.most)


#: Of an alphabet's letter; of one that may be spelled out (NASA), or of a script that leaves vowels out.
LETTER, CAPITAL, OTHER_LETTER = SpokenTime(25, 160), SpokenTime(25, 600), SpokenTime(25, 400)
#: Of a syllable's or a word's own character: Chinese, Japanese, Korean.
WIDE = SpokenTime(60, 700)
DIGIT = SpokenTime(25, 1200)
#: Said as a word ("per cent"), or not at all; a mark is a pause at most.
SYMBOL, MARK, SPACE, NOTHING = (
    SpokenTime(0, 1500),
    SpokenTime(0, 1000),
    SpokenTime(0, 100),
    SpokenTime(0, 100),
)


def spoken_time(text: str) -> SpokenTime:
    """Return the time a text takes to say, the sum over its characters."""
    least = most = 0
    for character in text:
        one = _of(character)
        least += one.least
        most += one.most
    return SpokenTime(least, most)


def _of(character: str) -> SpokenTime:
    if "a" <= character <= "z":
        return LETTER
    kind = unicodedata.category(character)
    if kind in ("Ll", "Lu", "Lt"):
        return LETTER if kind == "Ll" else CAPITAL
    if kind[0] == "L":
        return WIDE if unicodedata.east_asian_width(character) in "WF" else OTHER_LETTER
    if kind[0] == "N":
        return DIGIT
    if kind[0] == "S":
        return SYMBOL
    if kind[0] == "P":
        return MARK
    return SPACE if kind[0] == "Z" else NOTHING
