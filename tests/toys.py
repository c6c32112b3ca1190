"""Toy models made once per test run: one that ends, those of `tiny`, and of `tiny_omni`, which never do."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from tiny import tiny_gguf
from tiny_omni import omni_gguf
from toy_model import make_toy_model


@lru_cache
def toy() -> Path:
    """Return a toy that ends after 20 frames or so."""
    return make_toy_model(_folder() / "toy.gguf")


@lru_cache
def variant(kind: str) -> Path:
    """Return a toy that never draws its end id: ``custom_voice``, ``voice_design`` or ``base``."""
    return Path(tiny_gguf(_folder() / f"{kind}.gguf", kind=kind))


@lru_cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pyomni-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@lru_cache
def omni() -> Path:
    """Return a toy that converses; it never ends an answer by itself."""
    return omni_gguf(_folder() / "omni.gguf")
