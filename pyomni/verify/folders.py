"""Where toy checkpoints are written: a folder that goes away with the process."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from pyomni.convert import convert
from pyomni.convert.random_qwen3_omni import omni_dims, write_omni_checkpoint

__all__ = ["converted", "omni_checkpoint", "scratch"]


def scratch(name: str) -> Path:
    """Return the folder of one family of toys."""
    out = Path(_root().name) / name
    out.mkdir(exist_ok=True)
    return out


@functools.cache
def _root() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyomni-toys-")


def converted(folder: Path, kind: str = "f32") -> Path:
    """Return the GGUF of a checkpoint folder, beside it, made on the first call.

    Parameters
    ----------
    folder : checkpoint folder in Hugging Face layout
    kind : type of the file
    """
    out = folder.with_name(f"{folder.name}.{kind}.gguf")
    if not out.exists():
        convert(folder, out, type=kind)
    return out


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
    """Write a toy Qwen3-Omni checkpoint in Hugging Face layout and return its folder.

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
