"""The guard: what a speech is watched for while it is made, and when that is trouble.

Speech models fail in few ways: they go round in a loop, fall silent, miss their end, or end at once. The
first two are seen in the codes of group 0, which cost nothing to look at; samples are decoded only where the
codes give cause. `docs/guard.md` has the rules in prose. A `Watch` knows nothing but frames and numbers: who
rolls back, and how, is `pyomni.pipelines.lane`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "EARLY",
    "OVERRUN",
    "REPETITION",
    "SILENCE",
    "TRIES",
    "UNTOUCHED",
    "GuardCounts",
    "Levels",
    "Watch",
]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

#: Frames, int32 [n, n_groups], to their level in dB of full scale, float32 [n]; the first few of a clip that
#: is cut out of a speech are not yet right.
Levels = Callable[[I32], F32]

#: Kinds of trouble.
REPETITION, SILENCE, OVERRUN, EARLY = "repetition", "silence", "overrun", "early"

#: Rolled back so often in one generation, then it ends with what is good.
TRIES = 6

#: Seconds: how soon a look-alike is held back; how long a loop, a silence must last; the longest period
#: looked for; how much before the most frames there may be is held back.
SUSPECT_S, LOOP_S, SILENCE_S, PERIOD_S, TAIL_S = 0.8, 2.0, 3.0, 4.0, 2.0
#: A frame unlike the one a period ago takes back so many that were alike: a loop is alike in 4 of 5.
UNLIKE = 4
#: Shares of one code among the frames of `SUSPECT_S` that begin and end a suspicion; among those of
#: `SILENCE_S` that give cause to listen; and of quiet frames that make it a silence.
BEGINS, CLEARS, LISTEN, SILENT = 0.6, 0.3, 0.4, 0.8
#: Quiet is below this, in dB of full scale: a voice is 20 to 30 above, a trained codec's silence 10 below.
QUIET_DB = -50.0
#: Frames until a codec that starts in the middle of a speech gives the right level.
SETTLE = 3


class GuardCounts(NamedTuple):
    """How often a speech was rolled back, by reason.

    Attributes
    ----------
    repetition, silence : int
        The codes went round in a loop; near silence lasted.
    overrun, early : int
        The text did not end in the time allowed for it; it ended before it could have been said.
    dropped : int
        Frames that were made and thrown away.
    """

    repetition: int = 0
    silence: int = 0
    overrun: int = 0
    early: int = 0
    dropped: int = 0

    @property
    def attempts(self) -> int:
        """Times it was rolled back, which is what fresh draws are keyed by."""
        return self.repetition + self.silence + self.overrun + self.early

    def plus(self, other: GuardCounts) -> GuardCounts:
        """Return the sum, field by field."""
        return GuardCounts(*(a + b for a, b in zip(self, other, strict=True)))

    def after(self, trouble: str, dropped: int) -> GuardCounts:
        """Return the counts after a roll-back."""
        return self._replace(**{trouble: getattr(self, trouble) + 1, "dropped": self.dropped + dropped})


#: Of a speech that was left as it is.
UNTOUCHED = GuardCounts()


class Watch:
    """Looks at the frames of one generation as they are made.

    Parameters
    ----------
    frames_per_second : float
        Of the codec.
    levels : callable or None
        Where a codec can be asked; without one, nothing is taken for silence.

    Attributes
    ----------
    suspicious : bool
        The newest frames may turn out to be trouble.
    tail : int
        Frames before the most there may be that are held back.
    """

    def __init__(self, frames_per_second: float, levels: Levels | None = None) -> None:
        def frames(seconds: float) -> int:
            return max(round(seconds * frames_per_second), 2)

        self.tail = frames(TAIL_S)
        self._n_suspect, self._n_silence, self._n_period = map(frames, (SUSPECT_S, SILENCE_S, PERIOD_S))
        # a loop of period p is three rounds of it, and `LOOP_S` at least
        self._needed = np.maximum(2 * np.arange(1, self._n_period + 1), frames(LOOP_S))
        self._levels = levels
        self._frames: list[I32] = []
        self._code0: list[int] = []
        self.forget(0)

    def forget(self, n: int) -> None:
        """Forget the frames from the n-th on."""
        kept, self._frames, self._code0 = self._frames[:n], [], []
        self.suspicious = False
        self._alike = np.zeros(self._n_period, np.int64)  # by period - 1: frames alike so far
        self.recall(kept)

    def recall(self, frames: Iterable[I32]) -> None:
        """Take up frames that were looked at before."""
        for frame in frames:
            self._note(frame)

    def see(self, frame: I32) -> str | None:
        """Look at the next frame, int32 [n_groups]; return the trouble it makes certain, or None."""
        self._note(frame)
        if not self.suspicious:
            return None
        loops = bool((self._alike >= self._needed).any())
        recent = self._code0[-self._n_silence :]
        fills = len(recent) == self._n_silence and _share(recent) >= LISTEN
        # to listen at each frame would cost as much as the speech; what was heard is not remembered, so that
        # a speech that was saved goes on as it would have
        if not (loops or fills) or len(self._code0) % self._n_suspect:
            return None
        n_loop = int(self._needed.min())
        quiet = self._quiet(self._n_silence if fills else n_loop)
        if fills and quiet.mean() >= SILENT:
            return SILENCE
        # a loop of near silence is one of silence, which has more time
        return REPETITION if loops and quiet[-n_loop:].mean() < SILENT else None

    def quiet(self) -> bool:
        """Return whether the frames held back at the end of the time allowed are near silence."""
        return bool(self._quiet(self.tail).mean() >= SILENT)

    def _note(self, frame: I32) -> None:
        code = int(frame[0])
        newest_first = self._code0[: -self._n_period - 1 : -1]  # that is, periods 1, 2, ...
        alike = np.zeros(self._n_period, np.bool_)
        alike[: len(newest_first)] = np.array(newest_first, np.int64) == code
        # never far beyond what is needed, so that the end of a loop is seen soon after it
        most = self._needed + self._n_suspect
        self._alike = np.clip(self._alike + np.where(alike, 1, -UNLIKE), 0, most)
        self._frames.append(frame)
        self._code0.append(code)
        recent = self._code0[-self._n_suspect :]
        share = _share(recent) * len(recent) / self._n_suspect
        if share >= BEGINS or self._alike.max() >= self._n_suspect:
            self.suspicious = True
        elif share <= CLEARS and self._alike.max() < self._n_suspect // 2:
            self.suspicious = False

    def _quiet(self, n: int) -> npt.NDArray[np.bool_]:
        """Return which of the last n frames are near silence; fewer, where there are."""
        if self._levels is None:
            return np.zeros(1, np.bool_)
        return self._levels(np.stack(self._frames[-n - SETTLE :]).astype(np.int32))[-n:] < QUIET_DB


def _share(codes: list[int]) -> float:
    """Return the share of the commonest code."""
    return max(map(codes.count, set(codes))) / len(codes)
