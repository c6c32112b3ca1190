"""Where a file's numbers, entries and texts lie: what a mutator that knows the format changes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Entry", "Layout", "Number", "gguf_layout", "lane_layout", "wav_layout"]


class Number(NamedTuple):
    """A little-endian number: where, and how many bytes."""

    at: int
    size: int


class Entry(NamedTuple):
    """Something that can be there twice or not at all: its bytes, and the number that counts its like."""

    begin: int
    end: int
    count: Number | None


@dataclass
class Layout:
    """What there is to change.

    Attributes
    ----------
    numbers : by kind, so that a mutator can choose the kind first: there is one count to a thousand offsets
    entries : keys, tensors, chunks
    header : bytes before the bulk of the data
    """

    numbers: dict[str, list[Number]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    header: int = 0

    def add(self, kind: str, at: int, size: int) -> Number:
        """Note a number and return it."""
        number = Number(at, size)
        self.numbers.setdefault(kind, []).append(number)
        return number


SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
N_ITEMS = 4  # of an array; the others are like them


def gguf_layout(data: bytes) -> Layout:
    """Walk through a GGUF that is whole."""
    layout = Layout()
    layout.add("version", 4, 4)
    n_tensors, n_keys = layout.add("count", 8, 8), layout.add("count", 16, 8)
    at = 24
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        begin = at
        at = _string(layout, data, at, "key name")
        at = _value(layout, data, at)
        layout.entries.append(Entry(begin, at, n_keys))
    for _ in range(struct.unpack_from("<Q", data, 8)[0]):
        begin = at
        at = _string(layout, data, at, "tensor name")
        layout.add("axes", at, 4)
        (n_dims,) = struct.unpack_from("<I", data, at)
        for k in range(n_dims):
            layout.add("shape", at + 4 + 8 * k, 8)
        at += 4 + 8 * n_dims
        layout.add("tensor type", at, 4)
        layout.add("offset", at + 4, 8)
        at += 12
        layout.entries.append(Entry(begin, at, n_tensors))
    layout.header = at
    return layout


def _string(layout: Layout, data: bytes, at: int, kind: str) -> int:
    layout.add(kind, at, 8)
    return at + 8 + int(struct.unpack_from("<Q", data, at)[0])


def _value(layout: Layout, data: bytes, at: int) -> int:
    layout.add("value type", at, 4)
    (kind,) = struct.unpack_from("<I", data, at)
    at += 4
    if kind == STRING:
        return _string(layout, data, at, "text")
    if kind != ARRAY:
        layout.add("value", at, SCALARS[kind])
        return at + SCALARS[kind]
    layout.add("item type", at, 4)
    layout.add("array length", at + 4, 8)
    item, n = struct.unpack_from("<IQ", data, at)
    at += 12
    for i in range(n):
        if item == STRING:
            kept = layout if i < N_ITEMS else Layout()
            at = _string(kept, data, at, "item text")
        else:
            if i < N_ITEMS:
                layout.add("item", at, SCALARS[item])
            at += SCALARS[item]
    return at


def wav_layout(data: bytes) -> Layout:
    """Walk through the chunks of a RIFF file."""
    layout = Layout()
    layout.add("size", 4, 4)
    at = 12
    while at + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        layout.add("size", at + 4, 4)
        if data[at : at + 4] != b"data":
            for k in range(at + 8, min(at + 8 + size, len(data) - 4), 2):
                layout.add("field", k, 2)
                layout.add("field", k, 4)
            layout.header = min(at + 8 + size + 8, len(data))
        end = min(at + 8 + size + size % 2, len(data))
        layout.entries.append(Entry(at, end, None))
        at = end
    return layout


def lane_layout(data: bytes) -> Layout:
    """Return the header of a saved lane: `csrc/core/snapshot.h`."""
    layout = Layout(header=48)
    for kind, at, size in (
        ("version", 8, 4), ("states", 12, 4), ("model", 16, 8), ("positions", 24, 8), ("positions", 24, 4),
        ("bytes", 32, 8), ("checksum", 40, 8),
    ):  # fmt: skip
        layout.add(kind, at, size)
    for at in range(48, min(len(data) - 4, 48 + 64 * 4), 4):
        layout.add("state", at, 4)
    return layout
