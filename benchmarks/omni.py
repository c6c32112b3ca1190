"""Print one JSON line: prefill and decode speed of a thinker, beside llama.cpp's on the same weights.

    python tools/make_random_qwen3_omni.py --scale 30b --type q4_k --out omni.gguf
    python tools/thinker_for_llama_cpp.py omni.gguf llama-layout.gguf
    python benchmarks/omni.py llama-layout.gguf --engines pyomni llama-mapped
    python benchmarks/omni.py llama-layout.gguf --engines pyomni-packed llama --apart

Each engine runs in a process of its own, and they take turns, round by round: ``pyomni``, with its matrices
in the file; ``pyomni-packed``, with them rearranged in memory; ``llama``, llama-cpp-python as it comes, which
rearranges as well; ``llama-mapped``, told not to. pyomni reads both layouts, llama.cpp (``llama-cpp-python``)
only its own. Where two copies of the weights do not fit, ``--apart`` opens and closes an engine at each turn.

The medians are printed, and the ratio of the first two engines. ``of_bandwidth`` is what the weights one
token touches take to read, at the speed that as many threads read memory at in this run, over what the
token took.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from pyomni.bench import resident_mb, where
from pyomni.metadata.header import Metadata

PROBE_BYTES = 1 << 28
ENGINES = ("pyomni", "pyomni-packed", "llama", "llama-mapped")
Round = Callable[[list[int], int], tuple[float, float]]


def read_speed(threads: int) -> float:
    """Bytes per second that `threads` threads read when each sums a large array of its own; best of five."""
    blocks = [np.ones(PROBE_BYTES // 8, np.float64) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            start = perf_counter()
            list(pool.map(np.sum, blocks))
            best = max(best, threads * PROBE_BYTES / (perf_counter() - start))
    return best


def active_bytes(path: Path) -> int:
    """Bytes of weights that one token touches: no embedding table, and of experts only those used."""
    from gguf import GGUFReader

    reader = GGUFReader(path)

    def count(*ends: str) -> int:
        return next(int(f.contents()) for k, f in reader.fields.items() if k.endswith(ends))

    used, held = count("n_expert_used", "expert_used_count"), count(".n_expert", "expert_count")
    sizes = {t.name: int(t.n_bytes) for t in reader.tensors if "token_embd" not in t.name}
    return sum(size * used // held if "_exps." in name else size for name, size in sizes.items())


def ours(path: Path, threads: int, n_ctx: int, packed: bool) -> tuple[Round, int]:
    """Open a thinker; return what measures a round (seconds of the prompt, per token), and n_vocab."""
    from pyomni._binding import Device, Model
    from pyomni.components.lm import TOKENS, DecoderLM

    model = Model(Device("cpu", threads), path, "thinker", packed=packed)
    lm = DecoderLM(model, n_ctx, kv="f16")

    def round_(ids: list[int], n_decode: int) -> tuple[float, float]:
        lm.rewind()
        start = perf_counter()
        step = lm.decode(lm.embed(TOKENS, ids))
        prefill = perf_counter() - start
        start = perf_counter()
        for _ in range(n_decode):
            step = lm.decode(lm.embed(TOKENS, [int(step.logits[0].argmax())]))
        return prefill, (perf_counter() - start) / n_decode

    return round_, model.info.n_vocab


def llama(path: Path, threads: int, n_ctx: int, packed: bool) -> tuple[Round, int]:
    """Do as `ours` with llama-cpp-python."""
    import llama_cpp.llama_cpp as c
    from llama_cpp import Llama

    default = c.llama_model_default_params

    def params() -> Any:
        found = default()
        found.use_extra_bufts = packed  # no argument of Llama's says so
        return found

    c.llama_model_default_params = params
    model = Llama(
        str(path), n_ctx=n_ctx, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False
    )
    n_vocab = model.n_vocab()

    def best() -> int:
        logits = c.llama_get_logits_ith(model.ctx, -1)
        return int(np.ctypeslib.as_array(logits, (n_vocab,)).argmax())

    def round_(ids: list[int], n_decode: int) -> tuple[float, float]:
        model.reset()
        start = perf_counter()
        model.eval(ids)
        token = best()
        prefill = perf_counter() - start
        start = perf_counter()
        for _ in range(n_decode):
            model.eval([token])
            token = best()
        return prefill, (perf_counter() - start) / n_decode

    return round_, n_vocab


def serve(pipe: Connection, engine: str, path: Path, threads: int, n_ctx: int) -> None:
    """Open an engine, measure each round that is asked for, and end with the memory held."""
    start = perf_counter()
    packed = engine in ("pyomni-packed", "llama")
    measure, n_vocab = (ours if engine.startswith("pyomni") else llama)(path, threads, n_ctx, packed)
    pipe.send(perf_counter() - start)
    while (asked := pipe.recv()) is not None:
        n_prompt, n_decode = asked
        ids = np.random.default_rng(0).integers(0, n_vocab // 2, n_prompt).tolist()
        pipe.send(measure(ids, n_decode))
    pipe.send(resident_mb())


class Engine:
    """An engine in a process of its own, and what was measured of it in all its turns."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.name, self.args = name, args
        self.opened: list[float] = []
        self.taken: dict[int, list[tuple[float, float]]] = {n: [] for n in args.prompt}
        self.memory: dict[str, float] = {}

    def open(self) -> None:
        """Start the process and run one round that does not count: it touches weights and makes graphs."""
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        n_ctx = max(self.args.prompt) + self.args.decode + 1
        self.process = context.Process(
            target=serve, args=(other, self.name, self.args.model, self.args.threads, n_ctx)
        )
        self.process.start()
        other.close()
        self.opened.append(self._answer())
        self.round(counts=False)

    def round(self, counts: bool = True) -> None:
        """Measure each prompt once."""
        for n_prompt in self.args.prompt:
            self.pipe.send((n_prompt, self.args.decode))
            found = self._answer()
            if counts:
                self.taken[n_prompt].append(found)

    def close(self) -> None:
        """End the process."""
        self.pipe.send(None)
        self.memory = self._answer()
        self.process.join()

    def _answer(self) -> Any:
        try:
            return self.pipe.recv()
        except EOFError:
            raise SystemExit(f"{self.name} ended early, expected memory enough for its weights") from None

    def figures(self, n_prompt: int, speed: float, active: int) -> dict[str, Any]:
        """Return what is printed of a prompt's rounds."""
        prefills, tokens = zip(*self.taken[n_prompt], strict=True)
        token = statistics.median(tokens)
        return {
            "prefill_tokens_s": round(n_prompt / statistics.median(prefills), 2),
            "prefill_range": [round(n_prompt / f(prefills), 2) for f in (max, min)],
            "decode_tokens_s": round(1 / token, 2),
            "decode_range": [round(1 / f(tokens), 2) for f in (max, min)],
            "of_bandwidth": round(active / speed / token, 2),
        }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time a thinker and print one JSON line.")
    parser.add_argument("model", type=Path, help="GGUF file")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["pyomni"])
    parser.add_argument("--prompt", type=int, nargs="+", default=[128, 512], help="tokens of the prompts")
    parser.add_argument("--decode", type=int, default=32, help="tokens after each")
    parser.add_argument("--rounds", type=int, default=3, help="of each turn")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--apart", type=int, metavar="TURNS", default=0, help="one engine open at a time")
    args = parser.parse_args()
    engines = [Engine(name, args) for name in args.engines]
    for _ in range(args.apart):
        for engine in engines:
            engine.open()
            for _ in range(args.rounds):
                engine.round()
            engine.close()
    if not args.apart:
        for engine in engines:
            engine.open()
        for _ in range(args.rounds):
            for engine in engines:
                engine.round()
        for engine in engines:
            engine.close()
    speed, active = read_speed(args.threads), active_bytes(args.model)
    found = {
        engine.name: {
            "open_s": [round(seconds, 1) for seconds in engine.opened],
            **engine.memory,
            **{f"prompt_{n}": engine.figures(n, speed, active) for n in args.prompt},
        }
        for engine in engines
    }
    ratios = {
        f"{what}_ratio_{n}": round(one[f"prompt_{n}"][key] / other[f"prompt_{n}"][key], 2)
        for one, other in [list(found.values())[:2]][: len(found) - 1]
        for n in args.prompt
        for what, key in (("prefill", "prefill_tokens_s"), ("decode", "decode_tokens_s"))
    }
    about = {
        "benchmark": "omni",
        "model": args.model.name,
        "type": Metadata.read(args.model).get("pyomni.type", "llama.cpp's"),
        "threads": args.threads,
        "active_mb": round(active / 1e6),
        "read_gb_s": round(speed / 1e9, 1),
    }
    print(json.dumps({**about, **found, **ratios, **where(Path(__file__).parent)}))


if __name__ == "__main__":
    main()
