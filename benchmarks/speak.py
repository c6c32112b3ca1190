"""Print one JSON line: how fast a model speaks here, by component.

    python benchmarks/speak.py model.gguf --frames 100 --threads 2

`floor_ms` is the least a frame of talker and code predictor can take: the bytes of the weights it reads over
the bytes per second that the machine reads, measured before and after (`probes.py`); `of_floor` is how many
times that they took. The line names the commit and the machine, so that ``RESULTS.md`` can quote it as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gguf import GGUFReader

import pyomni
from pyomni.bench import TEXT, bench_speech, where

sys.path.append(str(Path(__file__).parent))  # which PYTHONSAFEPATH leaves out

from probes import probed  # isort: skip


def frame_bytes(path: str) -> int:
    """Return the bytes of weights a frame reads: the talker's once, the code predictor's once per group."""
    reader = GGUFReader(path)
    heads = [t.n_bytes for t in reader.tensors if t.name.startswith("code_predictor.codec_head.")]
    once, each = sum(heads), 0
    for tensor in reader.tensors:
        component, *name = tensor.name.split(".")
        if component == "talker" and name[0] in ("blk", "codec_head"):
            once += tensor.n_bytes
        elif component == "code_predictor" and name[0] in ("blk", "input_proj"):
            each += tensor.n_bytes
    return int(once + len(heads) * each)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time a model and print one JSON line.")
    parser.add_argument("model", help="GGUF file")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("exact", "fast"), default="exact")
    parser.add_argument("-t", "--threads", type=int, default=2)
    args = parser.parse_args()
    with (
        probed(args.threads) as probes,  # around the loading as well, or its memory would be the model's peak
        pyomni.load(args.model, device=args.device, threads=args.threads, precision=args.precision) as model,
    ):
        result = bench_speech(model, args.text, args.frames)
        info = model.info
    floor_ms = 2e3 * frame_bytes(args.model) / (sum(probes["read_gbytes"]) * 1e9)
    print(
        json.dumps(
            {
                "benchmark": "speak",
                "model": Path(args.model).name,
                "type": info["type"],
                **result,
                **probes,
                "floor_ms": round(floor_ms, 4),
                "of_floor": round((result["talker_ms"] + result["predictor_ms"]) / floor_ms, 2),
                **where(Path(__file__).parent),
            }
        )
    )


if __name__ == "__main__":
    main()
