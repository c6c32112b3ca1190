"""The toy vision encoders parity is checked on, the grids they see, and our side of it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyomni._binding import Device, Model
from pyomni.components.vision import VisionEncoder
from pyomni.convert.safetensors_file import Checkpoint
from pyomni.siblings import sibling_path
from pyomni.verify import recording
from pyomni.verify.figure import Figure, figure
from pyomni.verify.folders import converted, omni_checkpoint, scratch
from pyomni.verify.tolerances import TOLERANCES

F32 = NDArray[np.float32]
Grid = tuple[int, int, int]  # frames, rows and columns of patches

FEATURES = TOLERANCES["vision rows"].value
PACKAGED = ("vision_odd", "vision_plain")  # toys whose recordings come with the package


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
        scratch("vision") / name, seed=case.seed, dtype="bf16", audio_output=False, **case.sizes
    )


def gguf(name: str, kind: str = "f32") -> Path:
    """Return the media file of a case, made once a process."""
    return sibling_path(converted(folder(name), kind), "media")


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


def encoder(name: str, kind: str = "f32", device: Device | None = None) -> VisionEncoder:
    """Return our encoder of a case, on two threads where no device is given."""
    return VisionEncoder(Model(device or Device("cpu", 2), gguf(name, kind), "vision_encoder"))


def text_of(grid: Grid) -> str:
    """Return a grid as part of an array's name."""
    return "x".join(map(str, grid))


def figures(device: Device, kind: str = "f32") -> Iterator[tuple[str, Figure]]:
    """Compare the rows of the packaged toys, those for deeper layers too."""
    for name in PACKAGED:
        ours, official = encoder(name, kind, device), recording.load(name)
        for grid in CASES[name].grids:
            seen = ours.encode(patches(name, grid), grid)
            rows = np.concatenate([seen.rows[None], seen.deepstack])
            yield (
                "vision encoder",
                figure("vision rows", f"{name}, {text_of(grid)}", rows, official[f"rows.{text_of(grid)}"]),
            )
        ours.close()
