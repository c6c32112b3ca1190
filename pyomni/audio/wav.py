"""WAV written as it is made: 16-bit PCM, one channel, and what a file says of itself.

To a file the sizes in the header are patched on close; to a pipe the header is open-ended (both sizes
0xFFFFFFFF), which players read to the end of the stream. What is known of the sound when it ends follows it
in a ``LIST`` chunk of type ``INFO``, which readers of sound pass over; in a pipe it would be heard, so there
is none.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from pyomni.errors import AudioError

__all__ = ["WavWriter", "read_info", "to_int16"]

OPEN_ENDED = 0xFFFFFFFF
#: Bytes of a `LIST` chunk that are still read.
LARGEST_LIST = 1 << 20


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


def header(sample_rate: int, n_bytes: int | None, n_after: int = 0) -> bytes:
    """Return the 44 bytes before the samples.

    Parameters
    ----------
    sample_rate : Hz
    n_bytes : of samples; None for an open end
    n_after : bytes of what follows them
    """
    open_end = n_bytes is None or n_bytes + n_after + 36 > OPEN_ENDED
    data = OPEN_ENDED if open_end or n_bytes is None else n_bytes
    riff = OPEN_ENDED if open_end else data + n_after + 36
    # PCM, one channel, 2 bytes a sample
    form = struct.pack("<HHIIHH", 1, 1, sample_rate, sample_rate * 2, 2, 16)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", riff, b"WAVE", b"fmt ", len(form))
        + form
        + struct.pack("<4sI", b"data", data)
    )


def info_chunk(info: Mapping[str, str]) -> bytes:
    """Return a ``LIST`` chunk of type ``INFO``: texts by their names of four characters; nothing for none."""
    body = b""
    for name, text in info.items():
        raw = text.encode() + b"\0"
        body += struct.pack("<4sI", name.encode(), len(raw)) + raw + b"\0" * (len(raw) % 2)
    return struct.pack("<4sI4s", b"LIST", len(body) + 4, b"INFO") + body if body else b""


def read_info(path: str | Path) -> dict[str, str]:
    """Return what a WAV file says of itself, texts by their names of four characters; nothing for no WAV.

    Sizes are believed as far as the file goes.

    Raises
    ------
    OSError
        It cannot be read.
    """
    found: dict[str, str] = {}
    with Path(path).open("rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return found
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            after = file.tell() + size + size % 2
            if head[:4] == b"LIST" and size <= LARGEST_LIST:
                body = file.read(size)
                at = 4 if body[:4] == b"INFO" else len(body)
                while at + 8 <= len(body):
                    n = int.from_bytes(body[at + 4 : at + 8], "little")
                    text = body[at + 8 : at + 8 + n].rstrip(b"\0").decode(errors="replace")
                    found[body[at : at + 4].decode("ascii", "replace")] = text
                    at += 8 + n + n % 2
            file.seek(after)
    return found


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

    def close(self, info: Mapping[str, str] | None = None) -> None:
        """Write the true sizes, and what the file says of itself, where it can seek."""
        if self._patch:
            after = info_chunk(info or {})
            if self._n_bytes + len(after) + 36 > OPEN_ENDED:
                after = b""
            self._file.write(after)
            self._file.seek(self._start)
            self._file.write(header(self._rate, self._n_bytes, len(after)))
            self._file.seek(0, 2)
        self._file.flush()
