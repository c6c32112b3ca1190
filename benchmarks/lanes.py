"""What a frame costs with several lanes, and late in a long text, as one JSON line.

    python benchmarks/lanes.py model.gguf -t 2

`lanes`: milliseconds of talker and code predictor per frame and lane, for each number of lanes, the numbers
in turn, `--rounds` of each; `of_one` is their sum over the first number's of the same round, the median of
the rounds. `growth`: milliseconds of one lane's talker at each position, in turn; `of_first` likewise. The
inputs are random rows of the size that a frame's are. Tables in ``RESULTS.md`` quote these lines.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

import numpy as np

from pyomni._binding import Device, Model
from pyomni.bench import where
from pyomni.components.lm import DecoderLM

sys.path.append(str(Path(__file__).parent))  # which PYTHONSAFEPATH leaves out

from probes import probed  # isort: skip

FRAMES = 8  # of one measurement: its median counts


class Frames:
    """Times frames of a talker and its code predictor on `n` lanes.

    Parameters
    ----------
    talker, predictor : Model
    n : int
        Lanes.
    n_ctx : int
        Positions of each.
    kv : str
        Type of the talker's cache.
    """

    def __init__(self, talker: Model, predictor: Model, n: int, n_ctx: int, kv: str = "f32") -> None:
        self.talker = DecoderLM(talker, n_ctx, n, kv)
        self.predictor = DecoderLM(predictor, 2 * predictor.info.n_groups, n)
        rng = np.random.default_rng(n)
        self.rows = rng.standard_normal((n, 1, talker.info.n_embd)).astype(np.float32) / 30
        self.uniforms = rng.random((n, predictor.info.n_groups - 1))
        self.n = n

    def talk(self, at: int) -> float:
        """Return the milliseconds of a talker's step at a position."""
        for lane in range(self.n):
            self.talker.rewind(lane, at)
        start = perf_counter()
        self.step = self.talker.decode(self.rows)
        return 1e3 * (perf_counter() - start)

    def fill(self) -> float:
        """Return the milliseconds of the code predictor, after `talk`."""
        codes = np.zeros(self.n, np.int32)
        start = perf_counter()
        self.predictor.groups(
            self.step.hidden, codes, temperature=0.9, top_k=50, top_p=1.0, uniforms=self.uniforms
        )
        return 1e3 * (perf_counter() - start)

    def read(self, n: int) -> None:
        """Fill every lane's cache up to position `n`."""
        rows = np.random.default_rng(0).standard_normal((self.n, n, self.rows.shape[-1]))
        for begin in range(0, n, 256):
            self.talker.decode(rows[:, begin : begin + 256].astype(np.float32) / 30)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time frames on lanes and print one JSON line.")
    parser.add_argument("model", help="GGUF file")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--positions", type=int, nargs="+", default=[100, 1000, 4000])
    parser.add_argument("--kv", default="f32", help="type of the talker's cache")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    early = args.positions[0]
    with Device("cpu", args.threads) as device, probed(args.threads) as probes:
        talker, predictor = (Model(device, args.model, name) for name in ("talker", "code_predictor"))
        lanes = {n: Frames(talker, predictor, n, early + 1, args.kv) for n in args.lanes}
        for frames in lanes.values():
            frames.read(early)
        took: dict[int, list[tuple[float, float]]] = {n: [] for n in lanes}
        for _ in range(args.rounds):
            for n, frames in lanes.items():
                pairs = [(frames.talk(early), frames.fill()) for _ in range(FRAMES + 1)][
                    1:
                ]  # graphs are made once
                took[n].append((_median(a for a, _ in pairs) / n, _median(b for _, b in pairs) / n))
        late = {at: Frames(talker, predictor, 1, at + 1, args.kv) for at in args.positions}
        for at, frames in late.items():
            frames.read(at)
        steps: dict[int, list[float]] = {at: [] for at in late}
        for _ in range(args.rounds):
            for at, frames in late.items():
                steps[at].append(_median([frames.talk(at) for _ in range(FRAMES + 1)][1:]))
    one = [sum(pair) for pair in took[args.lanes[0]]]
    line = {
        "benchmark": "lanes",
        "model": Path(args.model).name,
        "threads": args.threads,
        "kv": args.kv,
        "lanes": {
            n: {
                "talker_ms": _median(talk for talk, _ in pairs),
                "predictor_ms": _median(fill for _, fill in pairs),
                "of_one": _median(sum(pair) / base for pair, base in zip(pairs, one, strict=True)),
            }
            for n, pairs in took.items()
        },
        "growth": {
            at: {
                "talker_ms": _median(found),
                "of_first": _median(a / b for a, b in zip(found, steps[early], strict=True)),
            }
            for at, found in steps.items()
        },
        **probes,
        **where(Path(__file__).parent),
    }
    print(json.dumps(line))


def _median(numbers: Iterable[float]) -> float:
    return round(statistics.median(numbers), 3)


if __name__ == "__main__":
    main()
