"""WAV written as it is made: 16-bit PCM, one channel.

To a file the sizes in the header are patched on close; to a pipe the header is open-ended (both sizes
0xFFFFFFFF), which players read to the end of the stream.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from pyomni.errors import AudioError

__all__ = ["WavWriter", "to_int16"]

OPEN_ENDED = 0xFFFFFFFF


def to_int16(pcm: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Round samples to 16 bits: ``rint(clip(x, -1, 1) * 32767)``, ties to even, in float32.

    Every format pyomni writes goes through here, so all of them hold the same samples before compression.

    Parameters
    ----------
    pcm : float32 [n]
        Full scale is -1 to 1; what lies outside is clipped.

    Returns
    -------
    int16 [n], native byte order

    Raises
    ------
    AudioError
        A sample is not a finite number, or the array has more than one axis.
    """
    pcm = np.asarray(pcm, np.float32)
    if pcm.ndim != 1:
        raise AudioError(
            f"the samples have shape {list(pcm.shape)}, expected one axis, since speech has one channel"
        )
    if not np.isfinite(pcm).all():
        where = int(np.flatnonzero(~np.isfinite(pcm))[0])
        raise AudioError(f"sample {where} is {pcm[where]}, expected a finite number")
    return np.rint(np.clip(pcm, -1.0, 1.0) * np.float32(32767)).astype(np.int16)


def header(sample_rate: int, n_bytes: int | None) -> bytes:
    """Return the 44 bytes before the samples; `n_bytes` of samples, None for an open end."""
    open_end = n_bytes is None or n_bytes + 36 > OPEN_ENDED
    data = OPEN_ENDED if open_end or n_bytes is None else n_bytes
    riff = OPEN_ENDED if open_end else data + 36
    # PCM, one channel, 2 bytes a sample
    form = struct.pack("<HHIIHH", 1, 1, sample_rate, sample_rate * 2, 2, 16)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", riff, b"WAVE", b"fmt ", len(form))
        + form
        + struct.pack("<4sI", b"data", data)
    )


class WavWriter:
    """Write samples to an open binary file or pipe as they come.

    Parameters
    ----------
    file : binary file
        Stays open; `close` finishes the header only.
    sample_rate : int
        Hz.
    """

    def __init__(self, file: BinaryIO, sample_rate: int) -> None:
        self._file, self._rate, self._n_bytes = file, sample_rate, 0
        self._patch = file.seekable()
        self._start = file.tell() if self._patch else 0
        file.write(header(sample_rate, None))

    def write(self, pcm: npt.NDArray[np.float32]) -> None:
        """Append samples, float32 [n]; rounded by `to_int16`."""
        data = to_int16(pcm).astype("<i2", copy=False).tobytes()
        self._file.write(data)
        self._n_bytes += len(data)

    def close(self) -> None:
        """Write the true sizes where the file can seek."""
        if self._patch:
            self._file.seek(self._start)
            self._file.write(header(self._rate, self._n_bytes))
            self._file.seek(0, 2)
        self._file.flush()
