"""Checkpoint folders taken apart and put back wrong, for tests of the converter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyomni.convert import convert


def refused(folder: Path, error: type[Exception], *words: str, kind: str = "f32") -> None:
    """Convert, expect the error with these words, and nothing but the source beside it."""
    out = folder.parent / "out.gguf"
    with pytest.raises(error) as caught:
        convert(folder, out, kind)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [path.name for path in folder.parent.iterdir() if path != folder]


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and data."""
    raw = path.read_bytes()
    n = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + n]), raw[8 + n :]


def rewrite(path: Path, edit: Callable[[dict[str, Any]], object], data: bytes | None = None) -> None:
    """Edit a safetensors file's header, and replace its data."""
    header, old = header_of(path)
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + (old if data is None else data))


def set_json(path: Path, *way: str | int, value: Any) -> None:
    """Set one value in a JSON file."""
    top = json.loads(path.read_text(encoding="utf-8"))
    node = top
    for key in way[:-1]:
        node = node[key]
    node[way[-1]] = value
    path.write_text(json.dumps(top), encoding="utf-8")
