"""Print one JSON line: how fast a model speaks alone, and beside other processes that keep a core busy each.

    python benchmarks/competition.py model.gguf --frames 40 --threads 2 --busy 1

In turns within one process, so that what else the machine does falls on both. Of each, the median of the
rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyomni
from pyomni.bench import TEXT, bench_speech, where

KEYS = ("rtf", "prefill_ms", "talker_ms", "predictor_ms", "codec_ms")


@contextmanager
def busy(n: int) -> Iterator[None]:
    """Keep `n` processes computing meanwhile."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time a model alone and beside busy processes.")
    parser.add_argument("model", help="GGUF file")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="processes that keep a core busy each")
    parser.add_argument("-t", "--threads", type=int)
    args = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {"alone": [], "beside": []}
    with pyomni.load(args.model, device="cpu", threads=args.threads) as model:
        for _ in range(args.rounds):
            for name, n in (("alone", 0), ("beside", args.busy)):
                with busy(n):
                    runs[name].append(bench_speech(model, args.text, args.frames))
        threads = model.info["threads"]
    medians = {
        name: {key: statistics.median(run[key] for run in made) for key in KEYS}
        for name, made in runs.items()
    }
    print(
        json.dumps(
            {
                "benchmark": "competition",
                "model": Path(args.model).name,
                "threads": threads,
                "frames": args.frames,
                "busy": args.busy,
                **medians,
                "ratio": medians["beside"]["rtf"] / medians["alone"]["rtf"],
                **where(Path(__file__).parent),
            }
        )
    )


if __name__ == "__main__":
    main()
