"""A planned tensor in the bytes of its type, a few rows at a time so that memory stays flat."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from math import prod

import numpy as np
from gguf import GGMLQuantizationType, quants
from numpy.typing import NDArray

from pyomni.convert.floats import f32_to_bf16
from pyomni.convert.plan import Planned
from pyomni.convert.policy import PLAIN
from pyomni.convert.safetensors_file import StoredTensor
from pyomni.errors import ModelFormatError, UnsupportedModel

__all__ = ["Importances", "tensor_blocks"]

Type = GGMLQuantizationType
Bytes = NDArray[np.generic]
Row = NDArray[np.float32]
Importances = Mapping[str, Row]
BLOCK = 1 << 20  # elements converted at once: 4 MiB as float32
MAX_WORKERS = 8


def tensor_blocks(
    planned: Planned,
    tensors: Mapping[str, StoredTensor],
    kind: Type,
    importances: Importances | None = None,
) -> Iterator[Bytes]:
    """The tensor's bytes in file order.

    Parameters
    ----------
    planned : what to make
    tensors : what its sources name
    kind : the type it gets; rows are whole blocks of it
    importances : by the tensor's name, float32 [matrices in it, length of a row]: how much an error in each
        column costs. Only where nothing is relaid; a tensor that is not there is quantised without

    Raises
    ------
    ModelFileError
        A source cannot be read.
    ModelFormatError
        A weight is not finite, or too large for the type.
    UnsupportedModel
        A K type or importances where the compiled module is not there: gguf-py only reads those.
    """
    if planned.build is not None:
        arrays = [tensors[s.name].f32().reshape(s.shape) for s in planned.sources]
        values = np.ascontiguousarray(planned.build(*arrays), dtype=np.float32)
        assert values.shape == planned.shape, (planned.name, values.shape, planned.shape)
        yield _encode(values.reshape(-1, planned.shape[-1]), kind, planned.sources[0].name, tensors)
    elif kind in PLAIN:
        for name, begin, end, _ in _stretches(planned):
            yield _stretch(planned, tensors, kind, name, begin, end)
    else:
        yield from _in_parallel(planned, tensors, kind, (importances or {}).get(planned.name))


def _in_parallel(
    planned: Planned, tensors: Mapping[str, StoredTensor], kind: Type, importance: Row | None
) -> Iterator[Bytes]:
    """Stretches by several threads, in order: finding the scales of blocks takes most of a conversion."""
    n_workers = min(MAX_WORKERS, os.cpu_count() or 1)
    stretches = _stretches(planned, 1 if importance is None else len(importance))
    waiting: deque[Future[Bytes]] = deque()
    with ThreadPoolExecutor(n_workers) as pool:

        def begin_on(n: int) -> None:
            for name, begin, end, matrix in islice(stretches, n):
                row = None if importance is None else importance[matrix]
                waiting.append(pool.submit(_stretch, planned, tensors, kind, name, begin, end, row))

        try:
            begin_on(n_workers + 1)
            while waiting:
                yield waiting.popleft().result()
                begin_on(1)
        finally:
            pool.shutdown(cancel_futures=True)


def _stretches(planned: Planned, n_matrices: int = 1) -> Iterator[tuple[str, int, int, int]]:
    """(source, begin, end, matrix) of whole rows, about `BLOCK` elements or to the end of a matrix."""
    width = planned.shape[-1]
    step, size = max(1, BLOCK // width) * width, planned.n_elements // n_matrices
    done = 0  # elements of the sources before
    for source in planned.sources:
        begin, n = 0, prod(source.shape)
        while begin < n:
            matrix = (done + begin) // size
            end = min(begin + step, n, (matrix + 1) * size - done)
            yield source.name, begin, end, matrix
            begin = end
        done += n


def _stretch(
    planned: Planned,
    tensors: Mapping[str, StoredTensor],
    kind: Type,
    name: str,
    begin: int,
    end: int,
    importance: Row | None = None,
) -> Bytes:
    stored = tensors[name]
    if kind is not Type.BF16 or stored.dtype != "BF16":
        rows = stored.f32(begin, end).reshape(-1, planned.shape[-1])
        return _encode(rows, kind, name, tensors, importance)
    bits = np.ascontiguousarray(stored.raw(begin, end))
    if ((bits & np.uint16(0x7F80)) == 0x7F80).any():  # exponent all ones: infinite or no number
        raise _not_finite(name, stored)
    return bits


def _encode(
    values: NDArray[np.float32],
    kind: Type,
    name: str,
    tensors: Mapping[str, StoredTensor],
    importance: Row | None = None,
) -> Bytes:
    """Rows of float32 in the bytes of a ggml type; `name`: the source they are of."""
    if not np.isfinite(values).all():
        raise _not_finite(name, tensors[name])
    if kind is Type.F32:
        return values.astype("<f4", copy=False)
    if kind is Type.BF16:
        return f32_to_bf16(values)
    if kind is Type.F16:
        largest = float(np.abs(values).max())
        if largest > 65504:
            raise ModelFormatError(
                f"{tensors[name].path}: tensor {name!r} holds {largest:g}, more than f16 can; expected bf16, "
                "f32 or q8_0 to be asked for"
            )
        return values.astype("<f2")
    quantize = _native()
    if quantize is not None:
        try:
            return quantize(kind.name, values, importance)
        except ModelFormatError as error:
            raise ModelFormatError(f"{tensors[name].path}: tensor {name!r}: {error}") from error
    missing = UnsupportedModel(
        f"type {kind.name.lower()} needs pyomni's compiled module, which is not there; expected f32, "
        "f16, bf16 or q8_0 without it"
    )
    if importance is not None:  # which gguf's own code does not know
        raise missing
    try:
        return quants.quantize(np.ascontiguousarray(values), kind)
    except NotImplementedError as error:  # gguf's word for a type it only reads
        raise missing from error


def _native() -> Callable[[str, Row, Row | None], NDArray[np.uint8]] | None:
    """ggml's own quantization, many times faster than numpy's; None where nothing was compiled."""
    try:
        from pyomni._binding import quantize
    except ImportError:
        return None
    return quantize


def _not_finite(name: str, stored: StoredTensor) -> ModelFormatError:
    return ModelFormatError(
        f"{stored.path}: tensor {name!r} holds an infinity or no number at all, expected finite weights"
    )
