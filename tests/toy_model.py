"""A toy CustomVoice model with the real speaker and language names, a byte vocabulary and random weights.

It makes noise, and ends after 20 frames or so.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pyomni.convert import convert
from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint

SEED = 1234
SIZES = {"head_dim": 16, "cp_head_dim": 16}  # of the tiny scale, smaller still
EOS_LOGIT = 4.3  # ends within a few seconds of speech, sampled with the default options


def make_toy_model(path: Path) -> Path:
    """Write the toy model to `path`; the same bytes each time."""
    with tempfile.TemporaryDirectory(prefix="pyomni-") as folder:
        toy, dims = Path(folder) / "toy", checkpoint_dims("tiny", **SIZES)
        write_checkpoint(toy, "custom_voice", dims, SEED, dtype="f32", eos_logit=EOS_LOGIT)
        return convert(toy, path, "f32")
