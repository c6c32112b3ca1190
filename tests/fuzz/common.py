"""What the readers share: seeds in memory, and damage to safetensors, as voices and saved states are."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from fuzz.layouts import Entry, Layout
from fuzz.mutators import damaged, damaged_json, scribbled

from pyomni._binding import Device

__all__ = ["N_CTX", "any_of", "bytes_of", "device", "layout_of", "safetensors_damage", "split", "whole"]

N_CTX = 16  # positions of a session that a component is tried in


@lru_cache
def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


@lru_cache
def layout_of(make: Callable[[bytes], Layout], path: Path) -> Layout:
    return make(bytes_of(path))


def any_of(folder: Path, pattern: str, rng: random.Random) -> Path:
    return rng.choice(sorted(folder.glob(pattern)))


@lru_cache
def device() -> Device:
    return Device("cpu", 1)


def split(data: bytes) -> tuple[Any, bytes]:
    n = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def _joined(header: Any, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def safetensors_damage(data: bytes, rng: random.Random) -> bytes:
    """Damage a safetensors file: its JSON in a header of the right length, the length, or any bytes."""
    if rng.random() < 0.25:
        return scribbled(data, rng)
    if rng.random() < 0.15:
        layout = Layout({"length": []}, header=int.from_bytes(data[:8], "little") + 8)
        layout.add("length", 0, 8)
        layout.add("data", layout.header, 4)
        layout.entries.append(whole(layout.header))
        return damaged(data, layout, rng)
    header, body = split(data)
    return _joined(damaged_json(header, rng), body if rng.random() < 0.9 else scribbled(body, rng))


def whole(n: int) -> Entry:
    """The bytes of a header behind its length, as one entry."""
    return Entry(8, n, None)
