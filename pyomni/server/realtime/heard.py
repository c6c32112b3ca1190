"""How much of an answer a listener has heard, in time and in words.

A client plays what it is sent as it comes, so the end of its playing is known from when each block was sent.
What was heard by then is told in words by the time each letter takes: the middle of the bounds of
`pyomni.text.length`, and for an answer that was made to its end, in proportion to how long it turned out.
Only words that were said to their end count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from pyomni.server.realtime.sound import RATE, milliseconds
from pyomni.text.length import spoken_time

__all__ = ["Playing", "said"]

#: Letters of a word; more of them are a script without spaces, which is cut anywhere.
LONGEST_WORD = 30


class Playing:
    """The playing of one answer at the other end.

    Parameters
    ----------
    clock : callable
        Seconds.

    Attributes
    ----------
    n_sent : int
        Samples sent.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self.n_sent, self._ends = clock, 0, -math.inf

    def sent(self, n: int) -> None:
        """Count a block that was sent; where the one before has been played, there was a gap."""
        self.n_sent += n
        self._ends = max(self._ends, self._clock()) + n / RATE

    @property
    def heard_ms(self) -> int:
        """Milliseconds heard so far."""
        return max(milliseconds(self.n_sent) - self._left_ms, 0)

    @property
    def goes_on(self) -> bool:
        """Whether something sent is still to be heard."""
        return self._left_ms > 0

    @property
    def _left_ms(self) -> int:
        return math.ceil(max(self._ends - self._clock(), 0) * 1000)


def said(text: str, heard_ms: float, made_ms: float, whole: bool) -> str:
    """Return the words of a text that were heard.

    Parameters
    ----------
    text : str
        All that was written.
    heard_ms, made_ms : float
        How much of the sound was heard, and how much there is.
    whole : bool
        Whether the sound says all of the text; else only some beginning of it.
    """
    if whole and heard_ms >= made_ms:
        return text
    times = [0.0]
    for character in text:
        one = spoken_time(character)
        times.append(times[-1] + math.sqrt(one.least * one.most))
    total = times[-1]
    pace = 1.0
    if total and (whole or made_ms > total):  # the sound cannot say more than was written
        pace = made_ms / total
    end = next((i for i, t in enumerate(times) if t * pace > heard_ms), len(text) + 1) - 1
    begin = end
    while 0 < begin < len(text) and _in_word(text[begin - 1]) and _in_word(text[begin]):
        begin -= 1
    if end - begin <= LONGEST_WORD:
        end = begin
    return text[:end].rstrip()


def _in_word(character: str) -> bool:
    """Whether it belongs to a word of several; a Chinese one stands alone."""
    return (character.isalnum() or character in "'’") and spoken_time(character).least < 60
