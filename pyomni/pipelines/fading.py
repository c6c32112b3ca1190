"""The edges of parts: into silence and out of it, so that no step is left that could click."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["FADE_S", "Fader", "faded"]

F32 = npt.NDArray[np.float32]

#: Seconds of each fade.
FADE_S = 0.005


def faded(blocks: Iterable[F32], n_in: int, n_out: int) -> Iterator[F32]:
    """Fade the first `n_in` samples in and the last `n_out` out, by half a cosine; the rest is untouched.

    The last `n_out` samples so far are held back until it is known whether they are the last.
    """
    fader = Fader(n_in, n_out)
    for given in blocks:
        if len(block := fader.push(given)):
            yield block
    if len(held := fader.finish()):
        yield held


class Fader:
    """`faded` for a caller who pushes blocks."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self._n_in, self._n_out = n_in, n_out
        self._rise = _rise(n_in)
        self._held = np.zeros(0, np.float32)
        self._at = 0

    def push(self, given: F32) -> F32:
        """Return what is ready, float32 [n], which may be nothing."""
        block, n_out = given, self._n_out
        if self._at < self._n_in:
            block = block.copy()
            n = min(self._n_in - self._at, len(block))
            block[:n] *= self._rise[self._at : self._at + n]
        self._at += len(given)
        if n_out:
            block = np.concatenate([self._held, block])
            self._held = block[max(len(block) - n_out, 0) :].copy()  # a view would keep the block alive
            block = block[: len(block) - len(self._held)]
        return block

    def finish(self) -> F32:
        """Return what was held back, faded out."""
        self._held *= _rise(self._n_out)[::-1][self._n_out - len(self._held) :]
        return self._held


def _rise(n: int) -> F32:
    """Half a cosine from just above 0 to just below 1, float32 [n]."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))).astype(np.float32)
