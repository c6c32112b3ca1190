"""``pyomni convert``: a checkpoint folder to GGUF."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pyomni.cli.common import FILE_TYPES, flags, print_json

EXAMPLE = """\
example:
  pyomni convert Qwen3-TTS-12Hz-0.6B-CustomVoice model.gguf --type q8_0
  pyomni convert Qwen3-Omni-30B-A3B-Instruct omni.gguf --type q4_k"""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "convert",
        help="checkpoint folder to GGUF",
        description="Convert a checkpoint folder in the Hugging Face layout to GGUF: one file, or for "
        "Qwen3-Omni one for text and beside it one for sound and sight and one for speech.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    p.add_argument("source", metavar="SRC", help="folder with config.json and model.safetensors")
    p.add_argument("output", metavar="OUT.gguf", help="appears whole or not at all")
    p.add_argument(
        "--type",
        default="q8_0",
        choices=FILE_TYPES,
        help="of the large matrices (default q8_0); the smaller types keep what matters most finer",
    )
    p.add_argument(
        "--codec",
        default="f32",
        choices=("f32", "f16"),
        help="how Qwen3-TTS's codec is stored (default f32); it is computed with as f32 either way",
    )
    p.add_argument(
        "--no-codec-encoder",
        dest="encoder",
        action="store_false",
        help="leave Qwen3-TTS's codec encoder out; only base models, to clone, and `encode` need it",
    )
    flags(p, model=False, device=False)


def run(args: argparse.Namespace) -> int:
    """Convert."""
    from pyomni.convert import convert_files

    bar: Any = None

    def progress(name: str, done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            from tqdm import tqdm

            bar = tqdm(total=total, unit="B", unit_scale=True, file=sys.stderr, leave=False)
        bar.set_postfix_str(name)
        bar.update(done - bar.n)

    show = not args.quiet and not args.json and sys.stderr.isatty()
    try:
        files = convert_files(
            args.source,
            args.output,
            args.type,
            progress if show else None,
            codec=args.codec,
            encoder=args.encoder,
        )
    finally:
        if bar is not None:
            bar.close()
    sizes = {str(path): path.stat().st_size for path in files}
    if args.json:
        n_bytes = sum(sizes.values())
        print_json({"output": args.output, "type": args.type, "bytes": n_bytes, "files": list(sizes)})
    elif not args.quiet:
        for name, n_bytes in sizes.items():
            print(f"{name}: {n_bytes / 1e6:.1f} MB, {args.type}")
    return 0
