"""Toy models and prompts for modes beyond preset speakers: clones, in context or not, design, instruction.

Every combination of layout, language, speaker and instruction that the official wrapper accepts is here. The
official code is given the speaker vector and the reference's codes directly: the networks that make them are
compared elsewhere.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from parity.recordings import FOLDER as RECORDED

from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint
from pyomni.verify.toy_speech import BASE

N_FRAMES = 64  # frames of each greedy run
TEXT = "Hello there, how are you?"
TRANSCRIPT = "So it was."
FEW, MANY = 6, 44  # frames of a reference: fewer than the two texts have tokens, and more


@dataclass(frozen=True)
class ModePrompt:
    """One call of the official wrapper.

    Attributes
    ----------
    speaker : preset speaker, or none
    cloned : whether the speaker vector of the case is given
    n_reference : frames of the reference in context; 0 clones by the vector alone
    greedy : whether a greedy run is recorded besides the rows
    """

    language: str
    streaming: bool
    speaker: str = ""
    instruct: str = ""
    cloned: bool = False
    n_reference: int = 0
    greedy: bool = False
    text: str = TEXT
    transcript: str = TRANSCRIPT


@dataclass(frozen=True)
class ModeCase:
    """One toy model and every way to prompt it."""

    name: str
    kind: str
    seed: int
    dims: dict[str, Any]
    prompts: tuple[ModePrompt, ...]


LAYOUTS = (True, False)
LANGUAGES = ("Auto", "English", "Chinese")
INSTRUCT = "Speak slowly, please."

BASE_PROMPTS = tuple(
    ModePrompt(language, streaming, cloned=True, n_reference=n, greedy=language == "English")
    for n, streaming, language in product((0, FEW, MANY), LAYOUTS, LANGUAGES)
)
CUSTOM_PROMPTS = tuple(
    ModePrompt(language, streaming, speaker, instruct, greedy=language == "Auto" and bool(instruct))
    for speaker, streaming, language, instruct in product(
        ("Ryan", "eric"), LAYOUTS, LANGUAGES, ("", INSTRUCT)
    )
) + tuple(ModePrompt("English", streaming) for streaming in LAYOUTS)  # the wrapper takes no speaker as well
DESIGN_PROMPTS = tuple(
    ModePrompt(language, streaming, instruct=instruct, greedy=language == "English" and bool(instruct))
    for streaming, language, instruct in product(LAYOUTS, LANGUAGES, ("", INSTRUCT))
)

SMALL: dict[str, Any] = {
    "n_groups": 5, "codebook_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 32, "ff": 64,
    "text_hidden": 40, "cp_layers": 2, "cp_heads": 2, "cp_kv_heads": 1, "cp_head_dim": 24, "cp_ff": 64,
    "rvq_dim": 32, "latent": 16, "decoder_dim": 16, "dec_hidden": 16, "dec_layers": 1, "dec_ff": 16,
    "dec_heads": 1, "dec_kv_heads": 1, "dec_head_dim": 16, "window": 4, "upsample_rates": (3, 2),
    "upsampling_ratios": (2,),
}  # fmt: skip
#: As in 0.6B: the code predictor is as wide as the talker and reads its rows as they are.
EQUAL = {"size": "0b6", "hidden": 32, "cp_hidden": 32}
#: As in 1.7B: it is narrower, so there is a projection before it.
NARROW = {"size": "1b7", "hidden": 40, "cp_hidden": 28}

CASES = {
    case.name: case
    for case in (
        ModeCase("base_0b6", "base", 31, {**SMALL, **EQUAL}, BASE_PROMPTS),
        ModeCase("base_1b7", "base", 42, {**SMALL, **NARROW}, BASE_PROMPTS),
        ModeCase("custom_1b7", "custom_voice", 33, {**SMALL, **NARROW}, CUSTOM_PROMPTS),
        ModeCase("design_1b7", "voice_design", 44, {**SMALL, **NARROW}, DESIGN_PROMPTS),
    )
}


@functools.cache
def folder(name: str) -> Path:
    """Return the checkpoint folder of a case, written once a process; it goes away with the process."""
    case = CASES[name]
    out = Path(_scratch().name) / name
    dims = checkpoint_dims("tiny", **BASE | case.dims)
    # the end id never wins, so that every greedy run has all its frames
    write_checkpoint(out, case.kind, dims, case.seed, dtype="f32", eos_logit=-20.0)
    return out


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyomni-parity-")


def weights_hash(name: str) -> str:
    """Return the sha256 of a case's talker, code predictor and configuration."""
    digest = hashlib.sha256()
    for part in ("config.json", "model.safetensors", "vocab.json", "merges.txt"):
        digest.update((folder(name) / part).read_bytes())
    return digest.hexdigest()


def recorded(name: str) -> dict[str, Any]:
    """Return what ``modes.json`` says of a case."""
    return dict(json.loads((RECORDED / "modes.json").read_text())[name])


def speaker_vector(name: str) -> NDArray[np.float32]:
    """Return the vector of a case's cloned speaker, float32 [hidden], at the magnitude of embedding rows."""
    case = CASES[name]
    rng = np.random.Generator(np.random.PCG64(case.seed))
    return rng.standard_normal(case.dims["hidden"]).astype(np.float32)


def reference_codes(name: str, n_frames: int) -> NDArray[np.int32]:
    """Return codes of a case's reference, int32 [n_frames, n_groups]."""
    case = CASES[name]
    rng = np.random.Generator(np.random.PCG64([case.seed, n_frames]))
    shape = (n_frames, case.dims["n_groups"])
    return rng.integers(0, case.dims["codebook_size"], shape).astype(np.int32)
