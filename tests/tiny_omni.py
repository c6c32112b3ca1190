"""Toy Qwen3-Omni checkpoints for tests: every network, seeded, written in a fraction of a second.

folder = omni_checkpoint(tmp_path / "omni", thinker__layers=6, vision__deepstack=(1, 3))
model = omni_gguf(tmp_path / "omni.gguf", type="q4_k")   # and omni.media.gguf, omni.speech.gguf
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pyomni.convert import convert
from pyomni.convert.random_qwen3_omni import omni_dims, write_omni_checkpoint


def omni_checkpoint(
    path: Path,
    *,
    seed: int = 1234,
    dtype: str = "f32",
    n_shards: int = 1,
    eos_allowed: bool = False,
    audio_output: bool = True,
    **sizes: Any,
) -> Path:
    """Write a Hugging Face folder at the tiny scale and return it.

    Parameters
    ----------
    path : folder to write
    seed, dtype, n_shards, eos_allowed, audio_output : as `write_omni_checkpoint`
    **sizes : sizes that differ from the tiny scale's, as ``thinker__layers=6``
    """
    dims = omni_dims("tiny", {name.replace("__", ".", 1): value for name, value in sizes.items()})
    write_omni_checkpoint(
        path, dims, seed, dtype=dtype, n_shards=n_shards, eos_allowed=eos_allowed, audio_output=audio_output
    )
    return path


def omni_gguf(path: Path, type: str = "f32", **options: Any) -> Path:  # noqa: A002
    """Write a toy's GGUF files, `path` and its siblings; the options are `omni_checkpoint`'s."""
    with tempfile.TemporaryDirectory() as folder:
        return convert(omni_checkpoint(Path(folder) / "tiny", **options), path, type)
