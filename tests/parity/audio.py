"""The toy audio encoders parity is checked on, the clips they hear, and our side of it. No torch here."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from parity import cases
from tiny_omni import omni_checkpoint

from pyomni._binding import Device, Model
from pyomni.audio.clip import read_clip
from pyomni.audio.hearing import Hearing
from pyomni.components.encoder import Encoder
from pyomni.convert import convert
from pyomni.metadata import Metadata
from pyomni.siblings import sibling_path

F32 = NDArray[np.float32]

#: How far ours may be from the official output: largest absolute difference, float32 on the CPU, and why.
MEL = 1e-4  # the logarithm of powers whose float32 transform is the official side's own noise
FEATURES = 2e-5  # rounding of every layer, behind the norm of the last


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
SPEECH = cases.RECORDED / "speech.flac"
HEARD = "audio_real"  # the toy that hears it


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyomni-audio-")


@functools.cache
def folder(name: str) -> Path:
    """Return the checkpoint folder of a case, written once a process; it goes away with the process."""
    case = CASES[name]
    return omni_checkpoint(
        Path(_scratch().name) / name, seed=case.seed, dtype="bf16", audio_output=False, **case.sizes
    )


@functools.cache
def gguf(name: str, file_type: str = "f32") -> Path:
    """Return the media file of a case, made once a process."""
    main = folder(name).with_name(f"{name}.{file_type}.gguf")
    convert(folder(name), main, file_type)
    return sibling_path(main, "media")


def weights_hash(name: str) -> str:
    """Return the sha256 of a case's weights."""
    return hashlib.sha256((folder(name) / "model.safetensors").read_bytes()).hexdigest()


@functools.cache
def hearing(name: str) -> Hearing:
    """Return the front end a case's file asks for."""
    return Hearing.read(Metadata.read(gguf(name)))


def encoder(name: str, file_type: str = "f32") -> Encoder:
    """Return our encoder of a case."""
    return Encoder(Model(Device("cpu", 2), gguf(name, file_type), "audio_encoder"))


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


@functools.cache
def speech() -> F32:
    """Return the recorded sentence at the front end's rate, float32 [n]."""
    return read_clip(SPEECH, 16000)


def load(name: str) -> Mapping[str, NDArray]:
    """Read a case's recording."""
    with np.load(cases.RECORDED / f"{name}.npz") as stored:
        return dict(stored)
