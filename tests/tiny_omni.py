"""Toy Qwen3-Omni checkpoints for tests: every network, seeded, written in a fraction of a second.

folder = omni_checkpoint(tmp_path / "omni", thinker__layers=6, vision__deepstack=(1, 3))
model = omni_gguf(tmp_path / "omni.gguf", type="q4_k")   # and omni.media.gguf, omni.speech.gguf
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pyomni.convert import convert
from pyomni.verify.folders import omni_checkpoint

__all__ = ["omni_checkpoint", "omni_gguf"]


def omni_gguf(path: Path, type: str = "f32", **options: Any) -> Path:  # noqa: A002
    """Write a toy's GGUF files, `path` and its siblings; the options are `omni_checkpoint`'s."""
    with tempfile.TemporaryDirectory() as folder:
        return convert(omni_checkpoint(Path(folder) / "tiny", **options), path, type)
