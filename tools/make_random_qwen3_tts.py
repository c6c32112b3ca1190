#!/usr/bin/env python3
"""Write a Qwen3-TTS checkpoint with random weights, for speed and plumbing: its sound is noise.

python tools/make_random_qwen3_tts.py --out ckpt --type custom_voice --scale 0.6b
python tools/make_random_qwen3_tts.py --out ckpt --scale tiny --dtype f32 --set upsample_rates=4,3
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # after an installed copy, which is compiled

from pyomni.convert.random_checkpoint import KINDS, SCALES, checkpoint_dims, write_checkpoint


def size(text: str) -> tuple[str, Any]:
    """``name=4`` or ``name=8,5,4`` as a name and a number or tuple."""
    name, _, value = text.partition("=")
    numbers = tuple(float(v) if "." in v else int(v) for v in value.split(","))
    return name, numbers if "," in value else numbers[0]


def main() -> None:
    """Write the folder the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--type", default="base", choices=KINDS)
    parser.add_argument("--scale", default="0.6b", choices=SCALES)
    parser.add_argument(
        "--set", type=size, action="append", default=[], metavar="NAME=SIZE", help="replace a size"
    )
    parser.add_argument("--dtype", default="bf16", choices=("bf16", "f32"))
    parser.add_argument("--vocab-gguf", help="GGUF holding the real Qwen2 vocabulary")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument(
        "--eos-allowed", action="store_true", help="let generation end by itself now and then"
    )
    args = parser.parse_args()
    start = time.perf_counter()
    done = write_checkpoint(
        args.out,
        args.type,
        checkpoint_dims(args.scale, **dict(args.set)),
        args.seed,
        dtype=args.dtype,
        vocab_gguf=args.vocab_gguf,
        eos_logit=4.3 if args.eos_allowed else None,
    )
    print(
        f"{args.out}: {done['tensors']} tensors, {done['parameters'] / 1e6:.1f} M parameters; codec "
        f"{done['codec_tensors']} tensors, {done['codec_parameters'] / 1e6:.1f} M; "
        f"{time.perf_counter() - start:.1f} s"
    )


if __name__ == "__main__":
    main()
