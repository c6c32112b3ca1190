"""Print one JSON line: how fast a talker reads prompts here, and what a step costs behind long ones.

    python benchmarks/prefill.py model.gguf --rows 62 162 --at 100 4000 -t 2

Each prompt is read by the stack as one node and by the chain of ggml's nodes, which a session with a tap
keeps, in turns. Milliseconds: the median and the least of wall time, and the median of processor time, which
says more where other work runs beside it. Steps are those of the one node.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from pyomni._binding import Device, Model
from pyomni.bench import where
from pyomni.components.lm import TEXT, DecoderLM


def timed(runs: dict[str, Callable[[], object]], rounds: int, then: Callable[[], object]) -> dict[str, Any]:
    """Run each in turn, so many rounds after one not counted; ``then`` follows each, off the clock."""
    wall: dict[str, list[float]] = {name: [] for name in runs}
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    for counted in range(rounds + 1):
        for name, run in runs.items():
            began, used = perf_counter(), process_time()
            run()
            took, spent = perf_counter() - began, process_time() - used
            then()
            if counted:
                wall[name].append(1e3 * took)
                cpu[name].append(1e3 * spent)
    return {
        name: {
            "ms": round(statistics.median(wall[name]), 2),
            "least_ms": round(min(wall[name]), 2),
            "cpu_ms": round(statistics.median(cpu[name]), 2),
        }
        for name in runs
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time a talker's prompts and steps and print one JSON line.")
    parser.add_argument("model", type=Path, help="GGUF file with a Qwen3-TTS talker")
    parser.add_argument("--rows", type=int, nargs="+", default=[62, 162])
    parser.add_argument("--at", type=int, nargs="*", default=[], help="positions behind which to time steps")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--kv", default="f32")
    parser.add_argument("-t", "--threads", type=int, default=0)
    args = parser.parse_args()

    model = Model(Device("cpu", args.threads), args.model, "talker")
    n_ctx = max([*args.rows, *args.at]) + 8
    node, chain = (DecoderLM(model, n_ctx, 1, args.kv) for _ in range(2))
    chain.session.tap("hidden")
    rows = np.random.default_rng(0).standard_normal((n_ctx, model.info.n_embd)).astype(np.float32)
    found: dict[str, Any] = {"text": {}, "rows": {}, "step_at": {}}

    def back() -> None:
        node.rewind()
        chain.rewind()

    for n in args.rows:
        ids = np.arange(n)
        texts = {
            "node": lambda ids=ids: node.embed(TEXT, ids),
            "chain": lambda ids=ids: chain.embed(TEXT, ids),
        }
        found["text"][n] = timed(texts, args.rounds, back)
        reads = {"node": lambda n=n: node.decode(rows[:n]), "chain": lambda n=n: chain.decode(rows[:n])}
        found["rows"][n] = timed(reads, args.rounds, back)
    for at in sorted(args.at):
        node.decode(rows[node.n_past() : at])
        step = {"node": lambda at=at: node.decode(rows[at : at + 1])}
        found["step_at"][at] = timed(step, 3 * args.rounds, lambda at=at: node.rewind(0, at))["node"]
    line = {"benchmark": "prefill", "model": args.model.name, "kv": args.kv, "threads": args.threads}
    print(json.dumps({**line, **found, **where(Path(__file__).parent)}))


if __name__ == "__main__":
    main()
