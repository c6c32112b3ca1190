"""Video files made on the spot: frames whose colour says which they are, with what is odd about them."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np


def frame(number: int, h: int = 48, w: int = 64) -> np.ndarray:
    """Return a frame whose middle is of the shade ``5 * number``, uint8 [h, w, 3]."""
    out = np.full((h, w, 3), 5 * number, np.uint8)
    out[: h // 4] = 255 - 5 * number  # which side is up
    return out


def number_of(pixels: np.ndarray) -> int:
    """Return which frame this is, after whatever resizing."""
    return round(float(pixels[pixels.shape[0] // 2, pixels.shape[1] // 2].mean()) / 5)


def video(
    n: int = 30,
    fps: int = 10,
    *,
    times: Sequence[float] | None = None,
    sound: int = 0,
    h: int = 48,
    w: int = 64,
) -> bytes:
    """Return a lossless Matroska file.

    Parameters
    ----------
    n, fps : frames, and how many a second
    times : seconds each frame is shown at, instead
    sound : samples of a sound track at 16 kHz; 0 for none
    """
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        seen: Any = out.add_stream("ffv1", rate=fps) if n or not sound else None
        if seen:
            seen.width, seen.height, seen.pix_fmt = w, h, "bgr0"
            seen.codec_context.time_base = Fraction(1, 1000)
        heard: Any = out.add_stream("pcm_s16le", rate=16000, layout="mono") if sound else None
        out.start_encoding()
        for i in range(n):
            made = av.VideoFrame.from_ndarray(frame(i, h, w), format="rgb24").reformat(format="bgr0")
            made.time_base = Fraction(1, 1000)
            made.pts = round(1000 * (times[i] if times is not None else i / fps))
            out.mux(seen.encode(made))
        if seen:
            out.mux(seen.encode(None))
        if heard:
            wave = (8000 * np.sin(np.arange(sound) / 20)).astype(np.int16)
            clip = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            clip.sample_rate = 16000
            out.mux(heard.encode(clip))
            out.mux(heard.encode(None))
    return file.getvalue()


def lying(turn: int) -> bytes:
    """Return an MP4 file to be shown turned by 90 or -90 degrees against the clock, as phones write it."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream: Any = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 4_000_000
        for _ in range(4):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame(8), format="rgb24")))
        out.mux(stream.encode(None))
    data, one = file.getvalue(), 1 << 16
    matrix = (
        (0, -one, 0, one, 0, 0, 0, 64 * one, 1 << 30)
        if turn > 0
        else (0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30)
    )
    at = data.index(b"tkhd") + 44
    return data[:at] + struct.pack(">9i", *matrix) + data[at + 36 :]
