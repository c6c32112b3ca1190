"""Sound of a session: 16 bits, 24 kHz, one channel, as base64 in events."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.audio.wav import to_int16
from pyomni.server.realtime.events import Refused

__all__ = ["RATE", "InputBuffer", "OutputSound", "as_base64", "milliseconds", "pcm_of", "samples"]

F32 = npt.NDArray[np.float32]
I16 = npt.NDArray[np.int16]

#: Samples a second, both ways.
RATE = 24000


def milliseconds(n: int) -> int:
    """Return how long `n` samples take."""
    return n * 1000 // RATE


def samples(ms: float) -> int:
    """Return how many samples take so long."""
    return int(ms * RATE / 1000)


def pcm_of(value: Any, param: str) -> I16:
    """Return the samples of base64, int16 [n].

    Raises
    ------
    Refused
        It is not base64, or not of whole samples.
    """
    try:
        if not isinstance(value, str):
            raise ValueError
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("invalid_value", f"{param} is not base64, expected 16-bit samples", param) from None
    if len(data) % 2:
        raise Refused(
            "invalid_value", f"{param} has {len(data)} bytes, expected an even number: 16-bit samples", param
        )
    return np.frombuffer(data, "<i2").astype(np.int16)


class InputBuffer:
    """What the microphone gave and no turn has taken yet.

    Attributes
    ----------
    start, end : int
        Places of its first sample and of the next to come, counted over the whole session.
    """

    def __init__(self) -> None:
        self.start = self.end = 0
        self._blocks: list[I16] = []

    def __len__(self) -> int:
        return self.end - self.start

    def append(self, pcm: I16) -> None:
        """Put samples behind it."""
        self._blocks.append(pcm)
        self.end += len(pcm)

    def drop_before(self, place: int) -> None:
        """Forget what comes before a place."""
        while self._blocks and self.start + len(self._blocks[0]) <= place:
            self.start += len(self._blocks.pop(0))
        if self._blocks and place > self.start:
            self._blocks[0] = self._blocks[0][place - self.start :].copy()
            self.start = place

    def take(self, begin: int, end: int) -> I16:
        """Return the samples between two places, int16 [n], and forget all before the second."""
        self.drop_before(begin)
        held = np.concatenate([np.zeros(0, np.int16), *self._blocks])
        self.drop_before(end)
        return held[: max(end - begin, 0)]

    def clear(self) -> None:
        """Forget everything."""
        self.drop_before(self.end)


class OutputSound:
    """A model's samples on their way to base64.

    Parameters
    ----------
    sample_rate : int
        Of the model, Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._to_rate: Any = None
        if sample_rate != RATE:
            import soxr

            self._to_rate = soxr.ResampleStream(sample_rate, RATE, 1, dtype="float32")

    def push(self, pcm: F32, last: bool = False) -> I16:
        """Return what samples, float32 [n], complete, int16 [m]; the last call gives what was held back."""
        if self._to_rate is not None:
            pcm = self._to_rate.resample_chunk(pcm, last=last)
        return to_int16(pcm)


def as_base64(pcm: I16) -> str:
    """Return samples as an event carries them."""
    return base64.b64encode(pcm.astype("<i2").tobytes()).decode()
