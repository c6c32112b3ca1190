"""What a notebook shows of a result: a player, and a line about it."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt

from pyomni.audio.formats import open_writer

__all__ = ["MOST_SECONDS", "player"]

F32 = npt.NDArray[np.float32]

#: A player holds no more: some 2 MB in the notebook's file.
MOST_SECONDS = 60.0


def player(audio: F32, sample_rate: int) -> str:
    """Return HTML that plays samples, float32 [n], as a FLAC file within it; of long ones the beginning.

    Raises
    ------
    AudioError
        The installed libsndfile cannot write FLAC.
    """
    seconds = len(audio) / sample_rate
    if not len(audio):
        return "<em>no sound</em>"
    buffer = io.BytesIO()
    writer = open_writer(buffer, "flac", sample_rate)
    writer.write(audio[: round(MOST_SECONDS * sample_rate)])
    writer.close()
    data = base64.b64encode(buffer.getvalue()).decode()
    rest = f"<br>the first {MOST_SECONDS:g} s of {seconds:.1f} s" if seconds > MOST_SECONDS else ""
    return f'<audio controls src="data:audio/flac;base64,{data}"></audio>{rest}'
