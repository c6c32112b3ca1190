"""What a decoder stack gains by being one node of a graph, as one JSON line.

    python benchmarks/node.py model.gguf --component thinker -t 2 --busy 0 1

Milliseconds of a step of one row, as one node (`node`) and as the chain of ggml's nodes (`chain`) that a
session with a tap keeps, the two in turns; `ratio` is the median of the rounds' ratios. For each number of
processes that keep a core busy beside them. The rows are random.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from pyomni._binding import Device, Model
from pyomni.bench import where
from pyomni.components.lm import DecoderLM

sys.path.append(str(Path(__file__).parent))  # which PYTHONSAFEPATH leaves out

from competition import busy  # isort: skip
from probes import probed  # isort: skip


def steps(lm: DecoderLM, rows: np.ndarray, n: int, at: int) -> float:
    """Return the milliseconds of a step at a position, the median of n."""
    taken = []
    for k in range(n):
        for lane in range(len(rows)):
            lm.rewind(lane, at)
        start = perf_counter()
        lm.decode(np.roll(rows, k, -1))  # other rows, other experts
        taken.append(1000 * (perf_counter() - start))
    return statistics.median(taken)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time a step as one node and as a chain of nodes.")
    parser.add_argument("model", help="GGUF file that holds the component")
    parser.add_argument("--component", default="talker")
    parser.add_argument("--kv", default="f32")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--at", type=int, default=100, help="positions behind which the steps are")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="of a round, each way")
    parser.add_argument("--busy", type=int, nargs="+", default=[0], help="processes beside them, a core each")
    parser.add_argument("-t", "--threads", type=int)
    args = parser.parse_args()
    with Device("cpu", args.threads) as device, Model(device, args.model, args.component) as model:
        ways = {name: DecoderLM(model, args.at + 64, args.lanes, args.kv) for name in ("node", "chain")}
        ways["chain"].session.tap("hidden")
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((args.lanes, 1, model.info.n_embd)).astype(np.float32) / 30
        for lm in ways.values():
            lm.decode(np.repeat(rows, args.at, 1))
            steps(lm, rows, 2, args.at)
        found = []
        with probed(device.n_threads) as probes:
            for n in args.busy:
                with busy(n):
                    rounds = [
                        {name: steps(lm, rows, args.steps, args.at) for name, lm in ways.items()}
                        for _ in range(args.rounds)
                    ]
                medians = {f"{name}_ms": statistics.median(r[name] for r in rounds) for name in ways}
                ratio = statistics.median(r["node"] / r["chain"] for r in rounds)
                found.append({"busy": n, **medians, "ratio": ratio})
        print(
            json.dumps(
                {
                    "benchmark": "node",
                    "model": Path(args.model).name,
                    "component": args.component,
                    "lanes": args.lanes,
                    "kv": args.kv,
                    "at": args.at,
                    "threads": device.n_threads,
                    "found": found,
                    **probes,
                    **where(Path(__file__).parent),
                }
            )
        )


if __name__ == "__main__":
    main()
