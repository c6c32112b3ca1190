"""A codec decoder that has heard a clip: its state, kept for the next speech of the same voice."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["PRIMED_BYTES", "REFERENCE_WIDTH", "Primed", "hear"]

I32 = npt.NDArray[np.int32]

#: States are kept up to this many bytes: a dozen voices at the released sizes.
PRIMED_BYTES = 64 * 2**20

#: Frames of a reference per codec call: a long clip takes no more memory than a long speech.
REFERENCE_WIDTH = 8


class Listener(Protocol):
    """The part of `pyomni.components.codec.CodecDecoder` that hears."""

    def decode(self, codes: I32, lane: int = 0) -> npt.NDArray[np.float32]: ...


class Snapshots(Listener, Protocol):
    """One that can also be put back where it was."""

    def save(self, lane: int = 0) -> bytes: ...

    def load(self, saved: bytes, lane: int = 0) -> None: ...


def hear(codec: Listener, reference: I32) -> None:
    """Decode a reference, int32 [n_frames, n_groups], in lane 0 of a rewound codec, for its state alone."""
    for begin in range(0, len(reference), REFERENCE_WIDTH):
        codec.decode(np.ascontiguousarray(reference[begin : begin + REFERENCE_WIDTH]), lane=0)


class Primed:
    """Codec states by what was heard, the least recently used going first.

    Parameters
    ----------
    max_bytes : int
        They are kept up to this size.
    """

    def __init__(self, max_bytes: int = PRIMED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """Bytes kept now."""
        return sum(map(len, self._kept.values()))

    def hear(self, codec: Snapshots, reference: I32) -> None:
        """Do as `hear`; a reference heard before is recalled, to the same samples after it."""
        key = hashlib.sha256(repr(reference.shape).encode() + reference.tobytes()).digest()
        state = self._kept.pop(key, None)
        if state is None:
            hear(codec, reference)
            state = codec.save(0)
        else:
            codec.load(state, 0)
        self._kept[key] = state
        while self.n_bytes > self._max_bytes:
            self._kept.popitem(last=False)
