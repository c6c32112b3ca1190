"""Print one JSON line: how fast the codec decoder of a model runs here.

    python benchmarks/codec.py model.gguf --threads 2 --precision fast

Seconds of compute per second of speech, with so many frames a call (8 is what a long speech uses, 1 its first
block), GFLOP/s, and the share of the float32 peak that was measured before and after in the same process.
``PYOMNI_CPU_FUSED=0`` times ggml's nodes in place of our kernels, ``PYOMNI_CPU_VARIANT`` other ones.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from pyomni._binding import Device, Model, build_about
from pyomni.bench import peak_mb, where
from pyomni.components.codec import CodecDecoder
from pyomni.metadata.header import Metadata

sys.path.append(str(Path(__file__).parent))  # which PYTHONSAFEPATH leaves out

from probes import probed  # isort: skip

COMPONENT = "codec_decoder"


def flops_per_frame(path: Path, hop: int) -> float:
    """Return the operations of a frame's products: a weight works at each step its layer makes of one."""
    meta = Metadata.read(path)
    rates = [*meta.ints(f"{COMPONENT}.upsampling_ratios"), *meta.ints(f"{COMPONENT}.upsample_rates")]
    n_ups = len(meta.ints(f"{COMPONENT}.upsampling_ratios"))
    total = 0.0
    for tensor in meta.tensors:
        name, shape = tensor.name, tensor.shape
        matrix = name.startswith(f"{COMPONENT}.") and name.endswith("weight") and ".book." not in name
        if not matrix or len(shape) < 2:
            continue
        parts = name.split(".")
        made = 0  # rates that lie before it
        if parts[1] == "up":
            made = int(parts[2]) + (parts[3] != "conv")
        elif parts[1] == "wave":
            made = n_ups + int(parts[2]) + (parts[3] == "res")
        elif parts[1] == "conv_in":
            made = n_ups
        elif parts[1] == "conv_out":
            made = len(rates)
        total += 2.0 * float(np.prod(shape)) * float(np.prod(rates[:made]))
    assert np.prod(rates) == hop
    return total


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time the codec decoder and print one JSON line.")
    parser.add_argument("model", help="GGUF file")
    parser.add_argument("--frames", type=int, default=8, help="frames a call (default 8)")
    parser.add_argument("--calls", type=int, default=12)
    parser.add_argument("-t", "--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", choices=("exact", "fast"), default="exact")
    args = parser.parse_args()
    start = perf_counter()
    model = Model(Device("cpu", args.threads), args.model, COMPONENT, fast=args.precision == "fast")
    loaded = perf_counter() - start
    codec, rng = CodecDecoder(model), np.random.default_rng(0)
    codes = rng.integers(0, model.info.n_vocab, (args.calls, args.frames, codec.n_groups)).astype(np.int32)
    codec.decode(codes[0])
    took = []
    with probed(args.threads) as probes:
        for call in codes:
            start = perf_counter()
            codec.decode(call)
            took.append(perf_counter() - start)
    speech = args.frames * codec.hop / codec.sample_rate
    flops = flops_per_frame(Path(args.model), codec.hop) * args.frames
    rate = flops / statistics.median(took) / 1e9
    about = build_about()
    fused = os.environ.get("PYOMNI_CPU_FUSED") != "0"
    print(
        json.dumps(
            {
                "benchmark": "codec",
                "model": Path(args.model).name,
                "precision": "fast" if model.info.fast else "exact",
                "kernels": (about["fast"] if model.info.fast else about["kernels"]) if fused else "ggml",
                "threads": args.threads,
                "frames_a_call": args.frames,
                "s_per_s": round(statistics.median(took) / speech, 4),
                "s_per_s_range": [round(min(took) / speech, 4), round(max(took) / speech, 4)],
                "gflops": round(rate, 1),
                "of_peak": round(rate / statistics.mean(probes["peak_gflops"]), 3),
                **probes,
                "load_s": round(loaded, 2),
                "weights_mb": round(model.info.n_bytes / 1e6, 1),
                "peak_mb": peak_mb(),
                **where(Path(__file__).parent),
            }
        )
    )


if __name__ == "__main__":
    main()
