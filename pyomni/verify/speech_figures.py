"""The packaged toy of talker, code predictor and codec decoder: ours against its recording."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyomni._binding import Device
from pyomni.verify import recording as recordings
from pyomni.verify import toy_speech
from pyomni.verify.figure import Figure, figure, share_apart
from pyomni.verify.recording import Recording
from pyomni.verify.speech_engine import Ours, gguf

__all__ = ["PACKAGED", "codec", "decoder_config", "figures", "greedy", "predictor", "prompt_rows",
           "stage_channels", "stage_quantity", "talker", "waves"]  # fmt: skip

PACKAGED = "gqa"  # the toy whose recording comes with the package


def figures(device: Device, kind: str = "f32") -> Iterator[tuple[str, Figure]]:
    """Yield every comparison of the packaged toy, each with the component it is of."""
    ours, recording = Ours(gguf(PACKAGED, kind), device=device), recordings.load(PACKAGED)
    parts = {
        "talker": itertools.chain(prompt_rows(ours, PACKAGED, recording), talker(ours, recording)),
        "code predictor": predictor(ours, recording),
        "codec decoder": codec(ours, recording),
    }
    if kind == "f32":  # else one code that rounding changed changes all that follow
        parts["talker and predictor"] = greedy(ours, PACKAGED, recording)
    for component, found in parts.items():
        for one in found:
            yield component, one


def greedy(ours: Ours, name: str, recording: Recording) -> Iterator[Figure]:
    """Greedy runs through the product's own loop."""
    for p, prompt in enumerate(toy_speech.CASES[name].prompts):
        codes = ours.greedy(prompt, toy_speech.N_FRAMES)
        yield share_apart("greedy codes", f"prompt {p}", codes, recording[f"greedy.{p}"])


def indexed(recording: Recording, prefix: str) -> list[NDArray[Any]]:
    """Return the arrays ``prefix0``, ``prefix1``, ..."""
    out: list[NDArray[Any]] = []
    while f"{prefix}{len(out)}" in recording:
        out.append(recording[f"{prefix}{len(out)}"])
    return out


def talker(ours: Ours, recording: Recording) -> Iterator[Figure]:
    """Prefill and teacher-forced steps of the talker."""
    blocks = indexed(recording, "talker.block.")
    session, n_embd = ours.talker.session, ours.talker.info.n_embd
    ours.talker.rewind()
    for i in range(len(blocks)):
        session.tap(f"blk.{i}.out")
    steps = [ours.talker.decode(recording["talker.prefill_rows"])]
    for i, block in enumerate(blocks):
        yield figure(
            "talker blocks",
            f"layer {i}, prefill",
            session.read_tap(f"blk.{i}.out").reshape(-1, n_embd),
            block,
        )
    steps += [ours.talker.decode(row[None]) for row in recording["talker.step_rows"]]
    hidden = np.concatenate([step.hidden for step in steps])
    logits = np.concatenate([step.logits for step in steps])
    for part, rows in (("prefill", slice(0, 1)), ("steps", slice(1, None))):
        yield figure("talker hidden", part, hidden[rows], recording["talker.hidden"][rows])
        yield figure("talker logits", part, logits[rows], recording["talker.logits"][rows])


def predictor(ours: Ours, recording: Recording) -> Iterator[Figure]:
    """Every head of the code predictor, teacher-forced, and its layers over the first two rows."""
    blocks = indexed(recording, "predictor.block.")
    session = ours.predictor.session
    for i in range(len(blocks)):
        session.tap(f"blk.{i}.out")
    hidden, codes = recording["predictor.hidden"], recording["predictor.codes"]
    first = np.stack([hidden[0], ours.talker.embed(1, [codes[0, 0]])[0]])
    ours.predictor.rewind()
    ours.predictor.decode(first, head=0)
    for i, block in enumerate(blocks):
        flat = session.read_tap(f"blk.{i}.out")
        yield figure("predictor blocks", f"layer {i}, two rows", flat.reshape(block.shape), block)
    logits = np.stack([ours.predictor_logits(h, c.tolist()) for h, c in zip(hidden, codes, strict=True)])
    yield figure(
        "predictor logits",
        f"{logits.shape[1]} heads, {len(logits)} frames",
        logits,
        recording["predictor.logits"],
    )


def prompt_rows(ours: Ours, name: str, recording: Recording) -> Iterator[Figure]:
    """Every recorded prompt, position by position, and the text rows that trail behind it."""
    for p, prompt in enumerate(toy_speech.CASES[name].prompts):
        if f"prompt.{p}.rows" not in recording:
            continue  # not in the package
        made = ours.rows(prompt)
        yield figure("prompt rows", f"prompt {p}", made.rows, recording[f"prompt.{p}.rows"])
        trailing = recording[f"prompt.{p}.trailing"]
        rows = np.stack([made.text_row(frame) for frame in range(len(trailing) + 2)])
        pad = recording[f"prompt.{p}.pad"]
        yield figure("prompt rows", f"prompt {p}, trailing", rows, np.concatenate([trailing, [pad, pad]]))


def stage_quantity(stage: str) -> str:
    """Return the quantity a stage of the codec decoder belongs to."""
    if stage in ("rvq", "transformer"):
        return {"rvq": "quantizer decode", "transformer": "pre-transformer"}[stage]
    if stage in ("pre_conv", "conv_in"):
        return "causal conv"
    if stage == "pcm_raw":
        return "full decoder"
    front, last = stage.split(".")[0], stage.split(".")[2]
    kinds = {"snake": "SnakeBeta", "conv": "transposed conv", "res": "residual unit"}
    return kinds.get(last) or {"up": "ConvNeXt", "wave": "decoder block"}[front]


def decoder_config(name: str) -> dict[str, Any]:
    """Return the configuration of a case's codec decoder."""
    config = json.loads((toy_speech.folder(name) / "speech_tokenizer" / "config.json").read_text())
    return dict(config["decoder_config"])


def stage_channels(name: str) -> dict[str, int]:
    """Return every tap of the codec decoder with its number of channels."""
    c = decoder_config(name)
    out = {"rvq": c["codebook_dim"], "pre_conv": c["latent_dim"], "transformer": c["latent_dim"]}
    for i in range(len(c["upsampling_ratios"])):
        out |= {f"up.{i}.conv": c["latent_dim"], f"up.{i}.out": c["latent_dim"]}
    out["conv_in"] = c["decoder_dim"]
    for i in range(len(c["upsample_rates"])):
        out[f"wave.{i}.snake"] = c["decoder_dim"] >> i
        out |= {
            f"wave.{i}.{part}": c["decoder_dim"] >> (i + 1)
            for part in ("conv", "res.0", "res.1", "res.2", "out")
        }
    return out | {"pcm_raw": 1}


def codec(ours: Ours, recording: Recording) -> Iterator[Figure]:
    """Every recorded stage of the codec decoder, running on the recorded codes, and the PCM."""
    official = {
        key.removeprefix("codec.tap."): tap for key, tap in recording.items() if key.startswith("codec.tap.")
    }
    pcm, taps = ours.decode_tapped(
        recording["codec.codes"], {stage: len(tap) for stage, tap in official.items()}
    )
    for stage, tap in official.items():
        quantity = stage_quantity(stage)
        if quantity not in ("quantizer decode", "full decoder"):  # nothing runs before the first
            quantity = "running stages"
        yield figure(quantity, stage, taps[stage], tap)
    yield figure("full decoder", "PCM", pcm, recording["codec.pcm"])


def waves(ours: Ours, recording: Recording) -> Iterator[Figure]:
    """Greedy codes to the waveform a user gets."""
    n_frames = len(recording["wave.0"]) // ours.codec().hop
    pcm = ours.codec().decode(recording["greedy.0"][:n_frames])
    yield figure("codes to waveform", f"{n_frames} frames", pcm, recording["wave.0"])
