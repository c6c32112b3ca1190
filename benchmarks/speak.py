"""Print one JSON line: how fast a model speaks here, by component.

    python benchmarks/speak.py model.gguf --frames 100 --threads 2

The line names the commit and the machine, so that ``RESULTS.md`` can quote it as it is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pyomni
from pyomni.bench import TEXT, bench_speech, where


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time a model and print one JSON line.")
    parser.add_argument("model", help="GGUF file")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--device", default="auto")
    parser.add_argument("-t", "--threads", type=int)
    args = parser.parse_args()
    with pyomni.load(args.model, device=args.device, threads=args.threads) as model:
        result = bench_speech(model, args.text, args.frames)
        info = model.info
    print(
        json.dumps(
            {
                "benchmark": "speak",
                "model": Path(args.model).name,
                "type": info["type"],
                **result,
                **where(Path(__file__).parent),
            }
        )
    )


if __name__ == "__main__":
    main()
