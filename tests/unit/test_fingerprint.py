"""Fingerprints of files and of checkpoints."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from mutate import rewrite
from tiny import tiny_gguf

from pyomni.errors import ModelFileError, ModelFormatError
from pyomni.metadata import Metadata, checkpoint_fingerprint, fingerprint


def test_a_copy_is_the_same_file_and_a_change_is_not(tiny_paths: dict[str, Path], tmp_path: Path) -> None:
    original = fingerprint(tiny_paths["f32"])
    copy = Path(shutil.copy(tiny_paths["f32"], tmp_path / "copy.gguf"))
    assert fingerprint(copy) == original
    assert len(original) == 32
    # a weight, everywhere: as training does; and the same path again, which is remembered by size and time
    rewrite(tiny_paths["f32"], copy, tensors={"talker.codec_head.weight": lambda w: w * np.float32(1.01)})
    assert fingerprint(copy) != original
    assert fingerprint(tiny_paths["q8_0"]) != original


def test_of_a_large_file_header_and_samples_count(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[fingerprint.__module__], "SMALL", 0)
    raw = tiny_path.read_bytes()

    def changed(name: str, at: int | None) -> str:
        data = bytearray(raw)
        if at is not None:
            data[at] ^= 1
        (tmp_path / name).write_bytes(data)
        return fingerprint(tmp_path / name)

    found = [changed("same", None), changed("header", raw.index(b"general.name") + 24), changed("end", -9)]
    assert found[0] == changed("again", None)
    assert len(set(found)) == 3


def test_a_byte_of_the_header_and_a_byte_too_many_count(tiny_path: Path, tmp_path: Path) -> None:
    raw = bytearray(tiny_path.read_bytes())
    (tmp_path / "longer.gguf").write_bytes(bytes(raw) + b"\0")
    at = raw.index(b"general.name") + len("general.name") + 4 + 8
    raw[at] ^= 1
    (tmp_path / "renamed.gguf").write_bytes(raw)
    found = {fingerprint(path) for path in (tiny_path, tmp_path / "longer.gguf", tmp_path / "renamed.gguf")}
    assert len(found) == 3


def test_files_of_one_checkpoint_share_one(tiny_paths: dict[str, Path], tmp_path: Path) -> None:
    marks = {checkpoint_fingerprint(Metadata.read(path)) for path in tiny_paths.values()}
    assert len(marks) == 1
    other = tiny_gguf(tmp_path / "other.gguf", seed=99)
    assert checkpoint_fingerprint(Metadata.read(other)) not in marks


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        fingerprint(tmp_path / "none.gguf")
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelFormatError, match="expected a GGUF"):
        fingerprint(tmp_path / "text.gguf")
