"""The toy thinkers and talkers parity is checked on, what they are given, and ours."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyomni._binding import Device, Model
from pyomni.components.lm import CODEC, HIDDEN_ROWS, TEXT_ROWS, TOKENS, DecoderLM
from pyomni.convert.json_config import Config, read_config
from pyomni.convert.omni_talker import OmniTalker, code_predictor
from pyomni.convert.omni_thinker import Thinker
from pyomni.convert.safetensors_file import Checkpoint
from pyomni.convert.writer import write_gguf
from pyomni.verify import recording
from pyomni.verify.figure import Figure, figure
from pyomni.verify.folders import omni_checkpoint, scratch
from pyomni.verify.recording import Recording
from pyomni.verify.tolerances import TOLERANCES

F32 = NDArray[np.float32]

N_ROWS = 40  # of every prompt
LOGIT_ROWS = range(3, N_ROWS, 4)  # those whose logits are recorded
SEEN = slice(9, 33)  # rows of it that are frames of a film: four of three rows and two columns
N_CTX = 128

HIDDEN, LOGITS = TOLERANCES["hidden"].value, TOLERANCES["logits"].value
PACKAGED = "omni_lm_tiny"  # the toy whose recording comes with the package


@dataclass(frozen=True)
class Case:
    """One toy model.

    Attributes
    ----------
    why : what these sizes are there to catch
    sizes : as `omni_checkpoint`
    norm_topk : whether the chosen experts' weights are made to sum up to 1, in both stacks
    """

    name: str
    why: str
    seed: int
    sizes: dict[str, Any]
    norm_topk: bool = True


CASES = {
    case.name: case
    for case in (
        Case("omni_lm_tiny", "grouped heads, few of many experts", 51, {}),
        Case(
            "omni_lm_odd", "odd sizes, weights of experts as they are, all of them taken, three levels", 52,
            {"thinker__hidden": 48, "thinker__layers": 5, "thinker__heads": 3, "thinker__kv_heads": 3,
             "thinker__head_dim": 24, "thinker__experts": 5, "thinker__experts_used": 3,
             "thinker__expert_ff": 41, "thinker__accept": 4, "vision__deepstack": (0, 1, 2),
             "talker__hidden": 40, "talker__layers": 3, "talker__heads": 6, "talker__kv_heads": 2,
             "talker__head_dim": 16, "talker__experts": 4, "talker__experts_used": 4,
             "talker__expert_ff": 23, "talker__shared_ff": 57, "talker__resize_ff": 71, "talker__codes": 32,
             "talker__groups": 5, "predictor__layers": 3, "predictor__heads": 2, "predictor__kv_heads": 1,
             "predictor__head_dim": 42, "predictor__ff": 99},
            norm_topk=False,
        ),
    )
}  # fmt: skip


@functools.cache
def folder(name: str) -> Path:
    """Return the checkpoint folder of a case, written once a process; it goes away with the process."""
    case = CASES[name]
    out = omni_checkpoint(scratch("omni") / name, seed=case.seed, dtype="bf16", **case.sizes)
    path = out / "config.json"
    config = json.loads(path.read_text())
    for part in ("thinker_config", "talker_config"):
        config[part]["text_config"]["norm_topk_prob"] = case.norm_topk
    path.write_text(json.dumps(config))
    return out


def config_of(name: str) -> Config:
    """Return the configuration of a case."""
    return read_config(folder(name) / "config.json")


@functools.cache
def gguf(name: str, kind: str = "f32") -> Path:
    """Return a GGUF with a case's language models, made once a process."""
    out, config = folder(name).with_suffix(f".{kind}.gguf"), config_of(name)
    talker = OmniTalker.read(config)
    parts: dict[str, Any] = {
        "thinker": Thinker.read(config),
        "talker": talker,
        "code_predictor": code_predictor(config, talker),
    }
    keys: dict[str, Any] = {"pyomni.format_version": 1, "pyomni.components": list(parts)}
    tensors = []
    for part in parts.values():
        keys |= part.keys()
        tensors += part.tensors()
    write_gguf(out, "qwen3-omni", keys, tensors, Checkpoint(folder(name)), kind)
    return out


def weights_hash(name: str) -> str:
    """Return the sha256 of a case's weights and configuration."""
    parts = (folder(name) / part for part in ("model.safetensors", "config.json"))
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()


def rng_of(name: str, what: int) -> np.random.Generator:
    """Return the numbers of one of a case's inputs."""
    return np.random.Generator(np.random.PCG64([CASES[name].seed, what]))


def ids(name: str) -> NDArray[np.int64]:
    """Return a prompt, ids that are bytes of text."""
    return rng_of(name, 0).integers(0, 256, N_ROWS)


def positions() -> F32:
    """Return time, height and width of each row, float32 [n, 3]: text, a film at 3 frames a second, text."""
    out = np.repeat(np.arange(N_ROWS, dtype=np.float32)[:, None], 3, 1)
    start, seen = SEEN.start, np.arange(SEEN.stop - SEEN.start)
    out[SEEN] = np.stack([start + seen // 6 * np.float32(26 / 3), start + seen // 2 % 3, start + seen % 2], 1)
    out[SEEN.stop :] = (out[SEEN].max() + 1 + np.arange(N_ROWS - SEEN.stop))[:, None]
    return out


def added(name: str) -> F32:
    """Return the rows added behind the first layers, float32 [n_deepstack, n_seen, n_embd]."""
    thinker = Thinker.read(config_of(name))
    shape = (thinker.n_deepstack, SEEN.stop - SEEN.start, thinker.stack.n_embd)
    return rng_of(name, 1).standard_normal(shape).astype(np.float32)


def added_to_all(name: str) -> F32:
    """Return `added` among zeros, float32 [n_deepstack, n, n_embd]."""
    rows = added(name)
    out = np.zeros((len(rows), N_ROWS, rows.shape[2]), np.float32)
    out[:, SEEN] = rows
    return out


def thinker_rows(name: str) -> F32:
    """Return rows as a thinker might give them, float32 [n, n_embd of the thinker]."""
    n_embd = Thinker.read(config_of(name)).stack.n_embd
    return rng_of(name, 2).standard_normal((N_ROWS, n_embd)).astype(np.float32)


def frame(name: str) -> NDArray[np.int64]:
    """Return the codes of a frame, int [n_groups]."""
    predictor = code_predictor(config_of(name), OmniTalker.read(config_of(name)))
    return rng_of(name, 3).integers(0, predictor.n_vocab, predictor.n_groups)


@functools.cache
def model(name: str, component: str) -> Model:
    """Return a language model of a case: float32, on two threads."""
    return Model(Device("cpu", 2), gguf(name), component)


def lm(name: str, component: str, opened: Model | None = None, **options: Any) -> DecoderLM:
    """Return a session of one."""
    n_ctx = 17 if component == "code_predictor" else N_CTX
    return DecoderLM(opened or model(name, component), n_ctx, **options)


def figures(device: Device, kind: str = "f32") -> Iterator[tuple[str, Figure]]:
    """Compare the three language models of the packaged toy."""
    name = PACKAGED
    official = recording.load(name)
    with (
        Model(device, gguf(name, kind), "thinker") as thinker,
        Model(device, gguf(name, kind), "talker") as talker,
        Model(device, gguf(name, kind), "code_predictor") as predictor,
    ):
        thinks = lm(name, "thinker", thinker)
        rows = thinks.embed(TOKENS, ids(name))
        film = {"positions": positions(), "deepstack": added_to_all(name)}
        text: dict[str, Any] = {"positions": None, "deepstack": None}
        for prompt, given in {"text": text, "film": film}.items():
            for one in _compared(thinks, rows, given, official, f"thinker.{prompt}", accepted=True):
                yield "thinker", one
        talks, given_rows = lm(name, "talker", talker), thinker_rows(name)
        text_rows = talks.project(TEXT_ROWS, given_rows)
        yield "omni talker", figure("projected rows", "of text", text_rows, official["talker.text_rows"])
        hidden_rows = talks.project(HIDDEN_ROWS, given_rows)
        expected = official["talker.hidden_rows"]
        yield "omni talker", figure("projected rows", "of hidden rows", hidden_rows, expected)
        rows = official["talker.text_rows"]
        for one in _compared(talks, rows, {"positions": None}, official, "talker.text"):
            yield "omni talker", one
        fills, codes = lm(name, "code_predictor", predictor), frame(name)
        rows = np.stack([official["talker.text.hidden"][-1], talks.embed(CODEC, codes[:1])[0]])
        for group, logits in enumerate(official["predictor.logits"], 1):
            ours = fills.decode(rows, head=group - 1).logits[0]
            yield "omni code predictor", figure("logits", f"group {group}", ours, logits)
            rows = fills.embed(group - 1, codes[group : group + 1])


def _compared(
    lm: DecoderLM, rows: F32, given: dict[str, Any], official: Recording, key: str, accepted: bool = False
) -> Iterator[Figure]:
    """Decode rows four at a time, which stops at every row whose logits are recorded."""
    lm.rewind()
    what = key.split(".")[1]
    n = LOGIT_ROWS.step
    steps = []
    for at in range(0, len(rows), n):
        piece: dict[str, Any] = {k: None if v is None else v[..., at : at + n, :] for k, v in given.items()}
        if accepted:
            piece["accepted"] = True
        steps.append(lm.decode(rows[at : at + n], **piece))
    hidden = np.concatenate([step.hidden for step in steps])
    yield figure("hidden", what, hidden, official[f"{key}.hidden"][LOGIT_ROWS.start :: n])
    yield figure("logits", what, np.concatenate([step.logits for step in steps]), official[f"{key}.logits"])
    if accepted:
        seen = np.concatenate([step.accepted[0] for step in steps if step.accepted is not None])
        yield figure("hidden", f"{what}, accepted", seen, official[f"{key}.accepted"])
