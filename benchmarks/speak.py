"""Print one JSON line: how fast a model speaks here, by component.

    python benchmarks/speak.py model.gguf --frames 100 --threads 2

The line names the commit and the machine, so that ``RESULTS.md`` can quote it as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from pathlib import Path

import pyomni
from pyomni.bench import TEXT, bench_speech


def commit() -> str | None:
    """Return the short hash of the tree this file is in, with a + where it was changed."""
    try:
        run = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def machine() -> str:
    """Return the processor's name and the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


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
                "commit": commit(),
                "machine": machine(),
                "version": pyomni.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
