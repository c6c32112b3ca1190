"""bfloat16 with numpy, which has no such type: the upper half of a float32, kept as ``uint16``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["bf16_to_f32", "f32_to_bf16"]


def bf16_to_f32(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Widen bfloat16 bit patterns, exactly.

    Parameters
    ----------
    bits : uint16 array of any shape

    Returns
    -------
    float32 array of the same shape
    """
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def f32_to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to bfloat16, to nearest with ties to even, as IEEE 754 asks and PyTorch does.

    Parameters
    ----------
    values : float32 array of any shape, finite

    Returns
    -------
    uint16 array of the same shape
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    # Half a unit in the last kept place, minus one unless that place is odd: ties then go to even.
    bias = ((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF)
    return ((bits + bias) >> np.uint32(16)).astype(np.uint16)
