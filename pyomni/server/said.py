"""What was said aloud: a client may send the id of a sound in place of its words."""

from __future__ import annotations

import time
from collections import OrderedDict

from pyomni.server.failures import NotFound

__all__ = ["EXPIRES_S", "Said"]

#: Answers whose words are remembered, and for how many seconds.
REMEMBERED, EXPIRES_S = 512, 3600


class Said:
    """The words of the last answers by the ids of their sound."""

    def __init__(self) -> None:
        self._words: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def keep(self, name: str, text: str, until: float) -> None:
        """Remember the words of a sound until that time, of `time.time`."""
        self._words[name] = until, text
        while len(self._words) > REMEMBERED:
            self._words.popitem(last=False)

    def words(self, name: str) -> str:
        """Return the words of a sound.

        Raises
        ------
        NotFound
            They are not known, or not any more.
        """
        until, text = self._words.get(name, (0.0, ""))
        if until < time.time():
            raise NotFound(f"the sound {name[:100]!r} is not here any more, expected the words instead")
        return text
