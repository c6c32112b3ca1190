"""Writes GGUF files: header first, then each tensor in blocks, beside its place and renamed when whole."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from numpy.typing import NDArray

from pyomni.convert.encode import tensor_blocks
from pyomni.convert.plan import Planned
from pyomni.convert.policy import n_bytes, tensor_type
from pyomni.convert.safetensors_file import StoredTensor
from pyomni.errors import ModelFileError

__all__ = ["File", "Progress", "Value", "add_key", "beside", "check_place", "write_files", "write_gguf"]

Value = bool | int | float | str | Sequence[int] | Sequence[float] | Sequence[str]
Progress = Callable[[str, int, int], object]
Blocks = Callable[[Planned, Mapping[str, StoredTensor], GGMLQuantizationType], Iterator[NDArray[np.generic]]]


@dataclass(frozen=True)
class File:
    """A GGUF to write: where, its keys and its tensors in file order.

    Keys are bool, u32, f32, str, arr[i32], arr[f32] or arr[str] by the Python type; empty arrays are left
    out.
    """

    path: Path
    keys: Mapping[str, Value]
    plan: Sequence[Planned]


def write_gguf(
    out: Path,
    arch: str,
    keys: Mapping[str, Value],
    plan: Sequence[Planned],
    tensors: Mapping[str, StoredTensor],
    file_type: str,
    progress: Progress | None = None,
) -> None:
    """Write one file, as `write_files` does."""
    write_files([File(out, keys, plan)], arch, tensors, file_type, progress)


def write_files(
    files: Sequence[File],
    arch: str,
    tensors: Mapping[str, StoredTensor],
    file_type: str,
    progress: Progress | None = None,
    blocks: Blocks = tensor_blocks,
) -> None:
    """Write files in one folder: all of them, each whole, or none.

    Parameters
    ----------
    files : the last one to appear comes first
    arch : `general.architecture`
    tensors : what the plans' sources name
    file_type : key of `policy.FILE_TYPES`
    progress : called as ``progress(tensor, bytes_done, bytes_in_all)`` after each tensor
    blocks : makes a tensor's bytes, as `tensor_blocks`

    Raises
    ------
    ModelFileError
        A file cannot be written, or the disk has no room.
    ModelFormatError
        A weight is not finite, or too large for the type.
    UnsupportedModel
        A K type where the compiled module is not there.
    """
    kinds = {planned: _kind(arch, planned, file_type) for file in files for planned in file.plan}
    total, done = sum(n_bytes(planned.shape, kind) for planned, kind in kinds.items()), 0

    def count(planned: Planned) -> None:
        nonlocal done
        done += n_bytes(planned.shape, kinds[planned])
        if progress:
            progress(planned.name, done, total)

    with contextlib.ExitStack() as stack:
        for file in files:
            part = stack.enter_context(beside(file.path, total - done))
            _write(part, arch, file, tensors, kinds, count, blocks)


def _write(
    part: Path,
    arch: str,
    file: File,
    tensors: Mapping[str, StoredTensor],
    kinds: Mapping[Planned, GGMLQuantizationType],
    count: Callable[[Planned], None],
    blocks: Blocks,
) -> None:
    writer = GGUFWriter(part, arch)
    types = [kinds[planned] for planned in file.plan]
    try:
        for key, value in file.keys.items():
            add_key(writer, key, value)
        for planned, kind in zip(file.plan, types, strict=True):
            size = n_bytes(planned.shape, kind)
            writer.add_tensor_info(planned.name, planned.shape, np.dtype(np.float32), size, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        assert writer.fout is not None
        out = writer.fout[0]
        for planned, kind in zip(file.plan, types, strict=True):
            # The writer's own face takes whole tensors; blocks keep memory flat for the largest ones.
            writer.write_padding(out, out.tell())
            for block in blocks(planned, tensors, kind):
                out.write(block.data)
            count(planned)
        # ggml wants the last tensor padded as well.
        writer.write_padding(out, out.tell())
    finally:
        writer.close()


def _kind(arch: str, planned: Planned, file_type: str) -> GGMLQuantizationType:
    if planned.stored is not None:
        return planned.stored
    return tensor_type(arch, planned.name, planned.shape, file_type)


def add_key(writer: GGUFWriter, key: str, value: Value) -> None:
    """Add a key of the type that goes with the Python type; an empty array is left out."""
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


def _forget_killed(out: Path) -> None:
    """Remove what conversions to `out` left that were killed: it is as large as a model."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.*-*.part"):
        pid = left.name.removeprefix(f".{out.name}.").partition("-")[0]
        if not pid.isdecimal() or os.name != "posix":
            continue  # elsewhere asking for a process may end it
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            left.unlink(missing_ok=True)
        except (OSError, OverflowError):
            continue  # it runs, as another user


def check_place(out: Path) -> None:
    """Refuse a file that cannot be written where it should.

    Raises
    ------
    ModelFileError
        Its folder is not there, or it is a folder itself.
    """
    if not out.parent.is_dir():
        raise ModelFileError(f"{out}: cannot be written, {out.parent} is not a folder that is there")
    if out.is_dir():
        raise ModelFileError(f"{out}: is a folder, expected the name of a file to write")


@contextlib.contextmanager
def beside(out: Path, n_needed: int) -> Iterator[Path]:
    """A path beside `out` that becomes `out` when the block ends well, and goes away when it does not."""
    folder = out.parent
    check_place(out)
    part = folder / f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        _forget_killed(out)
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
