"""Greedy codes at the real 0.6B shapes: the official model in float32 against ours. Run by hand.

    python tests/parity/real_shapes.py official DIR [--frames 25] [--vocab-gguf V]   # torch, 7 GB
    python tests/parity/real_shapes.py ours DIR [--type f32]                        # no torch

The first writes a random checkpoint into DIR if there is none and records a greedy run beside it; the second
converts that checkpoint and prints one JSON line:

- ``frames_equal``, ``codes_equal``: of a free run, where one different code changes everything after it;
- ``group0_equal``: teacher-forced, frames whose best talker score is at the same id;
- ``predictor_equal``: teacher-forced, the share of codes of the other groups at the same id;
- ``logits_max_abs``, ``logits_rms``: largest difference of the talker's logits, and their magnitude;
- ``margin``: the smallest distance between the official run's two best scores, talker and predictor.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pyomni.verify.toy_speech import Prompt

PROMPT = Prompt(
    "The quick brown fox jumps over the lazy dog, and then it rests for a while.", "ryan", "English"
)


def official(folder: Path, n_frames: int, vocab_gguf: str | None) -> None:
    """Write the checkpoint if needed and record the official greedy run."""
    import torch
    from parity.official import Official
    from parity.record import margins

    from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint

    checkpoint = folder / "checkpoint"
    if not (checkpoint / "speech_tokenizer" / "model.safetensors").exists():
        write_checkpoint(
            checkpoint, "custom_voice", checkpoint_dims("0.6b"), 5, eos_logit=-20.0, vocab_gguf=vocab_gguf
        )
    torch.set_num_threads(os.cpu_count() or 1)
    model = Official(checkpoint)
    start = time.perf_counter()
    with model.watch() as log:
        codes = model.greedy(PROMPT, n_frames)
    seconds = time.perf_counter() - start
    calls = [call for call in log if call["part"] == "talker"]
    np.savez(
        folder / "official.npz",
        codes=codes,
        prefill_rows=calls[0]["rows"],
        step_rows=np.concatenate([call["rows"] for call in calls[1:]]),
        hidden=np.stack([call["hidden"][-1] for call in calls]),
        logits=np.stack([call["logits"][-1] for call in calls]),
        margin=json.dumps(margins(log, codes, model.talker.config)),
    )
    print(
        json.dumps(
            {"frames": len(codes), "seconds": round(seconds, 1), "rtf": round(seconds / len(codes) / 0.08, 2)}
        )
    )


def ours(folder: Path, kind: str) -> dict[str, Any]:
    """Convert the checkpoint if needed and compare."""
    from pyomni.convert import convert
    from pyomni.verify.speech_engine import Ours

    gguf = folder / f"{kind}.gguf"
    if not gguf.exists():
        convert(folder / "checkpoint", gguf, type=kind)
    stored = np.load(folder / "official.npz")
    codes = stored["codes"]
    model = Ours(gguf)
    start = time.perf_counter()
    made = model.greedy(PROMPT, len(codes))
    seconds = time.perf_counter() - start
    same = made == codes  # [n_frames, n_groups]

    model.talker.rewind()
    steps = [model.talker.decode(stored["prefill_rows"])]
    steps += [model.talker.decode(row[None]) for row in stored["step_rows"]]
    logits = np.concatenate([step.logits for step in steps])[: len(codes)]  # [n_frames, n_vocab]
    official_logits = stored["logits"][: len(codes)]
    forced = np.stack(
        [
            model.predictor_logits(h, c.tolist()).argmax(-1)
            for h, c in zip(stored["hidden"], codes, strict=False)
        ]
    )
    return {
        "type": kind,
        "frames": len(codes),
        "frames_equal": int(same.all(1).sum()),
        "codes_equal": round(float(same.mean()), 4),
        "group0_equal": int((logits.argmax(-1) == official_logits.argmax(-1)).sum()),
        "predictor_equal": round(float((forced == codes[:, 1:]).mean()), 4),
        "logits_max_abs": float(f"{abs(logits - official_logits).max():.3g}"),
        "logits_rms": float(f"{np.sqrt((official_logits**2).mean()):.3g}"),
        "margin": json.loads(str(stored["margin"])),
        "rtf_codes": round(seconds / len(codes) / 0.08, 2),
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Greedy codes at the real 0.6B shapes, official against ours."
    )
    parser.add_argument("part", choices=["official", "ours"])
    parser.add_argument("dir", type=Path)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--type", default="f32")
    parser.add_argument("--vocab-gguf")
    arguments = parser.parse_args()
    arguments.dir.mkdir(parents=True, exist_ok=True)
    if arguments.part == "official":
        official(arguments.dir, arguments.frames, arguments.vocab_gguf)
    else:
        print(json.dumps(ours(arguments.dir, arguments.type)))


if __name__ == "__main__":
    main()
