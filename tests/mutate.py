"""Damaged copies of a GGUF file: one thing changed, everything else as it was."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np

DROP = object()


def rewrite(
    src: Path,
    dst: Path,
    *,
    keys: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Callable[[np.ndarray], np.ndarray | None]] | None = None,
    rename: Mapping[str, str] | None = None,
    types: Mapping[str, gguf.GGMLQuantizationType] | None = None,
) -> Path:
    """Copy ``src`` to ``dst`` with some keys and tensors changed.

    ``keys``: name to (value, type), or ``DROP``. ``tensors``: name to a function of the array; where that is
    None the tensor is left out. ``rename``: tensor name to its new name. ``types``: tensor name to the type
    that the bytes of its changed array, uint8, are said to be of.
    """
    keys, tensors, rename = dict(keys or {}), dict(tensors or {}), dict(rename or {})
    reader = gguf.GGUFReader(src)
    writer = gguf.GGUFWriter(dst, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        if name in keys:
            change = keys.pop(name)
            if change is not DROP:
                value, kind = change
                writer.add_key_value(name, value, kind)
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=sub)
    assert not keys, f"not in the file: {sorted(keys)}"
    for tensor in reader.tensors:
        array = np.array(tensor.data)
        if tensor.name in tensors:
            changed = tensors.pop(tensor.name)(array)
            if changed is None:
                continue
            array = changed
        quantised = tensor.tensor_type not in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)
        raw = tensor.tensor_type if quantised and array.dtype == np.uint8 else None
        raw = (types or {}).get(tensor.name, raw)
        writer.add_tensor(rename.pop(tensor.name, tensor.name), array, raw_dtype=raw)
    assert not tensors, f"not in the file: {sorted(tensors)}"
    assert not rename, f"not in the file: {sorted(rename)}"
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return dst


class Damage(NamedTuple):
    """One change of a file: in words, at which byte, and what goes there."""

    words: str
    at: int
    new: bytes


class Header:
    """Where a GGUF file describes its keys and tensors, to overwrite that in place.

    Parameters
    ----------
    src : the file
    """

    def __init__(self, src: Path) -> None:
        self.data = src.read_bytes()
        reader = gguf.GGUFReader(src)
        self.keys = {
            name: (field.offset + 8 + len(name.encode()), [kind.name for kind in field.types])
            for name, field in reader.fields.items()
            if not name.startswith("GGUF.")
        }
        self.tensors = {
            tensor.name: (tensor.field.offset + 8, [int(n) for n in tensor.shape])
            for tensor in reader.tensors
        }

    def damages(self, prefix: str) -> Iterator[Damage]:
        """Every key and tensor under ``prefix`` in turn: renamed, of another type, of sizes that cannot be.

        Yields what is done, in words, where in the file, and the bytes to put there.
        """
        for name, (at, types) in self.keys.items():
            if name.startswith(prefix):
                yield from self._key(name, at, types)
        for name, (at, shape) in self.tensors.items():
            if name.startswith(prefix):
                yield from self._tensor(name, at, shape)

    def _key(self, name: str, at: int, types: list[str]) -> Iterator[Damage]:
        yield Damage(f"{name} missing", at - 1, b"?")
        if types[0] == "ARRAY":
            yield Damage(f"{name} an array of u32", at + 4, struct.pack("<I", gguf.GGUFValueType.UINT32))
            (n,) = struct.unpack_from("<Q", self.data, at + 8)
            values = [
                (i, value) for i in range(n) for value in (0, -1, -(2**31), 1, 2, 5000, 1 << 20, 2**31 - 1)
            ]
            for i, value in values:
                yield Damage(f"{name}[{i}] {value}", at + 16 + 4 * i, struct.pack("<i", value))
            same = b"".join(struct.pack("<i", 1 << 28) for _ in range(n))
            yield Damage(f"{name} all 2^28", at + 16, same)
        elif types[0] == "UINT32":
            yield Damage(f"{name} an i32", at, struct.pack("<I", gguf.GGUFValueType.INT32))
            for value in (0, 1, 2, 3, 4, 6, 12, 65535, 65537, 1 << 28, (1 << 28) + 1, 1 << 31, 2**32 - 1):
                yield Damage(f"{name} {value}", at + 4, struct.pack("<I", value))
        elif types[0] == "FLOAT32":
            yield Damage(f"{name} a u32", at, struct.pack("<I", gguf.GGUFValueType.UINT32))
            for number in (0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-45, 3e38):
                yield Damage(f"{name} {number}", at + 4, struct.pack("<f", number))

    def _tensor(self, name: str, at: int, shape: list[int]) -> Iterator[Damage]:
        yield Damage(f"{name} missing", at + len(name) - 1, b"?")
        dims = at + len(name) + 4
        for i in range(len(shape)):
            for value in (0, shape[i] + 1, 1 << 40, 2**64 - 1):
                yield Damage(f"{name} axis {i} {value}", dims + 8 * i, struct.pack("<Q", value))
        if shape != shape[::-1]:
            turned = b"".join(struct.pack("<Q", n) for n in shape[::-1])
            yield Damage(f"{name} turned", dims, turned)
        for kind in ("F16", "F64", "I32", "Q8_1", "Q8_K"):
            number = struct.pack("<I", gguf.GGMLQuantizationType[kind])
            yield Damage(f"{name} of type {kind}", dims + 8 * len(shape), number)
        offset = dims + 8 * len(shape) + 4
        yield Damage(f"{name} outside the file", offset, struct.pack("<Q", 1 << 50))
