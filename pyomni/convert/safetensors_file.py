"""Safetensors files, read a stretch of a tensor at a time and written in a stream.

The format is eight bytes with the length of a JSON header, the header, then the tensors' bytes. We read it
directly because numpy has no bfloat16: the library's numpy face cannot hand one out, and loading whole files
would cost their size in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyomni.convert.floats import bf16_to_f32, f32_to_bf16
from pyomni.errors import ModelFileError, ModelFormatError

__all__ = ["Checkpoint", "StoredTensor", "write_safetensors", "write_shards"]

Made = tuple[str, tuple[int, ...], Callable[[], NDArray[np.float32]]]  # name, shape, what makes it
DTYPES: dict[str, np.dtype[Any]] = {"BF16": np.dtype("<u2"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
MAX_HEADER = 100 << 20  # what the reference implementation allows


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies.

    Attributes
    ----------
    path : file it is in
    dtype : ``"BF16"``, ``"F16"`` or ``"F32"``
    shape : as PyTorch prints it, last index fastest
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int  # of the first byte in the file

    def raw(self, begin: int, end: int) -> NDArray[np.generic]:
        """Stored elements `begin` to `end` in file order, read now; bfloat16 as ``uint16``.

        Raises
        ------
        ModelFileError
            The file has gone, or become shorter.
        """
        dtype = DTYPES[self.dtype]
        # A plain read, not a map: mapped pages would add up to the whole file in this process's memory.
        try:
            part = np.fromfile(self.path, dtype, end - begin, offset=self.offset + begin * dtype.itemsize)
        except OSError as error:
            raise ModelFileError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        if part.size < end - begin:
            raise ModelFileError(f"{self.path}: became shorter while it was read")
        return part

    def f32(self, begin: int = 0, end: int | None = None) -> NDArray[np.float32]:
        """Elements `begin` to `end` in file order as a new flat float32 array."""
        part = self.raw(begin, prod(self.shape) if end is None else end)
        if self.dtype == "BF16":
            return bf16_to_f32(part.view(np.uint16))
        return part.astype(np.float32, copy=False)


class Checkpoint(Mapping[str, StoredTensor]):
    """All tensors of a folder that holds ``model.safetensors`` or a sharded set with its index.

    Parameters
    ----------
    folder : directory to read

    Raises
    ------
    ModelFileError
        No weights there, or a file cannot be read.
    ModelFormatError
        A file or its header is damaged, a type is not float, or the index and the shards disagree.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tensors: dict[str, StoredTensor] = {}
        single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
        if single.is_file():
            self._tensors.update(_read_header(single))
        elif index.is_file():
            self._read_shards(index)
        else:
            raise ModelFileError(f"{folder}: no weights here, expected model.safetensors or {index.name}")

    def _read_shards(self, index: Path) -> None:
        weight_map = _json_object(index, _read_bytes(index)).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelFormatError(f"{index}: no 'weight_map', expected tensor names with their files")
        shards: dict[str, dict[str, StoredTensor]] = {}
        for name, file in weight_map.items():
            # A shard is a plain name beside the index: anything else would read files of the index's
            # choosing.
            if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
                raise ModelFormatError(
                    f"{index}: tensor {name!r} is in {file!r}, expected a file beside the index"
                )
            if file not in shards:
                shards[file] = _read_header(self.folder / file)
            if name not in shards[file]:
                raise ModelFormatError(
                    f"{self.folder / file}: tensor {name!r} is missing, though {index.name} lists it"
                )
        for file, tensors in shards.items():
            for name, tensor in tensors.items():
                if name in self._tensors:
                    raise ModelFormatError(
                        f"{self.folder / file}: tensor {name!r} is in an earlier shard as well"
                    )
                self._tensors[name] = tensor

    def __getitem__(self, name: str) -> StoredTensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def write_safetensors(
    path: Path,
    tensors: Iterable[Made],
    dtype: str = "F32",
) -> int:
    """Write a safetensors file, making one tensor at a time.

    Parameters
    ----------
    path : file to write, replaced if it is there
    tensors : ``(name, shape, make)``, where ``make()`` gives float32 of that shape
    dtype : ``"BF16"``, ``"F16"`` or ``"F32"`` for all of them

    Returns
    -------
    number of parameters written
    """
    item, end = DTYPES[dtype].itemsize, 0
    header: dict[str, Any] = {}
    tensors = list(tensors)
    for name, shape, _ in tensors:
        begin, end = end, end + prod(shape) * item
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)  # tensors start on eight bytes
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape, make in tensors:
            values = make()
            assert values.shape == shape, (name, values.shape, shape)
            stored = f32_to_bf16(values) if dtype == "BF16" else values.astype(DTYPES[dtype])
            file.write(np.ascontiguousarray(stored).data)
    return end // item


def write_shards(folder: Path, tensors: Iterable[Made], dtype: str = "F32", n_shards: int = 1) -> int:
    """Write ``model.safetensors``, or shards of about equal size in the tensors' order with their index.

    Parameters
    ----------
    folder : where to; it is there
    tensors, dtype : as `write_safetensors`
    n_shards : files to write

    Returns
    -------
    number of parameters written
    """
    tensors = list(tensors)
    if n_shards == 1:
        return write_safetensors(folder / "model.safetensors", tensors, dtype)
    total, done = sum(prod(shape) for _, shape, _ in tensors), 0
    shards: list[list[Made]] = [[] for _ in range(n_shards)]
    for tensor in tensors:
        shards[done * n_shards // total].append(tensor)
        done += prod(tensor[1])
    weight_map = {}
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05}-of-{n_shards:05}.safetensors"
        write_safetensors(folder / file, shard, dtype)
        weight_map.update({name: file for name, _, _ in shard})
    index = {"metadata": {"total_size": total * DTYPES[dtype].itemsize}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return total


def _read_header(path: Path) -> dict[str, StoredTensor]:
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if len(head) < 8:
                raise ModelFormatError(f"{path}: {len(head)} bytes long, expected a safetensors file")
            if head == b"version ":
                raise ModelFormatError(
                    f"{path}: a git-lfs pointer, expected the weights it stands for (git lfs pull)"
                )
            n_header, n_file = int.from_bytes(head, "little"), path.stat().st_size
            if n_header > min(MAX_HEADER, n_file - 8):
                raise ModelFormatError(
                    f"{path}: header of {n_header} bytes in a file of {n_file}, expected a safetensors file"
                )
            header = _json_object(path, file.read(n_header))
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    header.pop("__metadata__", None)
    return {name: _stored(path, name, entry, 8 + n_header, n_file) for name, entry in header.items()}


def _stored(path: Path, name: str, entry: Any, start: int, n_file: int) -> StoredTensor:
    entry = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not (_are_counts(shape) and _are_counts(offsets) and len(offsets) == 2 and isinstance(dtype, str)):
        raise ModelFormatError(f"{path}: tensor {name!r} has no usable dtype, shape and data_offsets")
    if dtype not in DTYPES:
        raise ModelFormatError(f"{path}: tensor {name!r} is {dtype}, expected {', '.join(DTYPES)}")
    begin, end = offsets
    if start + end > n_file:
        raise ModelFormatError(
            f"{path}: tensor {name!r} ends at byte {start + end} of {n_file}: the file is truncated"
        )
    if end - begin != prod(shape) * DTYPES[dtype].itemsize:
        raise ModelFormatError(
            f"{path}: tensor {name!r} has {end - begin} bytes, expected {dtype} of shape {shape}"
        )
    return StoredTensor(path, dtype, tuple(shape), start + begin)


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 48 for v in values)


def _json_object(path: Path, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path}: the JSON in it is broken ({error})") from error
    if not isinstance(value, dict):
        raise ModelFormatError(f"{path}: JSON {type(value).__name__} found, expected an object")
    return value


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error
