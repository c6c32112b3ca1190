"""The toy speaker encoders parity is checked on, the clips they hear, and our side of it."""

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
from pyomni.audio.mel import LogMel
from pyomni.components.encoder import Encoder
from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint
from pyomni.metadata import Metadata
from pyomni.verify import recording, toy_speech
from pyomni.verify.figure import Figure, figure
from pyomni.verify.folders import converted, scratch
from pyomni.verify.tolerances import TOLERANCES

F32 = NDArray[np.float32]

MEL, EMBEDDING = TOLERANCES["mel"].value, TOLERANCES["speaker embedding"].value
PACKAGED = "speaker_real"  # the toy whose recording comes with the package


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
_SIZES: dict[str, Any] = {
    "decoder_dim": 32, "hidden": 64, "cp_hidden": 64, "heads": 2, "kv_heads": 1, "head_dim": 32,
    "cp_heads": 2, "cp_kv_heads": 1, "cp_head_dim": 16, "dec_heads": 2, "dec_kv_heads": 2,
    "window": 5, "spk_mels": 128, "spk_channels": (32, 32, 32, 32, 96), "spk_kernels": (5, 3, 3, 3, 1),
    "spk_dilations": (1, 2, 3, 4, 1), "spk_scale": 4, "spk_se": 16, "spk_attention": 16,
}  # fmt: skip

MEL_CLIPS = (385, 511, 512, 1281, 4801, 9999)  # samples; 385 is the shortest that can be padded


@functools.cache
def folder(name: str) -> Path:
    """Return the checkpoint folder of a case, written once a process; it goes away with the process."""
    case = CASES[name]
    out = scratch("speaker") / name
    dims = checkpoint_dims("tiny", **toy_speech.BASE | _SIZES | case.dims)
    write_checkpoint(out, "base", dims, case.seed, dtype=case.dtype)
    return out


def gguf(name: str, kind: str = "f32") -> Path:
    """Return the GGUF of a case, made once a process."""
    return converted(folder(name), kind)


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


def encoder(name: str, kind: str = "f32", device: Device | None = None) -> Encoder:
    """Return our encoder of a case, on two threads where no device is given."""
    return Encoder(Model(device or Device("cpu", 2), gguf(name, kind), "speaker_encoder"))


def stages(name: str) -> dict[str, int]:
    """Return the width of each tapped stage."""
    channels = (_SIZES | CASES[name].dims)["spk_channels"]
    blocks = {f"blk.{i}.out": n for i, n in enumerate(channels[:-1])}
    return {**blocks, "mfa": channels[-1], "pooled": 2 * channels[-1]}


def figures(device: Device, kind: str = "f32") -> Iterator[tuple[str, Figure]]:
    """Compare spectrograms and embeddings of the packaged toy."""
    official, ears = recording.load(PACKAGED), front_end(PACKAGED)
    ours = encoder(PACKAGED, kind, device)
    for key, expected in official.items():
        what, _, n = key.partition(".")
        if what == "mel":
            yield "speaker encoder, front end", figure("mel", f"{n} samples", ears(clip(int(n))), expected)
        elif what == "embedding":
            yield (
                "speaker encoder",
                figure("speaker embedding", f"{n} samples", ours.encode(ears(clip(int(n))))[0], expected),
            )
    ours.close()
