"""What tests read out of a server's answers."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np

from pyomni.audio.wav import to_int16


def error_of(answer: Any, status: int) -> dict[str, Any]:
    """Return the error of an answer, which has this status, is in OpenAI's shape and names no path."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert str(Path.home()) not in error["message"]
    assert tempfile.gettempdir() not in error["message"]
    assert "Traceback" not in error["message"]
    return error


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    """Return int16 [n] and the rate; by what reads to the end, since a stream's header has no length."""
    with av.open(io.BytesIO(data)) as container:
        frames = list(container.decode(audio=0))
    pcm = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    if pcm.dtype != np.int16:
        pcm = to_int16(pcm.astype(np.float32))
    return pcm, frames[0].sample_rate
