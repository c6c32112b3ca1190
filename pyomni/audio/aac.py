"""AAC as a stream of ADTS packets, by FFmpeg's encoder (the package av)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pyomni.audio.ffmpeg import lacking
from pyomni.errors import AudioError

__all__ = ["AacWriter", "why_not"]

F32 = npt.NDArray[np.float32]

#: Bits per second: what one channel of speech needs to sound as it came.
BIT_RATE = 64_000
#: Samples per second the format knows.
RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


def why_not() -> str | None:
    """Return what is missing to write AAC here, None where nothing is."""
    return lacking("encoder", "aac")


class AacWriter:
    """Write samples as they come; each packet is in the file as soon as it is full (1024 samples).

    Parameters
    ----------
    file : binary file or pipe
    sample_rate : int
        One of `RATES`.

    Raises
    ------
    AudioError
        No encoder, or another rate.
    """

    def __init__(self, file: BinaryIO, sample_rate: int) -> None:
        reason = why_not()
        if reason is None and sample_rate not in RATES:
            reason = f"the format has no such rate, expected one of {', '.join(map(str, RATES))}"
        if reason is not None:
            raise AudioError(f"aac at {sample_rate} Hz cannot be written here: {reason}")
        import av

        self._file, self._rate, self._n = file, sample_rate, 0
        self._container: Any = av.open(file, "w", format="adts", options={"flush_packets": "1"})
        self._stream: Any = self._container.add_stream("aac", rate=sample_rate)
        self._stream.codec_context.layout = "mono"
        self._stream.codec_context.bit_rate = BIT_RATE

    def write(self, pcm: F32) -> None:
        """Append samples, float32 [n]."""
        import av

        if not len(pcm):
            return
        frame = av.AudioFrame.from_ndarray(np.clip(pcm, -1, 1)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._n, Fraction(1, self._rate)
        self._n += len(pcm)
        self._container.mux(self._stream.encode(frame))

    def close(self, info: Mapping[str, str] | None = None) -> None:
        """Write the last packets; the file stays open, and `info` has no place in it."""
        if self._n:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        self._file.flush()
