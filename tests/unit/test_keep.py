"""What is kept for a voice: found again, bounded, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyomni.digests import content_key
from pyomni.pipelines.keep import Kept, file_identity


def test_the_least_recently_used_goes_first():
    kept = Kept(10)
    kept.put("a", b"1234")
    kept.put("b", b"1234")
    assert kept.get("a") == b"1234"
    kept.put("c", b"1234")
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (b"1234", None, b"1234")
    assert kept.n_bytes == 8


def test_what_is_larger_than_all_there_is_is_not_kept():
    kept = Kept(10)
    kept.put("a", b"12345678901")
    assert kept.get("a") is None
    assert kept.n_bytes == 0


def test_another_process_finds_it(tmp_path: Path):
    Kept(10, tmp_path / "k", 1000).put("a", b"1234")
    assert Kept(10, tmp_path / "k", 1000).get("a") == b"1234"
    assert Kept(10).get("a") is None
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o700


def test_the_folder_is_bounded(tmp_path: Path):
    kept = Kept(0, tmp_path, 110)  # two values of 20 bytes with their digests
    for i, key in enumerate("abc"):
        kept.put(key, bytes(20))
        os.utime(tmp_path / f"{key}.kept", ns=(i, i))
    assert {path.name for path in tmp_path.iterdir()} == {"b.kept", "c.kept"}


@pytest.mark.parametrize("damage", [b"", b"short", bytes(60)])
def test_a_damaged_file_is_not_there(tmp_path: Path, damage: bytes):
    Kept(0, tmp_path, 1000).put("a", b"1234")
    (tmp_path / "a.kept").write_bytes(damage)
    kept = Kept(100, tmp_path, 1000)
    assert kept.get("a") is None
    kept.put("a", b"5678")
    assert Kept(0, tmp_path, 1000).get("a") == b"5678"


def test_a_folder_that_cannot_be_is_no_reason_to_fail(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    kept = Kept(100, tmp_path / "file" / "k", 1000)
    kept.put("a", b"1234")
    assert kept.get("a") == b"1234"
    assert (tmp_path / "file").read_text() == "in the way"


def test_keys_tell_parts_apart():
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key(b"ab") == content_key("ab")


def test_identity_changes_with_the_file(tmp_path: Path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"1")
    first = file_identity(path)
    assert first == file_identity(path)
    path.write_bytes(b"22")
    assert file_identity(path) != first
