"""``pyomni info``: what is in a model file, read from its header alone."""

from __future__ import annotations

import argparse
from typing import Any

from pyomni.cli.common import flags, print_json

EXAMPLE = """\
example:
  pyomni info model.gguf"""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "info",
        help="what is in a file: components, sizes, types, speakers, languages, defaults",
        description="What is in a file: components, sizes, types, speakers, languages, defaults.",
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
    flags(p, device=False)


def run(args: argparse.Namespace) -> int:
    """Print what is in a file."""
    from pyomni.api import model_path
    from pyomni.metadata import read_model

    summary = read_model(model_path(args.path or args.model)).summary()
    if args.json:
        print_json(summary)
        return 0
    for line in _lines(summary):
        print(line)
    return 0


def _lines(value: dict[str, Any], indent: str = "") -> list[str]:
    """Return a nested mapping as ``key: value`` lines."""
    lines = []
    for key, item in value.items():
        if isinstance(item, dict):
            lines += [f"{indent}{key}:", *_lines(item, indent + "  ")]
        elif isinstance(item, (list, tuple)):
            lines.append(f"{indent}{key}: {', '.join(map(str, item)) or 'none'}")
        else:
            lines.append(f"{indent}{key}: {item}")
    return lines
