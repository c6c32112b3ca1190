"""The header of a GGUF file: metadata by key and what tensors there are, without touching a weight.

    meta = Metadata.read("model.gguf")
    meta.u32("talker.n_embd"), meta.strings("tokenizer.ggml.merges"), meta.tensors[0].shape

The reader is our own: a vocabulary of 150 000 tokens has to open in a blink, and a stranger's file must not
hurt. Every count, length and offset is checked against the file before it is believed. `docs/gguf.md` lists
the keys.
"""

from __future__ import annotations

import errno
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from pyomni.errors import ModelFileError, ModelFormatError, OutOfMemory

__all__ = ["Metadata", "TensorInfo"]

GGUF_VERSIONS = (2, 3)
MAX_DIMS, MAX_NAME = 4, 1 << 16

# GGUF value types: number -> (name in messages, struct code)
# fmt: off
SCALARS = {0: ("u8", "B"), 1: ("i8", "b"), 2: ("u16", "H"), 3: ("i16", "h"), 4: ("u32", "I"), 5: ("i32", "i"),
           6: ("f32", "f"), 7: ("bool", "?"), 10: ("u64", "Q"), 11: ("i64", "q"), 12: ("f64", "d")}
STRING, ARRAY = 8, 9
# ggml tensor types: number -> (name, elements of a block, bytes of a block)
TENSOR_TYPES = {
    0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22), 7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34), 10: ("q2_k", 256, 84),
    11: ("q3_k", 256, 110), 12: ("q4_k", 256, 144), 13: ("q5_k", 256, 176), 14: ("q6_k", 256, 210),
    20: ("iq4_nl", 32, 18), 23: ("iq4_xs", 256, 136), 24: ("i8", 1, 1), 25: ("i16", 1, 2),
    26: ("i32", 1, 4), 27: ("i64", 1, 8), 28: ("f64", 1, 8), 30: ("bf16", 1, 2),
}
# fmt: on
Text = str  # the getters below are named after the types they return
Flag = bool


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: `shape` as ggml has it, first index fastest; `offset` from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: str
    n_bytes: int
    offset: int


class Metadata(Mapping[str, Any]):
    """Keys and tensors of a GGUF.

    As a mapping it gives plain values; the getters check the stored type first.

    Attributes
    ----------
    path : Path
    version : int
        Of the GGUF format.
    tensors : list of TensorInfo
        In file order.
    """

    def __init__(
        self, path: Path, version: int, values: dict[str, tuple[str, Any]], tensors: list[TensorInfo]
    ) -> None:
        self.path, self.version, self.tensors = path, version, tensors
        self._values = values  # key -> (type, value, or a function that makes the list of strings)

    @classmethod
    def read(cls, path: str | Path) -> Metadata:
        """Read a file's header.

        Parameters
        ----------
        path : a GGUF of version 2 or 3, little-endian

        Raises
        ------
        ModelFileError
            It is not there, a folder, or cannot be read.
        OutOfMemory
            There is no memory to read it.
        ModelFormatError
            It is not a GGUF, or a count, length, type or offset in it cannot be.
        """
        path = Path(path)
        if path.is_dir():
            hint = "; `pyomni convert` makes one" if (path / "config.json").is_file() else ""
            raise ModelFileError(f"{path}: is a folder, expected a GGUF file{hint}")
        try:
            with path.open("rb") as file:
                magic = file.read(24)
                if magic[:4] != b"GGUF":
                    found = f"starts with {magic[:4]!r}" if magic else "is empty"
                    raise ModelFormatError(f"{path}: {found}, expected a GGUF file")
                if len(magic) < 24:
                    raise ModelFormatError(f"{path}: ends inside its header: the file is truncated")
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    return _Parser(path, data).parse()
        except FileNotFoundError as error:
            raise ModelFileError(f"{path}: not found, expected a GGUF file") from error
        except OSError as error:
            if isinstance(error, ModelFileError):
                raise
            if error.errno == errno.ENOMEM:
                raise OutOfMemory(f"{path}: the host has no memory to read it") from error
            raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error

    def __getitem__(self, key: Text) -> Any:
        kind, value = self._values[key]
        if callable(value):
            value = value()
            self._values[key] = kind, value
        return value

    def __iter__(self) -> Iterator[Text]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def kind(self, key: Text) -> Text:
        """The stored type of a key that is there, such as ``u32`` or ``arr[str]``."""
        return self._values[key][0]

    def u32(self, key: Text) -> int:
        """A count. Raises ModelFormatError where the key is missing or of another type, as all getters do."""
        return int(self._typed(key, "u32"))

    def f32(self, key: Text) -> float:
        """A number."""
        return float(self._typed(key, "f32"))

    def str(self, key: Text) -> Text:
        """A text."""
        return Text(self._typed(key, "str"))

    def bool(self, key: Text) -> Flag:
        """True or false."""
        return Flag(self._typed(key, "bool"))

    def strings(self, key: Text) -> list[Text]:
        """An array of strings; a missing one is empty, since GGUF files leave empty arrays out."""
        return list(self._typed(key, "arr[str]")) if key in self._values else []

    def ints(self, key: Text) -> list[int]:
        """An array of whole numbers; a missing one is empty."""
        return list(self._typed(key, "arr[i32]")) if key in self._values else []

    def floats(self, key: Text) -> list[float]:
        """Numbers; a missing array is an error here, since none of those may be empty."""
        return list(self._typed(key, "arr[f32]"))

    def _typed(self, key: Text, expected: Text) -> Any:
        if key not in self._values:
            raise ModelFormatError(f"{self.path}: key {key!r} is missing, expected {expected}")
        found = self._values[key][0]
        if found != expected:
            raise ModelFormatError(f"{self.path}: key {key!r} is {found}, expected {expected}")
        return self[key]


class _Parser:
    """A position in the file, which moves only over bytes that are there."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at, self.end = path, data, 4, len(data)

    def fail(self, text: str) -> ModelFormatError:
        return ModelFormatError(f"{self.path}: {text}")

    def parse(self) -> Metadata:
        version = self.scalar("I")
        if version not in GGUF_VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            also = ", written for a big-endian machine" if swapped in GGUF_VERSIONS else ""
            raise self.fail(
                f"GGUF version {swapped if also else version}{also}, expected 2 or 3, little-endian"
            )
        n_tensors, n_keys = self.scalar("Q"), self.scalar("Q")
        # No key takes fewer than 13 bytes, no tensor fewer than 24.
        if n_keys * 13 + n_tensors * 24 > self.end - self.at:
            raise self.fail(
                f"{n_keys} keys and {n_tensors} tensors in {self.end} bytes: truncated, or not a GGUF"
            )
        values: dict[str, tuple[str, Any]] = {}
        for _ in range(n_keys):
            key = self.string(MAX_NAME, "a key")
            if key in values:
                raise self.fail(f"key {key!r} is there twice")
            values[key] = self.value(key, self.scalar("I"))
        kind, alignment = values.get("general.alignment", ("u32", 32))
        if kind != "u32" or alignment < 1 or alignment & (alignment - 1):
            raise self.fail(f"general.alignment is {alignment}, expected a power of two")
        tensors = self.tensors(n_tensors, alignment)
        return Metadata(self.path, version, values, tensors)

    def value(self, key: str, kind: int) -> tuple[str, Any]:
        if kind in SCALARS:
            name, code = SCALARS[kind]
            return name, self.scalar(code)
        if kind == STRING:
            return "str", self.string(self.end, f"key {key!r}")
        if kind != ARRAY:
            raise self.fail(f"key {key!r} has the unknown value type {kind}")
        item, count = self.scalar("I"), self.scalar("Q")
        if item in SCALARS:
            name, code = SCALARS[item]
            raw = self.take(count * struct.calcsize(f"<{code}"), f"key {key!r}")
            return f"arr[{name}]", struct.unpack(f"<{count}{code}", raw)
        if item == STRING:
            return "arr[str]", self.strings(key, count)
        raise self.fail(f"key {key!r} is an array of the unknown type {item}")

    def strings(self, key: str, count: int) -> Callable[[], tuple[str, ...]]:
        """Walk over an array of strings; the returned function decodes it, which most callers never need."""
        if count * 8 > self.end - self.at:
            raise self.fail(f"key {key!r} has {count} strings: the file is truncated")
        start, at, end, data, length = self.at, self.at, self.end, self.data, struct.Struct("<Q").unpack_from
        ends = []
        for _ in range(count):
            if at + 8 > end:
                raise self.fail(f"key {key!r} ends past the file: it is truncated")
            at += 8 + length(data, at)[0]
            ends.append(at - start)
        if at > end:
            raise self.fail(f"key {key!r} ends past the file: it is truncated")
        raw, self.at = data[start:at], at

        def decode() -> tuple[str, ...]:
            try:
                return tuple(raw[b + 8 : e].decode() for b, e in zip([0, *ends], ends, strict=False))
            except UnicodeDecodeError as error:
                raise self.fail(f"key {key!r} is not UTF-8 text ({error})") from error

        return decode

    def tensors(self, count: int, alignment: int) -> list[TensorInfo]:
        found: list[tuple[str, tuple[int, ...], str, int, int]] = []
        for _ in range(count):
            name = self.string(MAX_NAME, "a tensor's name")
            n_dims = self.scalar("I")
            if n_dims > MAX_DIMS:
                raise self.fail(f"tensor {name!r} has {n_dims} axes, expected at most {MAX_DIMS}")
            shape = tuple(self.scalar("Q") for _ in range(n_dims))
            kind, offset = self.scalar("I"), self.scalar("Q")
            if kind not in TENSOR_TYPES:
                raise self.fail(f"tensor {name!r} has the unknown type {kind}")
            type_name, block, size = TENSOR_TYPES[kind]
            if (shape and shape[0] % block) or offset % alignment:
                raise self.fail(
                    f"tensor {name!r} of type {type_name} has shape {list(shape)} at offset "
                    f"{offset}, expected rows of whole blocks of {block} and offsets in steps of {alignment}"
                )
            found.append((name, shape, type_name, prod(shape) // block * size, offset))
        start = -(-self.at // alignment) * alignment
        infos = [
            TensorInfo(name, shape, kind, size, start + offset) for name, shape, kind, size, offset in found
        ]
        if len({info.name for info in infos}) != len(infos):
            raise self.fail("two tensors have the same name")
        for info in infos:
            if info.offset + info.n_bytes > self.end:
                raise self.fail(
                    f"tensor {info.name!r} ends at byte {info.offset + info.n_bytes} of {self.end}: the file "
                    "is truncated"
                )
        return infos

    def scalar(self, code: str) -> Any:
        size = struct.calcsize(f"<{code}")
        return struct.unpack(f"<{code}", self.take(size, "the header"))[0]

    def string(self, longest: int, what: str) -> str:
        size = self.scalar("Q")
        if size > longest:
            raise self.fail(f"{what} is {size} bytes long, expected at most {longest}")
        try:
            return self.take(size, what).decode()
        except UnicodeDecodeError as error:
            raise self.fail(f"{what} is not UTF-8 text ({error})") from error

    def take(self, size: int, what: str) -> bytes:
        if size > self.end - self.at:
            raise self.fail(f"{what} ends past the file: it is truncated")
        raw: bytes = self.data[self.at : self.at + size]
        self.at += size
        return raw
