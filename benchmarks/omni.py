"""Print one JSON line: prefill and decode speed of a thinker, beside llama.cpp's on the same file.

    python tools/make_random_qwen3_omni.py --scale 30b --type q4_k --out omni.gguf
    python benchmarks/omni.py omni.gguf -t 2 --rounds 3
    python benchmarks/omni.py llama-layout.gguf -t 2 --rounds 3 --llama

With ``--llama`` the file must be one that llama.cpp reads (architecture ``qwen3vlmoe``), and
``llama-cpp-python`` be installed. The two take turns, round by round, and the medians of both are printed
with their ratio. The share of the bandwidth limit is what the weights touched for one token take to read at
the speed this machine reads memory at, measured in the same run, over what the token took.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from pyomni._binding import Device, Model
from pyomni.bench import peak_mb, where
from pyomni.components.lm import TOKENS, DecoderLM
from pyomni.metadata.header import Metadata

PROBE_BYTES = 1 << 28


def read_speed() -> float:
    """Bytes per second that summing a large array reads, best of five, on one core."""
    block = np.ones(PROBE_BYTES // 8, np.float64)
    best = 0.0
    for _ in range(5):
        start = perf_counter()
        block.sum()
        best = max(best, PROBE_BYTES / (perf_counter() - start))
    return best


def active_bytes(path: Path) -> int:
    """Bytes of weights that one token touches: no embedding table, and of experts only those used."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    head = {k: f.contents() for k, f in reader.fields.items() if k.endswith((".n_expert", "expert_count"))}
    used = {
        k: f.contents()
        for k, f in reader.fields.items()
        if k.endswith(("n_expert_used", "expert_used_count"))
    }
    share = next(iter(used.values())) / next(iter(head.values()))
    total = 0.0
    for tensor in reader.tensors:
        if "token_embd" not in tensor.name:
            total += tensor.n_bytes * (share if "_exps." in tensor.name else 1)
    return int(total)


def ours(
    path: Path, threads: int, n_prompt: int, n_decode: int, packed: bool
) -> Callable[[], tuple[float, float]]:
    """Return a function that measures one round: seconds of the prompt, seconds per token after it."""
    model = Model(Device("cpu", threads), path, "thinker", packed=packed)
    lm = DecoderLM(model, n_ctx=n_prompt + n_decode + 1, kv="f16")
    ids = np.random.default_rng(0).integers(0, model.info.n_vocab // 2, n_prompt).tolist()

    def round_() -> tuple[float, float]:
        lm.rewind()
        start = perf_counter()
        step = lm.decode(lm.embed(TOKENS, ids))
        prefill = perf_counter() - start
        start = perf_counter()
        for _ in range(n_decode):
            step = lm.decode(lm.embed(TOKENS, [int(step.logits[0].argmax())]))
        return prefill, (perf_counter() - start) / n_decode

    return round_


def llama(path: Path, threads: int, n_prompt: int, n_decode: int) -> Callable[[], tuple[float, float]]:
    """Do as `ours` with llama-cpp-python."""
    from llama_cpp import Llama

    model = Llama(
        str(path),
        n_ctx=n_prompt + n_decode + 1,
        n_threads=threads,
        n_threads_batch=threads,
        n_batch=512,
        verbose=False,
    )
    ids = np.random.default_rng(0).integers(0, model.n_vocab() // 2, n_prompt).tolist()

    def round_() -> tuple[float, float]:
        model.reset()
        start = perf_counter()
        model.eval(ids)
        prefill = perf_counter() - start
        start = perf_counter()
        for _ in range(n_decode):
            model.eval([int(np.asarray(model.scores[model.n_tokens - 1]).argmax())])
        return prefill, (perf_counter() - start) / n_decode

    return round_


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time a thinker and print one JSON line.")
    parser.add_argument("model", type=Path, help="GGUF file")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of the prompt")
    parser.add_argument("--decode", type=int, default=32, help="tokens after it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--packed", action="store_true", help="matrices rearranged in memory")
    parser.add_argument("--llama", action="store_true", help="take turns with llama-cpp-python")
    args = parser.parse_args()
    start = perf_counter()
    rounds = {"pyomni": ours(args.model, args.threads, args.prompt, args.decode, args.packed)}
    opened = perf_counter() - start
    if args.llama:
        rounds["llama"] = llama(args.model, args.threads, args.prompt, args.decode)
    for measure in rounds.values():
        measure()  # touches the weights, makes the graphs; not counted
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in rounds}
    for _ in range(args.rounds):
        for name, measure in rounds.items():
            taken[name].append(measure())
    speed, active = read_speed(), active_bytes(args.model)
    result: dict[str, object] = {"open_s": round(opened, 2)}
    medians = {}
    for name, found in taken.items():
        prefill, token = (statistics.median(values) for values in zip(*found, strict=True))
        medians[name] = (prefill, token)
        result[f"{name}_prefill_tokens_s"] = round(args.prompt / prefill, 1)
        result[f"{name}_decode_tokens_s"] = round(1 / token, 2)
        result[f"{name}_of_bandwidth"] = round(active / speed / token, 2)
    if args.llama:
        result["prefill_ratio"] = round(medians["llama"][0] / medians["pyomni"][0], 2)
        result["decode_ratio"] = round(medians["llama"][1] / medians["pyomni"][1], 2)
    about = {
        "benchmark": "omni",
        "model": args.model.name,
        "type": Metadata.read(args.model).get("pyomni.type", "llama.cpp's"),
        "threads": args.threads,
        "prompt": args.prompt,
        "active_mb": round(active / 1e6),
        "read_gb_s": round(speed / 1e9, 1),
        "peak_mb": peak_mb(),
    }
    print(json.dumps({**about, **result, **where(Path(__file__).parent)}))


if __name__ == "__main__":
    main()
