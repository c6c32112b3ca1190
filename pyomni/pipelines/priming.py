"""Sessions put where a voice begins: a codec that has heard a clip, a talker that has read how prompts begin.

Either costs as much as the clip is long and is the same for every speech of the voice: it is kept by content.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.digests import content_key
from pyomni.errors import PyOmniError
from pyomni.pipelines.keep import Kept

__all__ = ["REFERENCE_WIDTH", "Prefixes", "Primed", "hear"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

#: Frames of a reference per codec call: a long clip takes no more memory than a long speech.
REFERENCE_WIDTH = 8


class Listener(Protocol):
    """The part of `pyomni.components.codec.CodecDecoder` that hears."""

    def decode(self, codes: I32, lane: int = 0) -> F32: ...


class Lanes(Protocol):
    """Something with lanes that can be saved and put back."""

    def save(self, lane: int = 0) -> bytes: ...

    def load(self, saved: bytes, lane: int = 0) -> None: ...


class Snapshots(Listener, Lanes, Protocol):
    """A codec decoder that can also be put back where it was."""


class Reader(Lanes, Protocol):
    """The part of `pyomni.components.lm.DecoderLM` that reads a prompt."""

    def decode(self, rows: F32, *, lanes: list[int]) -> object: ...


def hear(codec: Listener, reference: I32) -> F32:
    """Decode frames, int32 [n_frames, n_groups], in lane 0 of a rewound codec: float32 [n]."""
    blocks = [
        codec.decode(np.ascontiguousarray(reference[begin : begin + REFERENCE_WIDTH]), lane=0)
        for begin in range(0, len(reference), REFERENCE_WIDTH)
    ]
    return np.concatenate([np.zeros(0, np.float32), *blocks])


class _States:
    """States of sessions by content.

    Parameters
    ----------
    kept : Kept
        Where they are kept.
    model : str
        Tells models apart (`file_identity`).
    """

    def __init__(self, kept: Kept, model: str = "") -> None:
        self._kept, self._model = kept, model

    def _recall(
        self, what: str, content: npt.NDArray[Any], lanes: Lanes, lane: int, make: Callable[[], object]
    ) -> None:
        """Put a lane where `make` brings it, by loading what was kept or by making and keeping it."""
        key = content_key(what, self._model, repr(content.shape), content.tobytes())
        state = self._kept.get(key)
        if state is not None:
            try:
                lanes.load(state, lane)
            except PyOmniError:  # of other weights, or of an older version: made anew
                state = None
        if state is None:
            make()
            self._kept.put(key, lanes.save(lane))


class Primed(_States):
    """Codec states by what was heard."""

    def hear(self, codec: Snapshots, reference: I32) -> None:
        """Do as `hear`; a reference heard before is recalled, to the same samples after it."""
        self._recall("codec", reference, codec, 0, lambda: hear(codec, reference))

    def before(self, codec: Snapshots, reference: I32 | None) -> Callable[[], None] | None:
        """Return what lets a codec hear a reference before it decodes; None where there is none."""
        return None if reference is None else partial(self.hear, codec, reference)


class Prefixes(_States):
    """Talker states by the rows that were read."""

    def fill(self, talker: Reader, lane: int, rows: F32) -> None:
        """Read rows, float32 [n, n_embd], in a rewound lane; rows read before are recalled."""
        self._recall("talker", rows, talker, lane, lambda: talker.decode(rows[None], lanes=[lane]))
