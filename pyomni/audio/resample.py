"""Audio as a network takes it: one channel, finite float32 samples, at its sample rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.errors import AudioError

__all__ = ["MAX_RATE", "mono", "resample", "resample_blocks"]

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
    _check_rates(from_rate, to_rate)
    return resample_blocks([mono(audio)], from_rate, to_rate)


def resample_blocks(blocks: Iterable[F32], from_rate: int, to_rate: int) -> F32:
    """Resample a clip that comes in pieces: what `resample` gives for the whole, to the bit.

    Parameters
    ----------
    blocks : float32 [n] each
        One channel, finite.
    from_rate, to_rate : int
        Samples per second.

    Returns
    -------
    float32 [ceil(n * (to_rate / from_rate))]
        With n the samples of all blocks.

    Raises
    ------
    AudioError
        A rate that is not a whole number from 1 to `MAX_RATE`, or what the blocks raise.
    """
    _check_rates(from_rate, to_rate)
    empty = np.zeros(0, np.float32)
    if from_rate == to_rate:
        every = list(blocks)
        return every[0] if len(every) == 1 else np.concatenate([*every, empty])
    import soxr  # here, so that what needs no resampling does not load it

    stream = soxr.ResampleStream(int(from_rate), int(to_rate), 1, dtype="float32", quality="HQ")
    n, made = 0, []
    for block in blocks:
        n += len(block)
        made.append(stream.resample_chunk(block))
    made.append(stream.resample_chunk(empty, last=True))
    n = math.ceil(n * (int(to_rate) / int(from_rate)))
    joined = np.concatenate(made)[:n]
    return joined if len(joined) == n else np.pad(joined, (0, n - len(joined)))


def _check_rates(from_rate: int, to_rate: int) -> None:
    for name, rate in (("sample rate", from_rate), ("target sample rate", to_rate)):
        if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or not 1 <= rate <= MAX_RATE:
            raise AudioError(f"the {name} is {rate!r}, expected a whole number from 1 to {MAX_RATE}")
