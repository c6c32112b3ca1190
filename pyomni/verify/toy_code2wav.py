"""Toy models and codes the parity of code2wav is checked on."""

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
from pyomni.components.codec import CodecDecoder
from pyomni.convert.json_config import read_config
from pyomni.convert.omni_code2wav import Code2Wav
from pyomni.convert.safetensors_file import Checkpoint
from pyomni.convert.writer import write_gguf
from pyomni.siblings import sibling_path
from pyomni.verify import recording
from pyomni.verify.figure import Figure, figure
from pyomni.verify.folders import converted, omni_checkpoint, scratch

#: Frames of a call of the official model, and which samples of it are committed: every so many, a number
#: without a factor in common with the strides, so that every place within a frame is there.
LENGTHS = {1: 1, 2: 1, 25: 7, 73: 17, 310: 41}
N_FRAMES = max(LENGTHS)


@dataclass(frozen=True)
class Code2WavCase:
    """One toy model.

    Attributes
    ----------
    why : what this shape is there to catch
    seed : of the weights and of the codes
    sizes : that differ from the tiny scale's
    n_tapped : frames decoded with every stage recorded; 0: none
    """

    why: str
    seed: int
    sizes: dict[str, Any]
    n_tapped: int


#: In full: recordings outlive changes of the tiny scale.
SIZES: dict[str, Any] = {
    "code2wav__hidden": 64, "code2wav__layers": 2, "code2wav__heads": 4, "code2wav__ff": 128,
    "code2wav__window": 72, "code2wav__decoder": 64, "code2wav__rates": (8, 5, 4, 3),
    "code2wav__ratios": (2, 2), "talker__groups": 16, "talker__codes": 64,
}  # fmt: skip
CASES = {
    "real_rates": Code2WavCase("the released strides, groups, window: 1920 a frame, 555 missing", 31, {}, 0),
    "odd": Code2WavCase(
        "a mean over 5 groups, widths that fill no vector, a short window often passed, other trims", 32,
        {"code2wav__hidden": 24, "code2wav__layers": 3, "code2wav__ff": 44, "code2wav__window": 7,
         "code2wav__decoder": 20, "code2wav__rates": (3, 2), "code2wav__ratios": (2, 3),
         "talker__groups": 5, "talker__codes": 30},
        16,
    ),
}  # fmt: skip


@functools.cache
def folder(name: str) -> Path:
    """Return the checkpoint folder of a case, written once a process; it goes away with the process."""
    case = CASES[name]
    return omni_checkpoint(scratch("code2wav") / name, seed=case.seed, **SIZES | case.sizes)


PACKAGED = "real_rates"  # the toy whose recording comes with the package


@functools.cache
def sizes(name: str) -> Code2Wav:
    """Return what the converter reads of a case."""
    return Code2Wav.read(read_config(folder(name) / "config.json").sub("code2wav_config"))


def gguf(name: str, kind: str = "f32") -> Path:
    """Return the file that a case's code2wav is in, as the converter writes it."""
    return sibling_path(converted(folder(name), kind), "speech")


@functools.cache
def alone(name: str) -> Path:
    """Return a case's code2wav as a float32 file with nothing else in it: small, to be damaged often."""
    out, c = scratch("code2wav") / f"{name}.alone.gguf", sizes(name)
    keys = {"pyomni.format_version": 1, "pyomni.components": ["code2wav"], **c.keys()}
    write_gguf(out, "qwen3-omni", keys, c.tensors(), Checkpoint(folder(name)), "f32")
    return out


def weights_hash(name: str) -> str:
    """Return the sha256 of the weights and sizes of code2wav alone: other networks may change."""
    digest, stored = hashlib.sha256(), Checkpoint(folder(name))
    for tensor in sorted(key for key in stored if key.startswith("code2wav.")):
        digest.update(f"{tensor} {stored[tensor].shape}".encode())
        digest.update(stored[tensor].f32().tobytes())
    return digest.hexdigest()


def codes(name: str, n_frames: int = N_FRAMES) -> NDArray[np.int32]:
    """Return the first frames of a case's codes, [n_frames, n_groups]."""
    c = sizes(name)
    rng = np.random.Generator(np.random.PCG64(CASES[name].seed))
    return rng.integers(0, c.codebook_size, (N_FRAMES, c.n_groups), dtype=np.int32)[:n_frames]


def channels(name: str) -> dict[str, int]:
    """Return every stage with its number of channels."""
    t = sizes(name).trunk
    out = {"code_embd": t.latent_dim, "transformer": t.latent_dim}
    for i in range(len(t.upsampling_ratios)):
        out |= {f"up.{i}.conv": t.latent_dim, f"up.{i}.out": t.latent_dim}
    out["conv_in"] = t.decoder_dim
    for i in range(len(t.upsample_rates)):
        out[f"wave.{i}.snake"] = t.decoder_dim >> i
        out |= {
            f"wave.{i}.{part}": t.decoder_dim >> (i + 1)
            for part in ("conv", "res.0", "res.1", "res.2", "out")
        }
    return out | {"pcm_raw": 1}


def figures(device: Device, kind: str = "f32") -> Iterator[tuple[str, Figure]]:
    """Compare the samples of the packaged toy, decoded at once and in pieces."""
    official = recording.load(f"code2wav_{PACKAGED}")
    with Model(device, gguf(PACKAGED, kind), "code2wav") as model:
        for n, step in LENGTHS.items():
            if f"{n}.pcm" not in official:
                continue
            for width in {n, 4}:
                decoder = CodecDecoder(model)
                some = codes(PACKAGED, n)
                pcm = np.concatenate([decoder.decode(some[i : i + width]) for i in range(0, n, width)])
                yield (
                    "code2wav",
                    figure("code2wav", f"{n} frames, {width} a call", pcm[::step], official[f"{n}.pcm"]),
                )
                decoder.close()
