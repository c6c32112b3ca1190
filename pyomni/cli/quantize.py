"""``pyomni quantize``: a model file to a smaller one."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from pyomni.cli.common import FILE_TYPES, flags, report_files
from pyomni.cli.progress import ByteBar
from pyomni.errors import ArgumentError

EXAMPLE = """\
example:
  pyomni convert Qwen3-TTS-12Hz-0.6B-CustomVoice model-bf16.gguf --type bf16
  pyomni imatrix model-bf16.gguf texts.txt -o model.imatrix.gguf
  pyomni quantize model-bf16.gguf model-q4_k.gguf q4_k --imatrix model.imatrix.gguf"""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "quantize",
        help="GGUF to a smaller GGUF",
        description="Write a model file in a smaller type, tensor by tensor and in flat memory; of "
        "Qwen3-Omni the files beside it as well. Which tensor gets which type is in docs/quantize.md.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    p.add_argument("source", metavar="IN.gguf", help="of type f32, bf16 or f16, made by pyomni convert")
    p.add_argument("output", metavar="OUT.gguf", help="appears whole or not at all")
    p.add_argument(
        "type", metavar="TYPE", choices=FILE_TYPES, help=f"of the large matrices: {', '.join(FILE_TYPES)}"
    )
    p.add_argument(
        "--imatrix", metavar="FILE", help="importance matrix of this model, which pyomni imatrix makes"
    )
    p.add_argument(
        "--tensor-type",
        action="append",
        default=[],
        metavar="NAMES=TYPE",
        help="another type for matrices whose names fit, as code_predictor.*=q4_k; may be given again",
    )
    p.add_argument(
        "--allow-requantize",
        action="store_true",
        help="take a file that is quantised already; errors add up",
    )
    flags(p, model=False, device=False)


def run(args: argparse.Namespace) -> int:
    """Quantize."""
    from pyomni.quantize import quantize_files

    with ByteBar(show=not args.quiet and not args.json) as bar:
        files = quantize_files(
            args.source,
            args.output,
            args.type,
            partial(bar.stage, "quantize"),
            imatrix=args.imatrix,
            tensor_types=[_pair(given) for given in args.tensor_type],
            allow_requantize=args.allow_requantize,
        )
    report_files(args, files)
    return 0


def _pair(given: str) -> tuple[str, str]:
    names, found, kind = given.rpartition("=")
    if not found:
        raise ArgumentError(f"--tensor-type {given!r} has no type, expected NAMES=TYPE")
    return names, kind
