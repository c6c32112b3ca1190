"""ggml's quantization of weights, for who writes model files."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyomni._binding.calls import array_of, checked, pointer_to
from pyomni._native import ffi, lib
from pyomni.errors import ArgumentError

__all__ = ["quantize"]


def quantize(kind: str, rows: ArrayLike, importance: ArrayLike | None = None) -> NDArray[np.uint8]:
    """Quantize rows as ggml does; other threads run meanwhile.

    Parameters
    ----------
    kind : a block type's name, such as ``"q4_k"``
    rows : float32 [n_rows, n], n a multiple of the type's block
    importance : float32 [n], optional
        How much an error in each column costs, from 0; by default ggml's guess from the rows alone. Types
        whose blocks have one scale and no search (``q8_0``) pass it over.

    Returns
    -------
    uint8 [n_rows, bytes of a row]

    Raises
    ------
    ArgumentError
        No such type, rows that are not whole blocks, or importances that are not finite and from 0, one a
        column.
    ModelFormatError
        A value that is not finite, or too large for the type's scales.
    """
    given = array_of(rows, np.float32, 2, "rows")
    weights = None if importance is None else array_of(importance, np.float32, 1, "importances")
    if weights is not None and weights.size != given.shape[1]:
        raise ArgumentError(
            f"{weights.size} importances were given, expected one of each of {given.shape[1]} columns"
        )
    n_out = ffi.new("int64_t *")
    given_pointers = pointer_to(given, "float *"), *given.shape, pointer_to(weights, "float *")
    with checked() as call:
        call(lib.omni_quantize, kind.encode(), *given_pointers, ffi.NULL, 0, n_out)
        out = np.empty((given.shape[0], n_out[0] // given.shape[0]), np.uint8)
        call(lib.omni_quantize, kind.encode(), *given_pointers, pointer_to(out, "void *"), out.size, n_out)
    return out
