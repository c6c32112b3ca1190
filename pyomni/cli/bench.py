"""``pyomni bench``: how fast a model speaks here, component by component."""

from __future__ import annotations

import argparse
from typing import Any

from pyomni.bench import TEXT, bench_speech
from pyomni.cli.common import count, flags, open_model, precision_flag, print_json

EXAMPLE = """\
example:
  pyomni bench model.gguf --frames 100"""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "bench",
        help="time each component",
        description="Speak a text of fixed length and time each component, on each device or the one given.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    p.add_argument(
        "path",
        nargs="?",
        metavar="MODEL",
        help="model file; else -m, $PYOMNI_MODEL or the packaged voice",
    )
    p.add_argument("--text", default=TEXT, help="what to say")
    p.add_argument("--frames", type=count, default=50, metavar="N", help="frames to make (default 50, 4 s)")
    precision_flag(p)
    flags(p)


def run(args: argparse.Namespace) -> int:
    """Time the model on the devices asked for."""
    from pyomni._binding import devices

    args.model = args.path or args.model
    names = [name for name, _ in devices()] if args.device == "auto" else [args.device]
    results = []
    for args.device in names:
        with open_model(args) as model:
            results.append(bench_speech(model, args.text, args.frames))
    if args.json:
        print_json({"model": str(args.model or "packaged voice"), "results": results})
        return 0
    for result in results:
        where = f"{result['device']}, {result['threads']} threads, {result['precision']}"
        print(f"{where}, {result['frames']} frames")
        print(f"  prefill {result['prefill_ms']:9.2f} ms, {result['prompt_positions']} positions")
        for name in ("talker", "predictor", "codec"):
            print(f"  {name:9} {result[f'{name}_ms']:7.2f} ms per frame")
        print(
            f"  RTF {result['rtf']:.3f}, first audio after {result['ttfa_s'] * 1000:.1f} ms, "
            f"peak {result['peak_mb']} MB"
        )
    return 0
