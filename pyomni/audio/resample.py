"""Audio as a network takes it: one channel, finite float32 samples, at its sample rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.errors import AudioError

__all__ = ["MAX_RATE", "mono", "resample"]

F32 = npt.NDArray[np.float32]

#: The highest sample rate taken: above it lies a mistake, or a clip that would not fit into memory.
MAX_RATE = 768_000


def mono(audio: npt.ArrayLike) -> F32:
    """Mix to one channel and check every sample.

    Parameters
    ----------
    audio : float [n] or [n, n_channels]
        Channels are averaged, as the official package does.

    Returns
    -------
    float32 [n]

    Raises
    ------
    AudioError
        No samples, not floats, another shape, or a sample that is not finite.
    """
    try:
        array: npt.NDArray[Any] = np.asarray(audio)
    except ValueError as error:
        raise AudioError(
            "the audio is a ragged sequence, expected float samples [n] or [n, channels]"
        ) from error
    if array.ndim not in (1, 2) or not np.issubdtype(array.dtype, np.floating):
        raise AudioError(
            f"the audio is {array.dtype} of shape {list(array.shape)}, "
            "expected float samples [n] or [n, channels]"
        )
    if not array.size:
        raise AudioError(f"the audio is empty (shape {list(array.shape)}), expected at least one sample")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = int(bad[0][0])
        raise AudioError(
            f"the audio holds {len(bad)} samples that are not finite, the first at {where} "
            f"({array[tuple(bad[0])]}), expected numbers"
        )
    if array.ndim == 2:
        array = array.mean(axis=1)
    with np.errstate(over="ignore"):
        mixed = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(mixed).all():
        raise AudioError(f"the audio reaches {abs(array).max():.3g}, expected samples within float32")
    return mixed


def resample(audio: npt.ArrayLike, from_rate: int, to_rate: int) -> F32:
    """Change the sample rate, with soxr's high quality filter.

    The same filter and length as ``librosa.resample``, which the official package calls: the length is
    ``ceil(n * (to_rate / from_rate))`` in double precision, at times one more than the exact quotient.

    Parameters
    ----------
    audio : float [n] or [n, n_channels]
        Mixed and checked by `mono` first.
    from_rate, to_rate : int
        Samples per second.

    Returns
    -------
    float32 [ceil(n * (to_rate / from_rate))]

    Raises
    ------
    AudioError
        As `mono`; or a rate that is not a whole number from 1 to `MAX_RATE`.
    """
    for name, rate in (("sample rate", from_rate), ("target sample rate", to_rate)):
        if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or not 1 <= rate <= MAX_RATE:
            raise AudioError(f"the {name} is {rate!r}, expected a whole number from 1 to {MAX_RATE}")
    samples = mono(audio)
    if from_rate == to_rate:
        return samples
    import soxr  # here, so that what needs no resampling does not load it

    n = math.ceil(len(samples) * (int(to_rate) / int(from_rate)))
    made = np.asarray(soxr.resample(samples, int(from_rate), int(to_rate), quality="HQ"), np.float32)
    out = np.zeros(n, np.float32)
    out[: min(n, len(made))] = made[:n]
    return out
