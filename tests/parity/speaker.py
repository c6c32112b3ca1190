"""The toy speaker encoders parity is checked on, the clips they hear, and our side of it. No torch here."""

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

from pyomni._binding import Device, Model
from pyomni.audio.mel import LogMel
from pyomni.components.encoder import Encoder
from pyomni.convert import convert
from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint
from pyomni.metadata import Metadata

F32 = NDArray[np.float32]

#: How far ours may be from the official output: largest absolute difference, float32 on the CPU, and why.
MEL = 1e-4  # the logarithm of magnitudes whose float32 transform is the official side's own noise
EMBEDDING = 2e-5  # rounding of every convolution, averaged over time


@dataclass(frozen=True)
class Case:
    """One toy speaker encoder.

    Attributes
    ----------
    why : what this shape is there to catch
    clips : lengths of clips in samples, at 24 kHz; where there are none, the encoder is fed rows
    rows : numbers of random rows fed to it
    tapped : which of the clips or row counts has every stage recorded
    """

    name: str
    why: str
    seed: int
    dtype: str
    dims: dict[str, Any]
    clips: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    tapped: int = 0


CASES = {
    case.name: case
    for case in (
        Case(
            "speaker_real", "the real depth, kernels, dilations and mel front end, down to the shortest clip",
            31, "bf16", {}, clips=(1280, 1281, 2048, 4801, 24000, 72001), tapped=4801,
        ),
        Case(
            "speaker_odd", "two blocks, an even and a wide kernel, dilation 5, eight groups, few bands", 32,
            "f32",
            {"hidden": 40, "heads": 2, "kv_heads": 1, "cp_hidden": 40, "spk_mels": 20,
             "spk_channels": (48, 48, 48, 96), "spk_kernels": (4, 5, 3, 1), "spk_dilations": (1, 2, 5, 1),
             "spk_scale": 8, "spk_se": 10, "spk_attention": 21},
            rows=(6, 7, 50, 301), tapped=50,
        ),
    )
}  # fmt: skip
_SIZES = {"decoder_dim": 32, "hidden": 64, "cp_hidden": 64, "heads": 2, "kv_heads": 1, "head_dim": 32,
          "cp_heads": 2, "cp_kv_heads": 1, "cp_head_dim": 16, "dec_heads": 2, "dec_kv_heads": 2,
          "window": 5, "spk_mels": 128, "spk_channels": (32, 32, 32, 32, 96), "spk_kernels": (5, 3, 3, 3, 1),
          "spk_dilations": (1, 2, 3, 4, 1), "spk_scale": 4, "spk_se": 16, "spk_attention": 16}  # fmt: skip

MEL_CLIPS = (385, 511, 512, 1281, 4801, 9999)  # samples; 385 is the shortest that can be padded


@functools.cache
def folder(name: str) -> Path:
    """Return the checkpoint folder of a case, written once a process; it goes away with the process."""
    case = CASES[name]
    out = Path(_scratch().name) / name
    dims = checkpoint_dims("tiny", **cases.BASE | _SIZES | case.dims)
    write_checkpoint(out, "base", dims, case.seed, dtype=case.dtype)
    return out


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyomni-speaker-")


@functools.cache
def gguf(name: str) -> Path:
    """Return the float32 GGUF of a case, made once a process."""
    out = folder(name).with_suffix(".gguf")
    convert(folder(name), out, type="f32")
    return out


def weights_hash(name: str) -> str:
    """Return the sha256 of a case's weights."""
    return hashlib.sha256((folder(name) / "model.safetensors").read_bytes()).hexdigest()


def clip(n_samples: int) -> F32:
    """Return a voiced sound with a gliding pitch and some breath, float32 [n]; each length its own."""
    rng = np.random.Generator(np.random.PCG64(n_samples))
    seconds = np.arange(n_samples) / 24000
    pitch = 110 + 15 * rng.integers(0, 8) + 40 * np.sin(2 * np.pi * 1.5 * seconds)  # Hz
    phase = 2 * np.pi * np.cumsum(pitch) / 24000
    voice = sum(np.sin(k * phase) / k**1.2 for k in range(1, 40))
    return (0.15 * voice + 0.01 * rng.standard_normal(n_samples)).astype(np.float32)


def rows(name: str, n: int) -> F32:
    """Return random rows of the size of log-mel values, float32 [n, n_mels]."""
    rng = np.random.Generator(np.random.PCG64(n))
    n_mels = CASES[name].dims["spk_mels"]
    return (2 * rng.standard_normal((n, n_mels)) - 4).astype(np.float32)


@functools.cache
def front_end(name: str) -> LogMel:
    """Return the mel front end a case's file asks for."""
    return LogMel.read(Metadata.read(gguf(name)))


def encoder(name: str) -> Encoder:
    """Return our encoder of a case."""
    return Encoder(Model(Device("cpu", 2), gguf(name), "speaker_encoder"))


def stages(name: str) -> dict[str, int]:
    """Return the width of each tapped stage."""
    channels = (_SIZES | CASES[name].dims)["spk_channels"]
    blocks = {f"blk.{i}.out": n for i, n in enumerate(channels[:-1])}
    return {**blocks, "mfa": channels[-1], "pooled": 2 * channels[-1]}


def load(name: str) -> Mapping[str, NDArray]:
    """Read a case's recording."""
    with np.load(cases.RECORDED / f"{name}.npz") as stored:
        return dict(stored)
