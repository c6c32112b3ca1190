"""How the threads of a CPU are shared between the codec decoder and the language models."""

from __future__ import annotations

import os

from pyomni.errors import ArgumentError

__all__ = ["BESIDE_THREADS", "codec_threads"]

#: From so many threads on the codec has some to itself. A step of the language models is bound by memory and
#: gains little after four cores or so; with fewer to share, either would be left with too few.
BESIDE_THREADS = 6
#: The codec's part: its work is arithmetic, 54 ms of one core for a frame of 80 ms (half in ``fast``).
CODEC_SHARE = 3 / 8


def codec_threads(device: str, n_threads: int) -> int:
    """Return how many of a device's threads the codec decoder of a speech model has while both work.

    0 where it decodes between two frames: on another device than the CPU, and where threads are
    fewer than `BESIDE_THREADS`, unless ``$PYOMNI_CODEC_BESIDE`` says 1; 0 says never.

    Raises
    ------
    ArgumentError
        ``$PYOMNI_CODEC_BESIDE`` is neither 0 nor 1.
    """
    asked = os.environ.get("PYOMNI_CODEC_BESIDE", "")
    if asked not in ("", "0", "1"):
        raise ArgumentError(f"$PYOMNI_CODEC_BESIDE is {asked!r}, expected 0 or 1")
    beside = n_threads >= BESIDE_THREADS if asked == "" else asked == "1"
    return max(round(CODEC_SHARE * n_threads), 1) if beside and device == "cpu" else 0
