"""Frames to samples, a block at a time: small blocks first, so that the first sound comes early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK_WIDTHS", "Blocks", "Timings", "pcm_blocks"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
#: Calls what it is given and returns what that returns.
Run = Callable[[Callable[[], F32]], F32]

#: Frames per codec call: the first sound after one frame, then wider, the last width for ever.
#: Speech, streams and decoded codes all use it, which is why they agree bit for bit.
BLOCK_WIDTHS = (1, 2, 4, 8)


class Codec(Protocol):
    """The part of `pyomni.components.codec.CodecDecoder` the loop needs."""

    def decode(self, codes: I32, lane: int = 0) -> F32: ...

    def rewind(self, lane: int = 0) -> None: ...


@dataclass
class Timings:
    """Seconds spent by component, and how much they did. Frames count each lane, steps all lanes once.

    Of code groups that were proposed, `n_proposed` were looked at, and `n_accepted` of them accepted.
    """

    prefill_s: float = 0.0
    talker_s: float = 0.0
    predictor_s: float = 0.0
    codec_s: float = 0.0
    n_prefill: int = 0
    n_frames: int = 0
    n_steps: int = 0
    n_proposed: int = 0
    n_accepted: int = 0


class Blocks:
    """Turns frames into samples, in blocks of 1, 2, 4, 8, 8, ... frames.

    Parameters
    ----------
    codec : CodecDecoder
        Lane 0 is rewound.
    timings : Timings, optional
        Added to.
    prime : callable, optional
        Called once lane 0 is rewound: lets the codec hear a reference, whose sound this then continues.
    n_blocks : int
        Blocks made before, where an earlier stream goes on.
    run : callable, optional
        Decodes a block, by calling what it is given, and returns the samples; perhaps in another thread
        (`pyomni.pipelines.beside`). The first block is decoded here: nothing is to delay the first sound.
    """

    def __init__(
        self,
        codec: Codec,
        timings: Timings | None = None,
        prime: Callable[[], None] | None = None,
        n_blocks: int = 0,
        run: Run | None = None,
    ) -> None:
        self._codec, self._clock = codec, timings if timings is not None else Timings()
        self._waiting: list[I32] = []
        self._n_blocks, self._run = n_blocks, run
        codec.rewind(0)
        if prime is not None:
            start = perf_counter()
            prime()
            self._clock.codec_s += perf_counter() - start

    def push(self, frame: I32) -> F32 | None:
        """Append a frame, int32 [n_groups]; return a block it completes, float32 [n]."""
        self._waiting.append(frame)
        if len(self._waiting) < BLOCK_WIDTHS[min(self._n_blocks, len(BLOCK_WIDTHS) - 1)]:
            return None
        return self.finish()

    def finish(self) -> F32 | None:
        """Return the samples of frames that wait, which may be fewer than a block has; None if none do."""
        if not self._waiting:
            return None
        decode = partial(_decode, self._codec, self._waiting, self._clock)
        pcm = self._run(decode) if self._run is not None and self._n_blocks else decode()
        self._waiting = []
        self._n_blocks += 1
        return pcm


def pcm_blocks(
    codec: Codec,
    frames: Iterable[I32],
    timings: Timings | None = None,
    prime: Callable[[], None] | None = None,
    n_blocks: int = 0,
    run: Run | None = None,
) -> Iterator[F32]:
    """Turn frames into samples as they come; the last block may be narrower. Arguments are those of `Blocks`.

    Parameters
    ----------
    frames : iterable of int32 [n_groups]
        Taken as they come.

    Yields
    ------
    float32 [n]
    """
    blocks = Blocks(codec, timings, prime, n_blocks, run)
    for frame in frames:
        if (pcm := blocks.push(frame)) is not None:
            yield pcm
    if (pcm := blocks.finish()) is not None:
        yield pcm


def _decode(codec: Codec, frames: Sequence[I32], clock: Timings) -> F32:
    start = perf_counter()
    pcm = codec.decode(np.stack(frames).astype(np.int32, copy=False), lane=0)
    clock.codec_s += perf_counter() - start
    return pcm
