"""ggml's quantization of weights, for who writes model files."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyomni._binding.calls import array_of, checked, pointer_to
from pyomni._native import ffi, lib

__all__ = ["quantize"]


def quantize(kind: str, rows: ArrayLike) -> NDArray[np.uint8]:
    """Quantize rows as ggml does without an importance matrix; other threads run meanwhile.

    Parameters
    ----------
    kind : a block type's name, such as ``"q4_k"``
    rows : float32 [n_rows, n], n a multiple of the type's block

    Returns
    -------
    uint8 [n_rows, bytes of a row]

    Raises
    ------
    ArgumentError
        No such type, or rows that are not whole blocks.
    ModelFormatError
        A value that is not finite, or too large for the type's scales.
    """
    given = array_of(rows, np.float32, 2, "rows")
    n_out = ffi.new("int64_t *")
    pointer = pointer_to(given, "float *")
    with checked() as call:
        call(lib.omni_quantize, kind.encode(), pointer, *given.shape, ffi.NULL, 0, n_out)
        out = np.empty((given.shape[0], n_out[0] // given.shape[0]), np.uint8)
        call(
            lib.omni_quantize,
            kind.encode(),
            pointer,
            *given.shape,
            pointer_to(out, "void *"),
            out.size,
            n_out,
        )
    return out
