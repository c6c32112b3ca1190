"""Every quantised type runs, and what it computes is near what F32 computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_gguf
from tiny_omni import omni_gguf

import pyomni
from pyomni._binding import Device, Model
from pyomni.components.lm import CODEC, TEXT, TOKENS, DecoderLM
from pyomni.metadata import Metadata

# rows of whole K blocks in what is the bulk, and rows of 96 in the last matrix of the talker's experts
OMNI = {"thinker__hidden": 256, "thinker__expert_ff": 256, "talker__hidden": 256, "talker__expert_ff": 96}
SPEECH = {"hidden": 256, "ff": 256}
# how far logits may be from those of F32, as a share of their length; measured: a third to a half of it. An
# expert chosen otherwise is a jump, so two neighbouring types need not come in order.
BOUNDS = {"q8_0": 0.08, "q6_k": 0.1, "q5_k": 0.15, "q4_k": 0.25, "q4_0": 0.3, "iq4_nl": 0.25}
KINDS = ("f32", *BOUNDS)


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("omni")
    return {kind: omni_gguf(out / f"{kind}.gguf", kind, **OMNI) for kind in KINDS}


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("speech")
    return {kind: tiny_gguf(out / f"{kind}.gguf", kind, **SPEECH) for kind in KINDS}


def logits(path: Path, component: str, table: int) -> np.ndarray:
    with Device("cpu", 1) as device, Model(device, str(path), component) as model:
        lm = DecoderLM(model, 64)
        return lm.decode(lm.embed(table, [5, 17, 40, 3])[None]).logits[0]


def apart(a: np.ndarray, b: np.ndarray) -> float:
    keep = np.abs(b) < 50  # ids that must lose are far away in every type
    return float(np.linalg.norm((a - b)[keep]) / np.linalg.norm(b[keep]))


def check(errors: dict[str, float]) -> None:
    assert all(errors[kind] < bound for kind, bound in BOUNDS.items()), errors
    assert 0.005 < errors["q8_0"] < errors["q4_k"], errors


def test_text_of_every_type_is_near(omni: dict[str, Path]) -> None:
    exact = logits(omni["f32"], "thinker", TOKENS)
    check({kind: apart(logits(omni[kind], "thinker", TOKENS), exact) for kind in BOUNDS})
    sizes = [omni[kind].stat().st_size for kind in KINDS]
    assert sizes == sorted(sizes, reverse=True)
    types = {tensor.type for tensor in Metadata.read(omni["q4_k"]).tensors}
    assert types == {"q4_k", "q6_k", "q8_0", "f32"}


def test_codes_of_every_type_are_near(omni: dict[str, Path]) -> None:
    path = {kind: found.with_name(f"{kind}.speech.gguf") for kind, found in omni.items()}
    exact = logits(path["f32"], "talker", CODEC)
    check({kind: apart(logits(path[kind], "talker", CODEC), exact) for kind in BOUNDS})


def test_qwen3_tts_of_every_type_is_near(speech: dict[str, Path]) -> None:
    exact = logits(speech["f32"], "talker", TEXT)
    check({kind: apart(logits(speech[kind], "talker", TEXT), exact) for kind in BOUNDS})
    types = {tensor.type for tensor in Metadata.read(speech["q4_k"]).tensors}
    assert {"q4_k", "q6_k", "q8_0", "bf16", "f32"} <= types


@pytest.mark.parametrize("kind", BOUNDS)
def test_small_types_speak(speech: dict[str, Path], omni: dict[str, Path], kind: str) -> None:
    options = pyomni.SpeechOptions(seed=7, max_frames=4)
    with pyomni.load(speech[kind], device="cpu", threads=1) as model:
        assert isinstance(model, pyomni.SpeechModel)
        assert model.speak("Hello.", options=options).codes.shape == (4, 16)
    with pyomni.load(omni[kind], device="cpu", threads=1) as model:
        assert isinstance(model, pyomni.OmniModel)
        reply = model.reply(
            [{"role": "user", "content": "Hello."}],
            speak=True,
            options=pyomni.ChatOptions(seed=7, max_tokens=6),
            speech_options=options,
        )
        assert len(reply.tokens) == 6
        assert reply.speech is not None
        assert reply.speech.codes.shape == (4, 16)
