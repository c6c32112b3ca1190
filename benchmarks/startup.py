"""Print one JSON line: how long a new process takes to import pyomni, and to the first sound.

    python benchmarks/startup.py --rounds 10

The first sound is the first sample that ``pyomni speak --format pcm -o -`` hands to a pipe, with the voice in
the package or MODEL, from the start of the process. Importing is the time of ``import pyomni`` on top of a
bare Python, the two in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from pyomni.bench import where


def seconds(*argv: str, first_byte: bool = False) -> float:
    """Run Python and return the seconds to its end, or to the first byte that it writes."""
    start = perf_counter()
    with subprocess.Popen([sys.executable, *argv], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout is not None
        if first_byte and not run.stdout.read(1):
            raise SystemExit("the command wrote nothing")
        took = perf_counter() - start
        run.stdout.read()
    if run.returncode:
        raise SystemExit(f"the command ended with {run.returncode}")
    return took if first_byte else perf_counter() - start


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time start-up and print one JSON line.")
    parser.add_argument("model", nargs="?", help="GGUF file (default: the voice in the package)")
    parser.add_argument("--text", default="Hello.")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    speak = ["-m", "pyomni", "speak", args.text, "-q", "--format", "pcm", "-o", "-"]
    speak += ["-m", args.model] if args.model else []
    bare, imported, sound = [], [], []
    for index in range(args.rounds + 1):
        round_ = (seconds("-c", "pass"), seconds("-c", "import pyomni"), seconds(*speak, first_byte=True))
        if index:  # the first fills the page cache
            for kept, took in zip((bare, imported, sound), round_, strict=True):
                kept.append(took)
    result = {
        "import_s": statistics.median(a - b for a, b in zip(imported, bare, strict=True)),
        "first_sound_s": statistics.median(sound),
        "first_sound_range_s": [min(sound), max(sound)],
        "rounds": args.rounds,
    }
    model = Path(args.model).name if args.model else "the voice in the package"
    print(json.dumps({"benchmark": "startup", "model": model, **result, **where(Path(__file__).parent)}))


if __name__ == "__main__":
    main()
