"""How the threads of a CPU are shared between the codec decoder and the language models."""

from __future__ import annotations

import os

from pyomni.errors import ArgumentError

__all__ = ["LARGE", "codec_threads"]

#: Bytes of a model from which on its language models wait for memory, a row at a time: no cache holds it.
LARGE = 256 << 20
#: The codec's part: its work is arithmetic, 54 ms of one core for a frame of 80 ms (half in ``fast``).
CODEC_SHARE = 3 / 8


def codec_threads(device: str, n_threads: int, n_bytes: int, lanes: int) -> int:
    """Return how many of a device's threads the codec decoder of a speech model has while both work.

    Who waits for memory leaves cores to who does arithmetic. 0 where the codec decodes between two frames, on
    all threads: on another device than the CPU, on one thread, of a small model, and in several lanes, whose
    language models have arithmetic to do as well. ``$PYOMNI_CODEC_BESIDE`` may say otherwise, 0 or 1.

    Raises
    ------
    ArgumentError
        ``$PYOMNI_CODEC_BESIDE`` is neither 0 nor 1.
    """
    asked = os.environ.get("PYOMNI_CODEC_BESIDE", "")
    if asked not in ("", "0", "1"):
        raise ArgumentError(f"$PYOMNI_CODEC_BESIDE is {asked!r}, expected 0 or 1")
    gains = n_threads > 1 and n_bytes >= LARGE and lanes == 1
    beside = gains if asked == "" else asked == "1"
    return max(round(CODEC_SHARE * n_threads), 1) if beside and device == "cpu" else 0
