"""The instruction sets of the kernels, each in a process of its own: a process decides once which runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyomni.errors import UnsupportedModel

__all__ = ["VARIANTS", "by_variant", "run_again"]

VARIANTS = ("scalar", "avx2", "avx512", "avx512_bf16", "neon", "neon_dotprod", "neon_i8mm")
NOT_HERE = "which this CPU does not run"


def run_again(file: str, variant: str) -> None:
    """Run a file's tests with one variant; skips where this CPU has it not, or where this is that run."""
    if os.environ.get("PYOMNI_CPU_VARIANT"):
        pytest.skip("this is the process of one variant")
    env = {**os.environ, "PYOMNI_CPU_VARIANT": variant}
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    done = subprocess.run(run, env=env, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if NOT_HERE in done.stdout:
        assert UnsupportedModel.__name__ in done.stdout
        pytest.skip(f"no {variant} here")
    assert done.returncode == 0, done.stdout[-4000:]


def by_variant(program: str, given: Sequence[str], variants: Sequence[str] = VARIANTS) -> dict[str, Any]:
    """Return the JSON that a program prints with each of the variants that this CPU runs."""
    found = {}
    for variant in variants:
        done = subprocess.run(
            [sys.executable, "-c", program, *given],
            env={**os.environ, "PYOMNI_CPU_VARIANT": variant, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            found[variant] = json.loads(done.stdout)
        else:
            assert NOT_HERE in done.stderr, (variant, done.stderr[-2000:])
    return found
