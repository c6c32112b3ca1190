"""Print one JSON line for each way a model can speak: how fast, by component, and in how much memory.

    python benchmarks/modes.py base.gguf custom_voice.gguf voice_design.gguf --frames 25 --threads 2

Each mode runs in a process of its own, so that the peak of memory is its own too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyomni
from pyomni import SpeechModel, Voice
from pyomni.bench import bench_speech, where

CLIP = Path(__file__).resolve().parents[1] / "tests" / "parity" / "recorded" / "speech.flac"
TRANSCRIPT = "What the clip says does not matter to its length in positions, but it must say something."

MODES: dict[str, tuple[str, ...]] = {
    "custom_voice": ("preset", "preset, text streamed", "preset, instructed"),
    "voice_design": ("design",),
    "base": ("clone by embedding", "clone in context", "clone in context, text whole"),
}


def request(model: SpeechModel, mode: str) -> dict[str, Any]:
    """Return the arguments of a mode, the clip encoded."""
    if mode.startswith("clone"):
        voice = model.clone(CLIP, transcript=TRANSCRIPT if "context" in mode else None)
        return {"voice": voice, "streaming_layout": "whole" not in mode}
    if mode == "design":
        return {"voice": Voice.design("A calm low voice that takes its time.")}
    return {
        "streaming_layout": "streamed" in mode,
        "instruct": "Speak slowly and softly." if "instructed" in mode else None,
    }


def main() -> None:
    """Run every mode of every model, or the one asked for."""
    parser = argparse.ArgumentParser(description="Time every mode of models, one JSON line each.")
    parser.add_argument("models", nargs="+", help="GGUF files")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("-t", "--threads", type=int)
    parser.add_argument("--mode", help="this one alone, in this process")
    args = parser.parse_args()
    if args.mode:
        with pyomni.load(args.models[0], threads=args.threads) as model:
            result = bench_speech(model, frames=args.frames, **request(model, args.mode))
            kind = model.info["type"]
        name = Path(args.models[0]).name
        line = {
            "benchmark": "modes",
            "model": name,
            "type": kind,
            "mode": args.mode,
            **result,
            **where(Path(__file__).parent),
        }
        print(json.dumps(line), flush=True)
        return
    for path in args.models:
        with pyomni.load(path, threads=args.threads) as model:
            modes = [
                mode
                for mode in MODES[model.info["model_type"]]
                if "instructed" not in mode or model.info["instruct"]
            ]
        for mode in modes:
            command = [sys.executable, __file__, path, "--mode", mode, "--frames", str(args.frames)]
            command += ["-t", str(args.threads)] if args.threads else []
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
