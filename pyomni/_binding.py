"""Devices, models and sessions of the C shim: buffers in, arrays out, statuses turned into exceptions.

The only module that imports ``pyomni._native``. Arrays handed to C are made C-contiguous here; arrays handed
back are allocated here and filled by C.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyomni import errors
from pyomni._native import ffi, lib

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
}


@contextmanager
def _checked() -> Iterator[Any]:
    """Yield ``call(function, *args)``, which raises the class of a status that is not OK."""
    err = ffi.new("omni_error *")

    def call(function: Any, *args: Any) -> None:
        status = function(*args, err)
        if status != lib.OMNI_OK:
            text = ffi.string(err.message).decode("utf-8", "replace")
            raise _CLASSES.get(status, errors.InternalError)(text)

    yield call


def _text(function: Any, *args: Any) -> str:
    """Read a text from a C function that returns the bytes it needs."""
    n = function(*args, ffi.NULL, 0)
    buffer = ffi.new("char[]", n)
    function(*args, buffer, n)
    return ffi.string(buffer).decode("utf-8", "replace")


def _array(x: ArrayLike, dtype: type, ndim: int, what: str) -> NDArray[Any]:
    """Return ``x`` C-contiguous in ``dtype`` with ``ndim`` axes, or raise ArgumentError."""
    array = np.asarray(x)
    if dtype is np.int32 and not np.issubdtype(array.dtype, np.integer) and array.size:
        raise errors.ArgumentError(f"{what} are {array.dtype}, expected integers")
    if array.ndim != ndim:
        raise errors.ArgumentError(f"{what} have shape {list(array.shape)}, expected {ndim} axes")
    if dtype is np.int32 and array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise errors.ArgumentError(f"{what} reach {array.min()} to {array.max()}, expected 32-bit integers")
    return np.ascontiguousarray(array, dtype=dtype)


def _pointer(array: NDArray[Any] | None, ctype: str) -> Any:
    return ffi.NULL if array is None else ffi.cast(ctype, array.ctypes.data)


def devices() -> list[tuple[str, str]]:
    """List the devices of this build.

    Returns
    -------
    list of (name, description)
        ``name`` is what ``Device`` and ``--device`` take.
    """
    return [
        (name, description)
        for name, _, description in (
            line.partition("\t") for line in _text(lib.omni_device_list).splitlines()
        )
    ]


def drain_log() -> str:
    """Return ggml's log lines since the last call."""
    return _text_once(lib.omni_log_drain)


def _text_once(function: Any) -> str:
    """Read a text that is gone once read."""
    buffer = ffi.new("char[]", 1 << 17)
    function(buffer, 1 << 17)
    return ffi.string(buffer).decode("utf-8", "replace")


class _Handle:
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


class Device(_Handle):
    """Where weights live and graphs run.

    Parameters
    ----------
    name : str
        ``auto`` (the first GPU, else the CPU), ``cpu``, or a name that ``devices()`` lists.
    n_threads : int, optional
        CPU threads; None takes one per core this process may use.

    Raises
    ------
    ArgumentError
        No such device, or a thread count out of range.
    """

    def __init__(self, name: str = "auto", n_threads: int | None = None) -> None:
        if n_threads is not None and not 1 <= n_threads <= 512:
            raise errors.ArgumentError(f"threads is {n_threads}, expected 1 to 512")
        out = ffi.new("omni_device **")
        with _checked() as call:
            call(lib.omni_device_open, name.encode(), n_threads or 0, out)
        super().__init__(out[0], lib.omni_device_free)
        self.name = _text(lib.omni_device_name, self.pointer)
        self.n_threads = int(lib.omni_device_threads(self.pointer))


@dataclass(frozen=True)
class Info:
    """What a component is: its kind and the sizes a caller needs (fields of ``omni_info``)."""

    kind: int
    n_embd: int
    n_hidden: int
    n_vocab: int
    n_tables: int
    n_heads_out: int
    n_groups: int
    n_ctx_max: int
    hop: int
    sample_rate: int
    n_rows_min: int
    row_samples: int
    n_bytes: int


class Model(_Handle):
    """Weights and hyperparameters of one component of a GGUF file; immutable, shared between sessions.

    Raises
    ------
    ModelFileError
        The file cannot be opened.
    ModelFormatError
        A key or tensor is missing, of the wrong type or shape, or not one the component knows.
    UnsupportedModel
        The file, or this build, has no such component.
    OutOfMemory
        The weights do not fit.
    """

    def __init__(self, device: Device, path: str | os.PathLike[str], component: str) -> None:
        out = ffi.new("omni_model **")
        with _checked() as call:
            call(lib.omni_model_load, device.pointer, os.fsencode(path), component.encode(), out)
        super().__init__(out[0], lib.omni_model_free)
        raw = ffi.new("omni_info *")
        lib.omni_model_info(self.pointer, raw)
        self.info = Info(**{name: int(getattr(raw, name)) for name in Info.__dataclass_fields__})


class Session(_Handle):
    """State of one component: KV cache or stream state of ``n_lanes`` lanes, and the graphs built for it.

    One thread at a time: a second caller gets ``SessionBusy``. Every method raises ``ArgumentError`` for ids,
    lanes or shapes out of range, ``SessionBroken`` after a call that failed half way until its lanes are
    rewound to 0, and ``Cancelled`` when ``cancel`` was called.
    """

    def __init__(self, model: Model, n_ctx: int = 0, n_lanes: int = 1) -> None:
        out = ffi.new("omni_session **")
        with _checked() as call:
            call(lib.omni_session_open, model.pointer, n_ctx, n_lanes, out)
        super().__init__(out[0], lib.omni_session_free)
        self.info = model.info
        self.n_ctx = n_ctx
        self.n_lanes = n_lanes

    def rewind(self, lane: int = 0, n_past: int = 0) -> None:
        """Forget the positions of ``lane`` from ``n_past`` on; 0 starts it afresh (all a stream can do)."""
        with _checked() as call:
            call(lib.omni_session_rewind, self.pointer, lane, n_past)

    def n_past(self, lane: int = 0) -> int:
        """Positions (or frames) that ``lane`` holds."""
        out = ffi.new("int32_t *")
        with _checked() as call:
            call(lib.omni_session_n_past, self.pointer, lane, out)
        return int(out[0])

    def save(self, lane: int = 0) -> bytes:
        """Return ``lane`` as bytes, for ``load``."""
        n = ffi.new("int64_t *")
        with _checked() as call:
            call(lib.omni_session_save, self.pointer, lane, ffi.NULL, 0, n)
            out = bytearray(n[0])
            call(lib.omni_session_save, self.pointer, lane, ffi.from_buffer(out), len(out), n)
        return bytes(out)

    def load(self, saved: bytes, lane: int = 0) -> None:
        """Put ``lane`` where it was when ``saved`` was made, by this session or another of the same weights.

        Raises
        ------
        ModelFormatError
            The bytes are damaged or no saved session.
        UnsupportedModel
            They are of another version.
        ArgumentError
            They were made with other weights.
        ContextFull
            They hold more positions than this session can.
        """
        with _checked() as call:
            call(lib.omni_session_load, self.pointer, lane, ffi.from_buffer(saved), len(saved))

    def cancel(self) -> None:
        """End the call in progress, from any thread."""
        lib.omni_session_cancel(self.pointer)

    def tap(self, node: str) -> None:
        """Ask that the named node be kept by the runs that follow."""
        with _checked() as call:
            call(lib.omni_session_tap, self.pointer, node.encode(), ffi.NULL, 0, ffi.NULL)

    def read_tap(self, node: str) -> Floats:
        """Return the named node of the last run, float32, flat, in ggml's order (first index fastest)."""
        n = ffi.new("int64_t *")
        with _checked() as call:
            call(lib.omni_session_tap, self.pointer, node.encode(), ffi.NULL, 0, n)
            out = np.empty(n[0], np.float32)
            call(lib.omni_session_tap, self.pointer, node.encode(), _pointer(out, "float *"), out.size, n)
        return out

    def lm_embed(self, table: int, ids: ArrayLike) -> Floats:
        """Look up ``ids`` (int [n]) in an embedding table: float32 [n, n_embd]."""
        wanted = _array(ids, np.int32, 1, "ids")
        out = np.empty((wanted.size, self.info.n_embd), np.float32)
        with _checked() as call:
            pointers = _pointer(wanted, "int32_t *"), wanted.size, _pointer(out, "float *")
            call(lib.omni_lm_embed, self.pointer, table, *pointers)
        return out

    def lm_decode(self, rows: ArrayLike, lanes: ArrayLike, head: int = 0) -> tuple[Floats, Floats]:
        """Append ``rows`` (float32 [n_lanes, n, n_embd]) to ``lanes`` (int [n_lanes], ascending).

        Returns
        -------
        logits : float32 [n_lanes, n_vocab]
        hidden : float32 [n_lanes, n_hidden]
            Of each lane's last position.

        Raises
        ------
        ContextFull
            The rows do not fit; nothing was changed.
        """
        embeds = _array(rows, np.float32, 3, "rows")
        which = _array(lanes, np.int32, 1, "lanes")
        if embeds.shape[0] != which.size or embeds.shape[2] != self.info.n_embd:
            raise errors.ArgumentError(
                f"rows have shape {list(embeds.shape)}, expected [{which.size}, n, {self.info.n_embd}]"
            )
        logits = np.empty((which.size, self.info.n_vocab), np.float32)
        hidden = np.empty((which.size, self.info.n_hidden), np.float32)
        given = ffi.new("omni_lm_input *")
        given.lanes, given.embeds = _pointer(which, "int32_t *"), _pointer(embeds, "float *")
        given.n_lanes, given.n, given.head = which.size, embeds.shape[1], head
        wanted = ffi.new("omni_lm_output *")
        wanted.logits, wanted.hidden = _pointer(logits, "float *"), _pointer(hidden, "float *")
        with _checked() as call:
            call(lib.omni_lm_decode, self.pointer, given, wanted)
        return logits, hidden

    def lm_groups(
        self,
        hidden: ArrayLike,
        code0: ArrayLike,
        temperature: float,
        top_k: int,
        top_p: float,
        uniforms: ArrayLike | None,
    ) -> tuple[Ints, Floats]:
        """Fill a frame per lane in one graph.

        Parameters
        ----------
        hidden : float32 [n_lanes, n_embd]
            The talker's hidden rows.
        code0 : int [n_lanes]
            Group 0 of each frame.
        temperature, top_k, top_p
            How to draw; temperature 0 is greedy, top_k 0 and top_p 1 keep all.
        uniforms : float64 [n_lanes, n_groups - 1], optional
            In [0, 1); only greedy draws need none.

        Returns
        -------
        codes : int32 [n_lanes, n_groups]
        row_sum : float32 [n_lanes, n_embd]
            The sum of the embeddings of the frame's codes.
        """
        rows = _array(hidden, np.float32, 2, "hidden rows")
        first = _array(code0, np.int32, 1, "codes of group 0")
        n_lanes, n_groups = first.size, self.info.n_groups
        if rows.shape != (n_lanes, self.info.n_embd):
            raise errors.ArgumentError(
                f"hidden rows have shape {list(rows.shape)}, expected [{n_lanes}, {self.info.n_embd}]"
            )
        numbers = None if uniforms is None else _array(uniforms, np.float64, 2, "uniforms")
        if numbers is not None and numbers.shape != (n_lanes, n_groups - 1):
            raise errors.ArgumentError(
                f"uniforms have shape {list(numbers.shape)}, expected [{n_lanes}, {n_groups - 1}]"
            )
        codes = np.empty((n_lanes, n_groups), np.int32)
        row_sum = np.empty((n_lanes, self.info.n_embd), np.float32)
        draw = ffi.new("omni_draw *")
        draw.temperature, draw.top_p, draw.top_k = temperature, top_p, top_k
        draw.uniforms = _pointer(numbers, "double *")
        given = _pointer(rows, "float *"), _pointer(first, "int32_t *"), draw
        with _checked() as call:
            wanted = _pointer(codes, "int32_t *"), _pointer(row_sum, "float *")
            call(lib.omni_lm_groups, self.pointer, n_lanes, *given, *wanted)
        return codes, row_sum

    def codec_decode(self, codes: ArrayLike, lane: int = 0) -> Floats:
        """Turn ``codes`` (int [n_frames, n_groups]) into PCM where ``lane`` was, float32 [n_frames * hop]."""
        frames = _array(codes, np.int32, 2, "codes")
        if frames.shape[1] != self.info.n_groups:
            raise errors.ArgumentError(
                f"codes have shape {list(frames.shape)}, expected [n_frames, {self.info.n_groups}]"
            )
        pcm = np.empty(frames.shape[0] * self.info.hop, np.float32)
        if frames.shape[0]:
            with _checked() as call:
                given = _pointer(frames, "int32_t *"), frames.shape[0], _pointer(pcm, "float *")
                call(lib.omni_codec_decode, self.pointer, lane, *given)
        return pcm

    def encode(self, rows: ArrayLike) -> Floats:
        """Turn ``rows`` (float32 [n, n_embd], n from ``n_rows_min`` on) into float32 [n_out, n_hidden]."""
        given = _array(rows, np.float32, 2, "rows")
        if given.shape[1] != self.info.n_embd:
            raise errors.ArgumentError(
                f"rows have shape {list(given.shape)}, expected [n, {self.info.n_embd}]"
            )
        n_out = ffi.new("int32_t *")
        with _checked() as call:
            n, pointer = given.shape[0], _pointer(given, "float *")
            call(lib.omni_encode, self.pointer, pointer, n, ffi.NULL, 0, n_out)
            out = np.empty((n_out[0], self.info.n_hidden), np.float32)
            call(lib.omni_encode, self.pointer, pointer, n, _pointer(out, "float *"), n_out[0], n_out)
        return out

    def codec_encode(self, pcm: ArrayLike) -> Ints:
        """Turn a clip, float32 [n], into codes, int32 [ceil(n / hop), n_groups]; n_ctx bounds its length."""
        clip = _array(pcm, np.float32, 1, "samples")
        codes = np.empty((-(-clip.size // max(self.info.hop, 1)), self.info.n_groups), np.int32)
        n_frames = ffi.new("int32_t *")
        with _checked() as call:
            given = _pointer(clip, "float *"), clip.size, _pointer(codes, "int32_t *"), len(codes), n_frames
            call(lib.omni_codec_encode, self.pointer, *given)
        return codes[: n_frames[0]]
