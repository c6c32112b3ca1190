"""The toy model, made once per test run, and its variants."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path


@lru_cache
def toy() -> Path:
    """Return a CustomVoice model at toy size."""
    from pyomni.toy import make_toy_model

    return Path(make_toy_model(_folder() / "toy.gguf"))


@lru_cache
def variant(model_type: str) -> Path:
    """Return a toy of another model type: ``voice_design`` or ``base``."""
    from pyomni.convert import convert
    from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint

    write_checkpoint(_folder() / model_type, model_type, checkpoint_dims("tiny"), 7, dtype="f32")
    return Path(convert(_folder() / model_type, _folder() / f"{model_type}.gguf", "f32"))


@lru_cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pyomni-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
