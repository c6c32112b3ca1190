#!/usr/bin/env python3
"""Write a Qwen3-Omni model with random weights, for parity, speed and plumbing: it says noise.

python tools/make_random_qwen3_omni.py --out ckpt
python tools/make_random_qwen3_omni.py --out ckpt --scale small --shards 4
python tools/make_random_qwen3_omni.py --out ckpt --set thinker.layers=6 --set vision.deepstack=1,3
python tools/make_random_qwen3_omni.py --out omni.gguf --type q4_k --scale 30b   # straight to GGUF files
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # after an installed copy, which is compiled

from pyomni.convert import FILE_TYPES
from pyomni.convert.random_omni_gguf import write_omni_gguf
from pyomni.convert.random_qwen3_omni import OMNI_SCALES, omni_dims, write_omni_checkpoint


def size(text: str) -> tuple[str, Any]:
    """``network.size=4`` or ``network.size=8,5,4`` as a name and a number or tuple."""
    name, _, value = text.partition("=")
    numbers = tuple(int(v) for v in value.split(","))
    return name, numbers if "," in value else numbers[0]


def main() -> None:
    """Write the folder the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True, help="folder to write, or with --type NAME.gguf")
    parser.add_argument("--type", choices=FILE_TYPES, help="write GGUF files of this type, not a checkpoint")
    parser.add_argument("--scale", default="tiny", choices=OMNI_SCALES)
    parser.add_argument(
        "--set", type=size, action="append", default=[], metavar="NETWORK.NAME=SIZE", help="replace a size"
    )
    parser.add_argument("--dtype", default="bf16", choices=("bf16", "f32"))
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--vocab-gguf", help="GGUF holding the real Qwen2 vocabulary")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--eos-allowed", action="store_true", help="let text and speech end by themselves")
    parser.add_argument("--no-speech", action="store_true", help="no talker, as in -Thinking and -Captioner")
    args = parser.parse_args()
    start = time.perf_counter()
    if args.type:
        files = write_omni_gguf(
            args.out,
            omni_dims(args.scale, dict(args.set)),
            args.type,
            args.seed,
            eos_allowed=args.eos_allowed,
            audio_output=not args.no_speech,
            vocab_gguf=args.vocab_gguf,
        )
        for path in files:
            print(f"{path}: {path.stat().st_size / 1e9:.3f} GB, {args.type}")
        print(f"{time.perf_counter() - start:.1f} s")
        return
    done = write_omni_checkpoint(
        args.out,
        omni_dims(args.scale, dict(args.set)),
        args.seed,
        dtype=args.dtype,
        n_shards=args.shards,
        eos_allowed=args.eos_allowed,
        audio_output=not args.no_speech,
        vocab_gguf=args.vocab_gguf,
    )
    print(
        f"{args.out}: {done['tensors']} tensors, {done['parameters'] / 1e6:.1f} M parameters; "
        f"{time.perf_counter() - start:.1f} s"
    )


if __name__ == "__main__":
    main()
