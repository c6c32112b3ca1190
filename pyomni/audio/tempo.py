"""Faster or slower at the same pitch, as samples come: FFmpeg's `atempo` filter (the package av)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.audio.ffmpeg import lacking
from pyomni.errors import ArgumentError, AudioError

__all__ = ["SPEEDS", "Tempo", "check_speed", "stretched", "why_not"]

F32 = npt.NDArray[np.float32]

#: Slowest and fastest.
SPEEDS = (0.25, 4.0)
#: What one filter of the chain does at most; a larger factor would leave samples out.
ONE = 2.0


def why_not() -> str | None:
    """Return what is missing to change the speed here, None where nothing is."""
    return lacking("filter", "atempo")


def check_speed(speed: float) -> float:
    """Return a speed that can be had.

    Raises
    ------
    ArgumentError
        It is no number within `SPEEDS`.
    """
    slowest, fastest = SPEEDS
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not slowest <= speed <= fastest:
        raise ArgumentError(
            f"speed is {str(speed)[:40]!r}, expected a number from {slowest:g} to {fastest:g}"
        )
    return float(speed)


class Tempo:
    """Change the speed of speech that comes in blocks; the joined result does not depend on the blocks.

    Speed 1 gives back the very samples, and needs no package.

    Parameters
    ----------
    sample_rate : int
        Hz.
    speed : float
        2 is twice as fast.

    Raises
    ------
    ArgumentError
        The speed is out of its range.
    AudioError
        The filter is not there.
    """

    def __init__(self, sample_rate: int, speed: float) -> None:
        self._rate, self._speed = sample_rate, check_speed(speed)
        self._n_in = self._n_out = 0
        self._held = np.zeros(0, np.float32)
        self._graph = None if self._speed == 1 else _graph(sample_rate, self._speed)

    def push(self, pcm: F32) -> F32:
        """Return what is ready after more samples, float32 [n]; it may be nothing."""
        if self._graph is None:
            return pcm
        self._n_in += len(pcm)
        # in small pieces: the filter keeps what it makes until it has made up for all of the last one
        n = max(1, self._rate // 50)
        return self._give(*(self._filtered(pcm[i : i + n]) for i in range(0, len(pcm), n)))

    def finish(self) -> F32:
        """Return the rest, float32 [n]: in all, ``round(n / speed)`` samples for n."""
        if self._graph is None:
            return np.zeros(0, np.float32)
        # the filter ends with whole windows, up to one short of its input: silence makes the last ones full
        more = self._give(self._filtered(np.zeros(self._rate // 4, np.float32)), self._filtered(None))
        return np.pad(more, (0, self._due - self._n_out))

    @property
    def _due(self) -> int:
        return round(self._n_in / self._speed)

    def _give(self, *new: F32) -> F32:
        """Return what is due of what is there: the filter may be ahead by a part of a window."""
        every = np.concatenate([self._held, *new])
        n = min(self._due - self._n_out, len(every))
        self._held, self._n_out = every[n:], self._n_out + n
        return every[:n]

    def _filtered(self, pcm: F32 | None) -> F32:
        """Push a block, or None for the end, and return what the filter gives for it."""
        import av

        graph: Any = self._graph
        if pcm is None:
            graph.push(None)
        elif len(pcm):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(pcm, np.float32)[None], format="flt", layout="mono"
            )
            frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
            graph.push(frame)
        found = [np.zeros(0, np.float32)]
        while True:
            try:
                found.append(graph.pull().to_ndarray()[0].copy())
            except (av.error.BlockingIOError, av.error.EOFError):
                return np.concatenate(found)


def stretched(blocks: Iterable[F32], sample_rate: int, speed: float) -> Iterator[F32]:
    """Yield blocks of speech, float32 [n] each, at another speed; raises what `Tempo` does, at once."""
    tempo = Tempo(sample_rate, speed)

    def run() -> Iterator[F32]:
        for pcm in blocks:
            if len(new := tempo.push(pcm)):
                yield new
        if len(new := tempo.finish()):
            yield new

    return run()


def _graph(sample_rate: int, speed: float) -> Any:
    """Return a chain of filters that makes sound of one channel so much faster."""
    if (reason := why_not()) is not None:
        raise AudioError(f"speed {speed:g} cannot be had here: {reason}")
    import av

    # equal steps, so that no window is stretched more than the others
    n = 1
    while not 1 / ONE <= speed ** (1 / n) <= ONE:
        n += 1
    graph = av.filter.Graph()
    last = graph.add(
        "abuffer",
        f"time_base=1/{sample_rate}:sample_rate={sample_rate}:sample_fmt=flt:channel_layout=mono",
    )
    for _ in range(n):
        step = graph.add("atempo", f"{speed ** (1 / n):.9f}")
        last.link_to(step)
        last = step
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    return graph
