"""``pyomni convert``: a checkpoint folder to GGUF."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from pyomni.cli.common import FILE_TYPES, flags, report_files
from pyomni.cli.progress import ByteBar

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

    with ByteBar(show=not args.quiet and not args.json) as bar:
        files = convert_files(
            args.source,
            args.output,
            args.type,
            partial(bar.stage, "convert"),
            codec=args.codec,
            encoder=args.encoder,
        )
    report_files(args, files)
    return 0
