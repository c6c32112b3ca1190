"""Writes a GGUF: header first, then each tensor in blocks, beside its place and renamed when whole."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter, quants
from numpy.typing import NDArray

from pyomni.convert.floats import f32_to_bf16
from pyomni.convert.plan import Planned
from pyomni.convert.policy import n_bytes, tensor_type
from pyomni.convert.safetensors_file import StoredTensor
from pyomni.errors import ModelFileError, ModelFormatError

__all__ = ["Progress", "Value", "write_gguf"]

Value = bool | int | float | str | Sequence[int] | Sequence[float] | Sequence[str]
Progress = Callable[[str, int, int], object]
BLOCK = 1 << 20  # elements converted at once: 4 MiB as float32
Type = GGMLQuantizationType


def write_gguf(
    out: Path,
    arch: str,
    keys: Mapping[str, Value],
    plan: Sequence[Planned],
    tensors: Mapping[str, StoredTensor],
    file_type: str,
    progress: Progress | None = None,
) -> None:
    """Write the file, whole or not at all.

    Parameters
    ----------
    out : path to write
    arch : `general.architecture`
    keys : bool, u32, f32, str, arr[i32] or arr[str] by the Python type; empty arrays are left out
    plan : tensors in file order
    tensors : what the plan's sources name
    file_type : key of `policy.FILE_TYPES`
    progress : called as ``progress(tensor, bytes_done, bytes_in_all)`` after each tensor

    Raises
    ------
    ModelFileError
        The file cannot be written, or the disk has no room for it.
    ModelFormatError
        A weight is not finite, or too large for the type.
    """
    types = [tensor_type(planned.role, planned.shape, file_type) for planned in plan]
    sizes = [n_bytes(planned.shape, kind) for planned, kind in zip(plan, types, strict=True)]
    total, done = sum(sizes), 0
    with _beside(out, total) as part:
        writer = GGUFWriter(part, arch)
        try:
            for key, value in keys.items():
                _add_key(writer, key, value)
            for planned, kind, size in zip(plan, types, sizes, strict=True):
                writer.add_tensor_info(
                    planned.name, planned.shape, np.dtype(np.float32), size, raw_dtype=kind
                )
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            assert writer.fout is not None
            file = writer.fout[0]
            for planned, kind, size in zip(plan, types, sizes, strict=True):
                # The writer's own face takes whole tensors; blocks keep memory flat for the largest ones.
                writer.write_padding(file, file.tell())
                for block in _blocks(planned, tensors, kind):
                    file.write(block.data)
                done += size
                if progress:
                    progress(planned.name, done, total)
            # ggml wants the last tensor padded as well.
            writer.write_padding(file, file.tell())
        finally:
            writer.close()


def _add_key(writer: GGUFWriter, key: str, value: Value) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_key_value(key, value, GGUFValueType.STRING)
    elif value:
        kinds = {str: GGUFValueType.STRING, float: GGUFValueType.FLOAT32}
        writer.add_key_value(key, value, GGUFValueType.ARRAY, kinds.get(type(value[0]), GGUFValueType.INT32))


def _blocks(
    planned: Planned, tensors: Mapping[str, StoredTensor], kind: Type
) -> Iterator[NDArray[np.generic]]:
    """The tensor's bytes, a few rows at a time where its elements keep their order."""
    if planned.build is not None:
        first = tensors[planned.sources[0].name]
        arrays = [tensors[s.name].f32().reshape(s.shape) for s in planned.sources]
        values = np.ascontiguousarray(planned.build(*arrays), dtype=np.float32)
        assert values.shape == planned.shape, (planned.name, values.shape, planned.shape)
        yield _encode(planned, first, values, kind)
        return
    width = planned.shape[-1]
    step = max(1, BLOCK // width) * width
    for source in planned.sources:
        stored, n = tensors[source.name], prod(source.shape)
        for begin in range(0, n, step):
            end = min(begin + step, n)
            if kind is Type.BF16 and stored.dtype == "BF16":
                bits = np.ascontiguousarray(stored.raw(begin, end))
                if ((bits & np.uint16(0x7F80)) == 0x7F80).any():  # exponent all ones: infinite or no number
                    raise _not_finite(planned, stored)
                yield bits
            else:
                yield _encode(planned, stored, stored.f32(begin, end).reshape(-1, width), kind)


def _encode(
    planned: Planned, source: StoredTensor, values: NDArray[np.float32], kind: Type
) -> NDArray[np.generic]:
    """float32 in the bytes of a ggml type."""
    if not np.isfinite(values).all():
        raise _not_finite(planned, source)
    if kind is Type.F32:
        return values.astype("<f4")
    if kind is Type.BF16:
        return f32_to_bf16(values)
    largest = float(np.abs(values).max())
    if kind is Type.F16:
        if largest > 65504:
            raise ModelFormatError(
                f"{source.path}: tensor {planned.sources[0].name!r} holds {largest:g}, more than f16 "
                "can; expected bf16, f32 or q8_0 to be asked for"
            )
        return values.astype("<f2")
    return quants.quantize(np.ascontiguousarray(values), kind)


def _not_finite(planned: Planned, source: StoredTensor) -> ModelFormatError:
    return ModelFormatError(
        f"{source.path}: tensor {planned.sources[0].name!r} holds an infinity or no number at all, "
        "expected finite weights"
    )


@contextlib.contextmanager
def _beside(out: Path, n_needed: int) -> Iterator[Path]:
    """A path beside `out` that becomes `out` when the block ends well, and goes away when it does not."""
    folder = out.parent
    if not folder.is_dir():
        raise ModelFileError(f"{out}: cannot be written, {folder} is not a folder that is there")
    if out.is_dir():
        raise ModelFileError(f"{out}: is a folder, expected the name of a file to write")
    part = folder / f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        free = shutil.disk_usage(folder).free
        if free < n_needed:
            raise ModelFileError(
                f"{out}: needs {n_needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free in {folder}"
            )
        yield part
        part.replace(out)
    except OSError as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        # Gone already where all went well; an interrupt passes here as well.
        part.unlink(missing_ok=True)
