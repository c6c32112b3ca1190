"""The toy vision encoders parity is checked on, the grids they see, and our side of it. No torch here."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from parity import cases
from tiny_omni import omni_checkpoint

from pyomni._binding import Device, Model
from pyomni.components.vision import VisionEncoder
from pyomni.convert import convert
from pyomni.convert.safetensors_file import Checkpoint
from pyomni.siblings import sibling_path

F32 = NDArray[np.float32]
Grid = tuple[int, int, int]  # frames, rows and columns of patches

#: How far ours may be from the official output: largest absolute difference, float32 on the CPU.
FEATURES = 2e-5  # rounding of every block: rows of magnitude 5 after some layers


@dataclass(frozen=True)
class Case:
    """One toy vision encoder.

    Attributes
    ----------
    why : what these sizes are there to catch
    grids : what it is shown
    """

    name: str
    why: str
    seed: int
    sizes: dict[str, Any]
    grids: tuple[Grid, ...]


CASES = {
    case.name: case
    for case in (
        Case(
            "vision_tiny", "a head of 24, a table both shrunk and stretched, frames of a film", 41, {},
            ((1, 2, 2), (1, 4, 4), (1, 2, 10), (1, 6, 2), (1, 12, 12), (1, 20, 22), (3, 4, 6), (5, 2, 2)),
        ),
        Case(
            "vision_odd", "the real head of 72, rows taken after the first and last block, an odd table", 42,
            {"vision__hidden": 144, "vision__heads": 2, "vision__layers": 3, "vision__ff": 101,
             "vision__grid": 7, "vision__deepstack": (0, 2)},
            ((1, 2, 4), (1, 14, 8), (2, 6, 4)),
        ),
        Case(
            "vision_plain", "no further rows, a head of whole vectors, one block", 43,
            {"vision__hidden": 64, "vision__heads": 2, "vision__layers": 1, "vision__ff": 96,
             "vision__grid": 4, "vision__deepstack": ()},
            ((1, 4, 4), (2, 2, 6)),
        ),
    )
}  # fmt: skip


@functools.cache
def folder(name: str) -> Path:
    """Return the checkpoint folder of a case, written once a process; it goes away with the process."""
    case = CASES[name]
    return omni_checkpoint(
        Path(_scratch().name) / name, seed=case.seed, dtype="bf16", audio_output=False, **case.sizes
    )


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyomni-vision-")


@functools.cache
def gguf(name: str, file_type: str = "f32") -> Path:
    """Return the media file of a case, made once a process."""
    main = folder(name).with_name(f"{name}.{file_type}.gguf")
    convert(folder(name), main, file_type)
    return sibling_path(main, "media")


def weights_hash(name: str) -> str:
    """Return a sha256 of the weights of a case's vision encoder."""
    digest, weights = hashlib.sha256(), Checkpoint(folder(name))
    for tensor in sorted(weights):
        if tensor.startswith("thinker.visual."):
            digest.update(tensor.encode() + weights[tensor].f32().tobytes())
    return digest.hexdigest()


def patches(name: str, grid: Grid) -> F32:
    """Return random patches of a grid, float32 [t * h * w, 3 * 2 * 16 * 16]; each grid its own."""
    rng = np.random.Generator(np.random.PCG64([CASES[name].seed, *grid]))
    shades = rng.uniform(-0.7, 0.7, (int(np.prod(grid)), 1))
    return (shades + 0.2 * rng.standard_normal((len(shades), 1536))).astype(np.float32)


def encoder(name: str, file_type: str = "f32") -> VisionEncoder:
    """Return our encoder of a case."""
    return VisionEncoder(Model(Device("cpu", 2), gguf(name, file_type), "vision_encoder"))


def text_of(grid: Grid) -> str:
    """Return a grid as part of an array's name."""
    return "x".join(map(str, grid))


def load(name: str) -> Mapping[str, NDArray]:
    """Read a case's recording."""
    with np.load(cases.RECORDED / f"{name}.npz") as stored:
        return dict(stored)
