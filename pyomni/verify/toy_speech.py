"""The toy talkers, code predictors and codecs parity is checked on, and what is asked of them.

Every case is a checkpoint folder written from a seed by `pyomni.convert.random_checkpoint`, so neither
weights nor downloads are needed: the weights' hash tells that this machine made the same ones as the
recording machine.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint
from pyomni.convert.safetensors_file import Checkpoint, StoredTensor, write_safetensors
from pyomni.verify.folders import scratch
from pyomni.verify.recording import FOLDER

N_FRAMES = 66  # frames of each greedy run
N_STEPS = 12  # talker steps recorded with logits
N_PREDICTED = 4  # frames whose code predictor logits are recorded


@dataclass(frozen=True)
class Prompt:
    """What is said, as `generate_custom_voice` takes it; `streaming` is not `non_streaming_mode`."""

    text: str
    speaker: str
    language: str = "auto"
    instruct: str = ""
    streaming: bool = False


@dataclass(frozen=True)
class Case:
    """One toy model.

    Attributes
    ----------
    dims : sizes that differ from `BASE`
    seed, dtype : of the weights
    n_tapped : frames decoded with every stage recorded; more than the window unless the hop is the real one
    why : what this shape is there to catch
    """

    name: str
    why: str
    seed: int
    dtype: str
    n_tapped: int
    dims: dict[str, Any]
    prompts: tuple[Prompt, ...] = field(default=())


#: What the cases share, in full: recordings outlive changes of the tiny scale.
BASE: dict[str, Any] = {
    "size": "0b6", "compact_vocab": True, "sample_rate": 24000, "n_groups": 16, "codebook_size": 64,
    "layers": 2, "ff": 128, "text_hidden": 64, "text_vocab": 0, "n_ctx_max": 2048,
    "rope_theta": 1000000.0, "cp_layers": 2, "cp_ff": 128, "rvq_dim": 64, "latent": 32, "dec_hidden": 32,
    "dec_layers": 2, "dec_ff": 64, "dec_head_dim": 32, "layer_scale": 0.3, "wave_gain": 0.4,
    "upsample_rates": (8, 5, 4, 3), "upsampling_ratios": (2, 2), "enc_filters": 4, "enc_residuals": 1,
    "enc_ratios": (8, 6, 5, 4), "enc_hidden": 32, "enc_layers": 2, "enc_ff": 64, "enc_heads": 2,
    "enc_kv_heads": 2, "enc_head_dim": 16, "enc_book_dim": 16, "enc_groups": 17,
}  # fmt: skip

ENGLISH = Prompt("Hello there, how are you?", "ryan", "English")
PROMPTS = (
    ENGLISH,
    Prompt("Hello there, how are you?", "ryan", "English", streaming=True),
    Prompt("Der Tag beginnt.", "Vivian", "auto"),
    Prompt("\u4f60\u597d\uff0c\u4e16\u754c\u3002", "eric", "auto", streaming=True),
    Prompt("\u4f60\u597d\u3002", "dylan", "Chinese"),
    Prompt("A dialect speaker in English.", "eric", "english", "Speak slowly, please.", streaming=True),
    Prompt("Two.", "serena", "Japanese", "Whisper."),
    Prompt("x", "aiden", "auto", streaming=True),
)

CASES = {
    case.name: case
    for case in (
        Case(
            "gqa", "grouped heads, no projection, real strides, window and group count", 11, "bf16", 3,
            {"hidden": 64, "cp_hidden": 64, "heads": 4, "kv_heads": 2, "head_dim": 32, "cp_heads": 4,
             "cp_kv_heads": 1, "cp_head_dim": 16, "decoder_dim": 32, "dec_heads": 2, "dec_kv_heads": 2,
             "window": 72},
            (PROMPTS[0], PROMPTS[1], PROMPTS[3], PROMPTS[5]),
        ),
        Case(
            "mha", "one key head per query head, predictor narrower than talker, odd sizes, a short window",
            12, "f32", 20,
            {"size": "1b7", "n_groups": 5, "codebook_size": 128, "hidden": 96, "layers": 3, "heads": 3,
             "kv_heads": 3, "head_dim": 24, "ff": 150, "text_hidden": 80, "cp_hidden": 60, "cp_layers": 2,
             "cp_heads": 2, "cp_kv_heads": 2, "cp_head_dim": 40, "cp_ff": 100, "rope_theta": 10000.0,
             "rvq_dim": 48, "latent": 36, "decoder_dim": 56, "dec_hidden": 40, "dec_layers": 3,
             "dec_ff": 72, "dec_heads": 3, "dec_kv_heads": 3, "dec_head_dim": 16, "window": 5,
             "upsample_rates": (3, 2), "upsampling_ratios": (3,)},
            PROMPTS[:4] + PROMPTS[5:7],
        ),
        Case(
            "wide", "predictor wider than talker, grouped heads in the codec, unequal strides, three stages",
            13, "f32", 14,
            {"size": "1b7", "n_groups": 8, "codebook_size": 32, "hidden": 48, "layers": 2, "heads": 6,
             "kv_heads": 2, "head_dim": 16, "ff": 96, "text_hidden": 56, "cp_hidden": 72, "cp_layers": 3,
             "cp_heads": 3, "cp_kv_heads": 1, "cp_head_dim": 48, "cp_ff": 120, "rvq_dim": 40, "latent": 28,
             "decoder_dim": 40, "dec_hidden": 44, "dec_layers": 2, "dec_ff": 50, "dec_heads": 4,
             "dec_kv_heads": 2, "dec_head_dim": 12, "window": 4, "wave_gain": 0.9,
             "upsample_rates": (5, 3, 2), "upsampling_ratios": (2, 3)},
            PROMPTS[:2] + PROMPTS[4:5] + PROMPTS[6:],
        ),
    )
}  # fmt: skip


@functools.cache
def folder(name: str) -> Path:
    """Return the checkpoint folder of a case, written once a process; it goes away with the process."""
    case = CASES[name]
    out = scratch("speech") / name
    dims = checkpoint_dims("tiny", **BASE | case.dims)
    # the end id never wins, at a logit of the others' magnitude: -100 would set the largest absolute error
    write_checkpoint(out, "custom_voice", dims, case.seed, dtype=case.dtype, eos_logit=-20.0)
    _rescale(out / "speech_tokenizer")
    return out


def _rescale(codec: Path) -> None:
    """Bring the codec decoder's activations to rms 0.25, and sharpen its snakes, which are tame at that size.

    At rms 1 and peak 5 the official float32 convolutions are themselves up to 1.5e-6 away from exact ones,
    more than the 1e-6 ours may be away from them. Float sums and powers of two: the same bits everywhere.
    """
    stored = Checkpoint(codec)

    def made(name: str, tensor: StoredTensor) -> Callable[[], NDArray[np.float32]]:
        def make() -> NDArray[np.float32]:
            values = tensor.f32().reshape(tensor.shape)
            if name.startswith("decoder.pre_transformer.output_proj."):
                values *= np.float32(0.25)
            if name.startswith("decoder.decoder.") and name.endswith("alpha"):
                values += np.float32(0.6875)  # about log 2
            return values

        return make

    scaled = codec / "scaled.safetensors"
    write_safetensors(scaled, [(name, tensor.shape, made(name, tensor)) for name, tensor in stored.items()])
    scaled.replace(codec / "model.safetensors")


def weights_hash(name: str) -> str:
    """Return the sha256 of a case's weight files and configurations."""
    digest = hashlib.sha256()
    for part in ("config.json", "model.safetensors", "speech_tokenizer/config.json",
                 "speech_tokenizer/model.safetensors", "vocab.json", "merges.txt"):  # fmt: skip
        digest.update(part.encode())
        digest.update((folder(name) / part).read_bytes())
    return digest.hexdigest()


def recorded_hash(name: str) -> str:
    """Return the sha256 the recording machine had."""
    return str(json.loads((FOLDER / "cases.json").read_text())[name]["weights_sha256"])
