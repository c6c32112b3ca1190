"""Calling C: statuses into exceptions, arrays into pointers, handles freed once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyomni import errors
from pyomni._native import ffi, lib

__all__ = ["Floats", "Handle", "Ints", "array_of", "checked", "drained", "pointer_to", "text_of"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

_CLASSES: dict[int, type[errors.PyOmniError]] = {
    lib.OMNI_ERROR_ARGUMENT: errors.ArgumentError,
    lib.OMNI_ERROR_IO: errors.ModelFileError,
    lib.OMNI_ERROR_FORMAT: errors.ModelFormatError,
    lib.OMNI_ERROR_UNSUPPORTED: errors.UnsupportedModel,
    lib.OMNI_ERROR_MEMORY: errors.OutOfMemory,
    lib.OMNI_ERROR_CONTEXT: errors.ContextFull,
    lib.OMNI_ERROR_STATE: errors.SessionBroken,
    lib.OMNI_ERROR_BUSY: errors.SessionBusy,
    lib.OMNI_ERROR_CANCELLED: errors.Cancelled,
    lib.OMNI_ERROR_DEVICE: errors.DeviceError,
}


@contextmanager
def checked() -> Iterator[Any]:
    """Yield ``call(function, *args)``, which raises the class of a status that is not OK."""
    err = ffi.new("omni_error *")

    def call(function: Any, *args: Any) -> None:
        status = function(*args, err)
        if status != lib.OMNI_OK:
            text = ffi.string(err.message).decode("utf-8", "replace")
            raise _CLASSES.get(status, errors.InternalError)(text)

    yield call


def text_of(function: Any, *args: Any) -> str:
    """Read a text from a C function that returns the bytes it needs."""
    n = function(*args, ffi.NULL, 0)
    buffer = ffi.new("char[]", n)
    function(*args, buffer, n)
    return ffi.string(buffer).decode("utf-8", "replace")


def array_of(x: ArrayLike, dtype: type, ndim: int, what: str) -> NDArray[Any]:
    """Return ``x`` C-contiguous in ``dtype`` with ``ndim`` axes, or raise ArgumentError."""
    array = np.asarray(x)
    if dtype is np.int32 and not np.issubdtype(array.dtype, np.integer) and array.size:
        raise errors.ArgumentError(f"{what} are {array.dtype}, expected integers")
    if array.ndim != ndim:
        raise errors.ArgumentError(f"{what} have shape {list(array.shape)}, expected {ndim} axes")
    if dtype is np.int32 and array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise errors.ArgumentError(f"{what} reach {array.min()} to {array.max()}, expected 32-bit integers")
    return np.ascontiguousarray(array, dtype=dtype)


def pointer_to(array: NDArray[Any] | None, ctype: str) -> Any:
    return ffi.NULL if array is None else ffi.cast(ctype, array.ctypes.data)


def drained(function: Any) -> str:
    """Read a text that is gone once read."""
    buffer = ffi.new("char[]", 1 << 17)
    function(buffer, 1 << 17)
    return ffi.string(buffer).decode("utf-8", "replace")


class Handle:
    """A C object: freed once, by ``close`` or with the Python object."""

    def __init__(self, pointer: Any, free: Any) -> None:
        self._pointer: Any = ffi.gc(pointer, free)

    @property
    def pointer(self) -> Any:
        if self._pointer is None:
            raise errors.ArgumentError(f"this {type(self).__name__} is closed")
        return self._pointer

    def close(self) -> None:
        """Free the C object; a second call does nothing."""
        if self._pointer is not None:
            ffi.release(self._pointer)
            self._pointer = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
