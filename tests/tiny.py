"""Toy checkpoints and GGUF files for tests: every component, seeded, written in well under a second.

folder = tiny_checkpoint(tmp_path / "hf", kind="base")
model = tiny_gguf(tmp_path / "tiny.gguf", type="q8_0", layers=3, window=5)
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pyomni.convert import convert
from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint


def tiny_checkpoint(
    path: Path,
    kind: str = "custom_voice",
    *,
    seed: int = 1234,
    dtype: str = "f32",
    eos_logit: float | None = None,
    **sizes: Any,
) -> Path:
    """Write a Hugging Face folder at the tiny scale.

    Parameters
    ----------
    path : folder to write
    kind : ``"base"``, ``"custom_voice"`` or ``"voice_design"``
    seed, dtype, eos_logit : as `write_checkpoint`; None as eos_logit never ends
    **sizes : sizes that differ from the tiny scale's
    """
    write_checkpoint(path, kind, checkpoint_dims("tiny", **sizes), seed, dtype=dtype, eos_logit=eos_logit)
    return path


def tiny_gguf(path: Path, type: str = "f32", kind: str = "custom_voice", **options: Any) -> Path:  # noqa: A002
    """Write a toy GGUF of a file type; the options are `tiny_checkpoint`'s."""
    with tempfile.TemporaryDirectory() as folder:
        return convert(tiny_checkpoint(Path(folder) / "tiny", kind, **options), path, type)
