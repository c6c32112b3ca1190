"""``pyomni info`` and ``pyomni voices``: what is in a model file, read from its header alone."""

from __future__ import annotations

import argparse
from typing import Any

from pyomni.cli.common import flags, print_json

INFO_EXAMPLE = """\
example:
  pyomni info model.gguf"""

VOICES_EXAMPLE = """\
example:
  pyomni voices model.gguf"""


def add(verbs: Any) -> None:
    """Add the verbs."""
    for name, text, epilog, run in (
        ("voices", "list the speakers of a model", VOICES_EXAMPLE, run_voices),
        (
            "info",
            "what is in a file: components, sizes, types, speakers, languages, defaults",
            INFO_EXAMPLE,
            run_info,
        ),
    ):
        p = verbs.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        p.set_defaults(run=run)
        p.add_argument(
            "path", nargs="?", metavar="MODEL", help="model file; else -m, else $PYOMNI_MODEL, else the toy"
        )
        flags(p, device=False)


def run_info(args: argparse.Namespace) -> int:
    """Print what is in a file."""
    summary = _metadata(args).summary()
    if args.json:
        print_json(summary)
        return 0
    for line in _lines(summary):
        print(line)
    return 0


def run_voices(args: argparse.Namespace) -> int:
    """Print the speakers, one per line, with their dialect where they have one."""
    meta = _metadata(args)
    if args.json:
        speakers = [{"name": name, "dialect": meta.dialects.get(name) or None} for name in meta.speakers]
        print_json({"model_type": meta.model_type, "speakers": speakers})
        return 0
    for name in meta.speakers:
        dialect = meta.dialects.get(name)
        print(f"{name} ({dialect})" if dialect else name)
    if not meta.speakers and not args.quiet:
        print(f"no preset speakers: this is a {meta.model_type} model")
    return 0


def _metadata(args: argparse.Namespace) -> Any:
    from pyomni.api import model_path
    from pyomni.metadata import SpeechMetadata

    return SpeechMetadata.read(model_path(args.path or args.model))


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
