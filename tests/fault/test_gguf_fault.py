"""GGUF headers that cannot be: our own check refuses them by name before ggml's reader sees the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.metadata.header import Metadata

U32, STRING, ARRAY, U64 = 4, 8, 9, 10
F32, Q4_0 = 0, 2


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with Device("cpu", 1) as opened:
        yield opened


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def key(name: bytes, kind: int = U32, value: bytes = struct.pack("<I", 1)) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def tensor(name: bytes, shape: tuple[int, ...] = (32,), kind: int = F32, offset: int = 0) -> bytes:
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + axes + struct.pack("<IQ", kind, offset)


def file(
    keys: list[bytes], tensors: list[bytes], *, version: int = 3, counts: tuple[int, int] | None = None
) -> bytes:
    n_tensors, n_keys = counts or (len(tensors), len(keys))
    head = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_keys) + b"".join(keys + tensors)
    return head + b"\0" * (-len(head) % 32) + b"\0" * 512


ALIGNMENT = b"general.alignment"
GOOD = [key(b"a"), key(b"b", STRING, text(b"c"))]

CASES = {
    "version": (file(GOOD, [], version=4), "GGUF version 4, expected 2 or 3"),
    "many keys": (file(GOOD, [], counts=(0, 2**63)), "9223372036854775808 keys, expected at most 32768"),
    "many tensors": (file(GOOD, [], counts=(2**58, 2)), "288230376151711744 tensors, expected at most"),
    "a key more": (file(GOOD, [], counts=(0, 32768)), "damaged or cut short"),
    "an empty key": (
        file([key(b"")], []),
        "a key whose name has 0 bytes, expected 1 to 65535",
    ),  # ggml asserts
    "a long key": (
        file([struct.pack("<Q", 2**64 - 1)], []),
        "a key whose name has 18446744073709551615 bytes",
    ),
    "a key twice": (file([*GOOD, key(b"a")], []), "key 'a' is there twice"),
    "an alignment behind a zero": (  # which ggml takes for the real one and asserts its type
        file([key(ALIGNMENT + b"\0x", STRING, text(b"32"))], []),
        "a key whose name holds a zero, after 'general.alignment'",
    ),
    "an alignment of 0": (
        file([key(ALIGNMENT, U32, bytes(4))], []),
        "'general.alignment' is 0, expected a power",
    ),
    "an alignment of 3": (
        file([key(ALIGNMENT, U32, b"\3\0\0\0")], []),
        "'general.alignment' is 3, expected a power",
    ),
    "an alignment of 2^31": (
        file([key(ALIGNMENT, U32, b"\0\0\0\x80")], []),
        "is 2147483648, expected a power of two up",
    ),
    "an alignment of 64 bits": (file([key(ALIGNMENT, U64, bytes(8))], []), "is of type u64, expected u32"),
    "a type": (file([key(b"a", 13)], []), "key 'a' is of the unknown type 13"),
    "a nested array": (
        file([key(b"a", ARRAY, struct.pack("<IQ", ARRAY, 1) + bytes(12))], []),
        "key 'a' is of the unknown type 9",
    ),
    "a long array": (
        file([key(b"a", ARRAY, struct.pack("<IQ", U64, 2**61))], []),
        "key 'a' has 2305843009213693952 values",
    ),
    "a long text": (
        file([key(b"a", STRING, struct.pack("<Q", 2**63))], []),
        "a takes 9223372036854775808 bytes",
    ),
    "a text in an array": (
        file([key(b"a", ARRAY, struct.pack("<IQQ", STRING, 1, 2**64 - 4))], []),
        "a takes 18446744073709551612 bytes",
    ),
    "no name": (file([], [tensor(b"")]), "a tensor whose name has 0 bytes, expected 1 to 63"),
    "a long name": (file([], [tensor(b"n" * 64)]), "a tensor whose name has 64 bytes"),
    "a tensor twice": (file([], [tensor(b"t"), tensor(b"t", offset=128)]), "tensor 't' is there twice"),
    "five axes": (file([], [tensor(b"t", (1,) * 5)]), "tensor 't' has 5 axes, expected at most 4"),
    "an axis of 0": (
        file([], [tensor(b"t", (32, 0))]),
        "tensor 't' has 0 elements along axis 1",
    ),  # ggml divides
    "an axis of 2^63": (file([], [tensor(b"t", (2**63,))]), "tensor 't' needs more"),
    "axes that come round": (file([], [tensor(b"t", (2**32, 2**32, 2**32, 1))]), "tensor 't' needs more"),
    "bytes that come round": (file([], [tensor(b"t", (2**62 + 8,))]), "tensor 't' needs more"),
    "padding that comes round": (file([], [tensor(b"t", (2**62 - 1,))]), "tensor 't' needs more"),
    "blocks that come round": (  # 18 bytes for 32 elements: ggml multiplies first, and has 64 bytes
        file([], [tensor(b"t", (5124095576030431008,), Q4_0)]),
        "tensor 't' needs more",
    ),
    "part of a block": (
        file([], [tensor(b"t", (33,), Q4_0)]),
        "tensor 't' has rows of 33, expected a multiple of 32",
    ),
    "a removed type": (file([], [tensor(b"t", (32,), 4)]), "tensor 't' is of the unknown type 4"),
    "a type of 2^32 - 1": (
        file([], [tensor(b"t", (32,), 2**32 - 1)]),
        "tensor 't' is of the unknown type 4294967295",
    ),
    "an offset": (file([], [tensor(b"t", offset=32)]), "tensor 't' has offset 32, expected 0"),
    "an overlap": (
        file([], [tensor(b"t"), tensor(b"u", offset=64)]),
        "tensor 'u' has offset 64, expected 128",
    ),
    "a file cut short": (file([], [tensor(b"t", (140,))]), r"it has \d+ bytes and tensor 't' ends at"),
    "a control character": (
        file([*GOOD, key(b"\x1b[2J\n"), key(b"\x1b[2J\n")], []),
        r"key '\?\[2J\?' is there twice",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_before_ggml_sees_it(device: Device, tmp_path: Path, name: str) -> None:
    data, words = CASES[name]
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(errors.ModelFormatError, match=words):
        Model(device, path, "talker")


def test_what_is_right_passes_the_check(device: Device, tmp_path: Path) -> None:
    path = tmp_path / "good.gguf"
    path.write_bytes(
        file([*GOOD, key(ALIGNMENT, U32, b"\x20\0\0\0")], [tensor(b"t"), tensor(b"u", offset=128)])
    )
    assert [one.name for one in Metadata.read(path).tensors] == ["t", "u"]
    with pytest.raises(errors.ModelFormatError, match=r"key 'pyomni\.components' is missing"):
        Model(device, path, "talker")
