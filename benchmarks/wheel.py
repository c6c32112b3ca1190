"""The speed of an installed wheel against a build for this machine, as pairs in one run; a JSON line a model.

    python -m venv native && native/bin/pip install .
    python -m venv wheel && wheel/bin/pip install dist/pyomni-*.whl
    python benchmarks/wheel.py native/bin/python wheel/bin/python [MODEL.gguf ...] --frames 25 --pairs 9 -t 1

Each Python opens the model once and stays. They speak in turn, one at a time, and who is first changes with
each pair, so that a machine whose speed drifts is as slow for both. Ratios are medians over the pairs, wheel
to native: of the processor's time, which other processes lengthen little where there is one thread, of the
wall's, and of each component's. Without a model, the packaged voice speaks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

FIGURES = ("cpu_s", "wall_s", "prefill_ms", "talker_ms", "predictor_ms", "codec_ms")

CHILD = """
import json, sys
from time import process_time
import pyomni
from pyomni._binding import build_about
from pyomni.bench import bench_speech, where
path, frames, threads = sys.argv[1] or None, int(sys.argv[2]), int(sys.argv[3])
model = pyomni.load(path, device="cpu", threads=threads)
about = build_about()
print(json.dumps({"from": pyomni.__file__, "cpu": about.get("cpu"), "kernels": about["kernels"]}), flush=True)
for line in sys.stdin:
    start = process_time()
    figures = bench_speech(model, frames=frames)
    print(json.dumps({**figures, "cpu_s": process_time() - start}), flush=True)
"""


class Speaker:
    """A Python of its own with the model open, which speaks when told to."""

    def __init__(self, python: str, model: str, frames: int, threads: int) -> None:
        command = [python, "-I", "-c", CHILD, model, str(frames), str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args}: ended with {self.process.wait()}")
        return json.loads(line)

    def speak(self) -> dict[str, Any]:
        """Return the figures of `pyomni.bench.bench_speech`, and the processor's time of all it did."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def compare(pythons: list[str], model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the ratios for one model, wheel over native."""
    native, wheel = speakers = [Speaker(p, model, options.frames, options.threads) for p in pythons]
    if native.about["cpu"] or not wheel.about["cpu"]:
        sys.exit(f"expected a native build and a wheel, found {native.about} and {wheel.about}")
    if native.about["kernels"] != wheel.about["kernels"]:
        sys.exit(f"not the same kernels of pyomni's: {native.about} and {wheel.about}")
    rows = []
    for i in range(-1, options.pairs):
        order = speakers if i % 2 else speakers[::-1]
        pair = {speaker is wheel: speaker.speak() for speaker in order}
        if i >= 0:  # the first pair touches weights and makes graphs
            rows.append({name: pair[True][name] / pair[False][name] for name in FIGURES})
            print(json.dumps({"pair": i, **{k: round(v, 4) for k, v in rows[-1].items()}}), file=sys.stderr)
    for speaker in speakers:
        speaker.close()
    spread = {name: sorted(row[name] for row in rows) for name in FIGURES}
    return {
        "model": Path(model).name or "packaged voice",
        "library": wheel.about["cpu"],
        "kernels": wheel.about["kernels"],
        "frames": options.frames,
        "threads": options.threads,
        "pairs": options.pairs,
        "ratio": {name: round(median(values), 4) for name, values in spread.items()},
        "quartiles": {
            name: [round(values[len(values) // 4], 4), round(values[-1 - len(values) // 4], 4)]
            for name, values in spread.items()
        },
    }


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("native", help="the Python that has a build for this machine")
    parser.add_argument("wheel", help="the Python that has the wheel")
    parser.add_argument("models", nargs="*", default=[""], metavar="MODEL.gguf")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("-t", "--threads", type=int, default=1)
    options = parser.parse_args()
    for model in options.models:
        path = str(Path(model).resolve()) if model else ""
        print(json.dumps(compare([options.native, options.wheel], path, options)), flush=True)


if __name__ == "__main__":
    main()
