"""The toy audio encoders parity is checked on, the clips they hear, and our side of it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyomni._binding import Device, Model
from pyomni.audio.hearing import Hearing
from pyomni.components.encoder import Encoder
from pyomni.metadata import Metadata
from pyomni.siblings import sibling_path
from pyomni.verify import recording
from pyomni.verify.figure import Figure, figure
from pyomni.verify.folders import converted, omni_checkpoint, scratch
from pyomni.verify.tolerances import TOLERANCES

F32 = NDArray[np.float32]

MEL, FEATURES = TOLERANCES["mel"].value, TOLERANCES["audio features"].value
PACKAGED = "audio_real"  # the toy whose recording comes with the package


@dataclass(frozen=True)
class Case:
    """One toy audio encoder.

    Attributes
    ----------
    why : what this shape is there to catch
    seed : of the weights
    sizes : that differ from the tiny scale's
    frames : lengths of the random spectrograms fed to it
    tapped : which of them has every stage recorded
    """

    name: str
    why: str
    seed: int
    frames: tuple[int, ...]
    tapped: int
    sizes: dict[str, Any] = field(default_factory=dict)


CASES = {
    case.name: case
    for case in (
        Case(
            "audio_real", "the real front end, chunks and windows: less than a chunk, tails, windows", 51,
            (1, 8, 9, 57, 97, 100, 101, 163, 800, 845, 1703), 163,
        ),
        Case(
            "audio_odd", "40 bands, odd widths, five layers, windows set as two and a half chunks", 52,
            (3, 96, 100, 104, 199, 200, 230, 413), 230,
            {"audio__mels": 40, "audio__hidden": 36, "audio__layers": 5, "audio__heads": 3, "audio__ff": 50,
             "audio__conv": 5, "audio__window_infer": 250, "thinker__hidden": 48},
        ),
    )
}  # fmt: skip

#: Lengths in samples whose spectrograms are recorded; 201 is the shortest that can be padded.
MEL_CLIPS = (201, 319, 320, 1600, 9999)
HEARD = "audio_real"  # the toy that hears it


@functools.cache
def folder(name: str) -> Path:
    """Return the checkpoint folder of a case, written once a process; it goes away with the process."""
    case = CASES[name]
    return omni_checkpoint(
        scratch("audio") / name, seed=case.seed, dtype="bf16", audio_output=False, **case.sizes
    )


def gguf(name: str, kind: str = "f32") -> Path:
    """Return the media file of a case, made once a process."""
    return sibling_path(converted(folder(name), kind), "media")


def weights_hash(name: str) -> str:
    """Return the sha256 of a case's weights."""
    return hashlib.sha256((folder(name) / "model.safetensors").read_bytes()).hexdigest()


@functools.cache
def hearing(name: str) -> Hearing:
    """Return the front end a case's file asks for."""
    return Hearing.read(Metadata.read(gguf(name)))


def encoder(name: str, kind: str = "f32", device: Device | None = None) -> Encoder:
    """Return our encoder of a case, on two threads where no device is given."""
    return Encoder(Model(device or Device("cpu", 2), gguf(name, kind), "audio_encoder"))


def rows(name: str, n: int) -> F32:
    """Return random rows of the size of log-mel values, float32 [n, n_mels]."""
    rng = np.random.Generator(np.random.PCG64(n))
    n_mels = CASES[name].sizes.get("audio__mels", 128)
    return (0.7 * rng.standard_normal((n, n_mels)) - 0.2).astype(np.float32)


def clip(n_samples: int) -> F32:
    """Return a voiced sound with a gliding pitch and some breath, float32 [n]; each length its own."""
    rng = np.random.Generator(np.random.PCG64(n_samples))
    seconds = np.arange(n_samples) / 16000
    pitch = 110 + 15 * rng.integers(0, 8) + 40 * np.sin(2 * np.pi * 1.5 * seconds)  # Hz
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    voice = sum(np.sin(k * phase) / k**1.2 for k in range(1, 30))
    return (0.15 * voice + 0.01 * rng.standard_normal(n_samples)).astype(np.float32)


def figures(device: Device, kind: str = "f32") -> Iterator[tuple[str, Figure]]:
    """Compare spectrograms and features of the packaged toy."""
    ears, ours = hearing(PACKAGED), encoder(PACKAGED, kind, device)
    for key, expected in recording.load(PACKAGED).items():
        what, _, n = key.partition(".")
        if what == "mel":
            yield "audio encoder, front end", figure("mel", f"{n} samples", ears(clip(int(n))), expected)
        elif what == "features":
            yield (
                "audio encoder",
                figure("audio features", f"{n} frames", ours.encode(rows(PACKAGED, int(n))), expected),
            )
    ours.close()
