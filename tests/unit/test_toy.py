"""The toy model: small, quick, the same each time, and safe to make twice at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyomni import toy
from pyomni.errors import ModelFileError
from pyomni.metadata import SpeechMetadata


def test_made_once_and_found_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYOMNI_CACHE", str(tmp_path / "deep" / "cache"))
    start = time.perf_counter()
    path = toy.toy_model_path()
    assert time.perf_counter() - start < 2
    assert path.stat().st_size < 3e6
    before = path.stat().st_mtime_ns
    assert toy.toy_model_path() == path
    assert path.stat().st_mtime_ns == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_custom_voice_model_with_the_real_names(tmp_path: Path) -> None:
    meta = SpeechMetadata.read(toy.make_toy_model(tmp_path / "toy.gguf"))
    assert meta.model_type == "custom_voice"
    assert set(meta.components) >= {"talker", "code_predictor", "codec_decoder", "codec_encoder"}
    assert len(meta.speakers) == 9
    assert {"english", "chinese", "sichuan_dialect"} <= set(meta.languages)
    assert (meta.sample_rate, meta.hop) == (24000, 1920)


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = toy.make_toy_model(tmp_path / "a.gguf"), toy.make_toy_model(tmp_path / "b.gguf")
    assert first.read_bytes() == second.read_bytes()


def test_two_processes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYOMNI_CACHE", str(tmp_path))
    command = [sys.executable, "-c", "from pyomni.toy import toy_model_path; print(toy_model_path())"]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) for _ in range(2)]
    paths = {child.communicate(timeout=60)[0].strip() for child in children}
    assert all(child.returncode == 0 for child in children)
    assert len(paths) == 1
    assert SpeechMetadata.read(paths.pop()).model_type == "custom_voice"
    assert len(list(tmp_path.iterdir())) == 1


def test_no_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("PYOMNI_CACHE", str(tmp_path / "file" / "cache"))
    path = toy.toy_model_path()
    assert path.is_file()
    assert tmp_path not in path.parents


def test_nowhere_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(toy.tempfile, "mkdtemp", refuse)
    with pytest.raises(ModelFileError, match="Read-only file system"):
        toy.make_toy_model(tmp_path / "toy.gguf")
