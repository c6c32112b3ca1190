"""Samples to the bytes of a format: whole, or as they come."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.audio.formats import FORMATS, open_writer
from pyomni.audio.wav import to_int16

__all__ = ["Encoder", "whole"]

F32 = npt.NDArray[np.float32]


def whole(pcm: F32, sample_rate: int, kind: str, info: Mapping[str, str]) -> bytes:
    """Return a finished file, as `Speech.save` writes it."""
    buffer = io.BytesIO()
    writer = open_writer(buffer, kind, sample_rate)
    writer.write(pcm)
    writer.close(info)
    return buffer.getvalue()


class Encoder:
    """Encode samples as they come; headers are open-ended, as nobody can go back in a stream."""

    def __init__(self, kind: str, sample_rate: int) -> None:
        self._file: Any = None
        self._sink: io.BytesIO = _Pipe() if FORMATS[kind] is None else io.BytesIO()
        self._sent = 0
        if FORMATS[kind] is None:
            self._writer = open_writer(self._sink, kind, sample_rate)
        else:
            import soundfile

            container, encoding = FORMATS[kind] or ("", "")
            # nobody goes back to write an MP3's length into it; at a constant rate its size tells
            rate = {"bitrate_mode": "CONSTANT", "compression_level": 0.5} if kind == "mp3" else {}
            self._file = soundfile.SoundFile(
                self._sink,
                "w",
                samplerate=sample_rate,
                channels=1,
                format=container,
                subtype=encoding,
                **rate,
            )

    def push(self, pcm: F32) -> bytes:
        """Return the bytes that samples, float32 [n], complete; there may be none yet."""
        if self._file is None:
            self._writer.write(pcm)
        else:
            self._file.write(to_int16(pcm))
        return self._new()

    def finish(self) -> bytes:
        """Return the last bytes."""
        if self._file is None:
            self._writer.close()
        else:
            self._file.close()
        return self._new()

    def _new(self) -> bytes:
        """Return what was appended; what libsndfile patches in earlier bytes has been sent already."""
        found = self._sink.getbuffer()[self._sent :].tobytes()
        self._sent += len(found)
        return found


class _Pipe(io.BytesIO):
    """A file that says it cannot seek."""

    def seekable(self) -> bool:
        """Return no."""
        return False
