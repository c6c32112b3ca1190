"""``pyomni verify``: does this machine compute what the official packages computed?"""

from __future__ import annotations

import argparse
import math
import os
from typing import TYPE_CHECKING, Any

from pyomni.cli.common import (
    FAILED,
    FILE_TYPES,
    INPUT,
    MODEL,
    RESOURCE,
    CliError,
    blame,
    flags,
    message,
    print_json,
)

if TYPE_CHECKING:
    from pyomni.metadata import SpeechMetadata
    from pyomni.verify.codes import Reference
    from pyomni.verify.toys import Row

EXAMPLE = """\
examples:
  pyomni verify
  pyomni verify --type q8_0
  pyomni verify model.gguf --reference model.codes.npz"""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "verify",
        help="repeat the recorded parity checks here and print the table",
        description="Repeat here, on toy models of every component, what the official packages were recorded "
        "doing, and print the differences. With MODEL, also compare its greedy codes with recorded ones. "
        "Ends with 6 where one is larger than allowed.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    p.add_argument("path", nargs="?", metavar="MODEL", help="model file, or -m: compare its codes too")
    p.add_argument(
        "--reference",
        metavar="FILE",
        help="official codes of MODEL (default: MODEL.codes.npz beside it, where there is one)",
    )
    p.add_argument("--type", choices=FILE_TYPES, default="f32", help="type of the toys' files (default f32)")
    flags(p)


def run(args: argparse.Namespace) -> int:
    """Compare and print each row as it is known."""
    from pyomni.machine import open_device
    from pyomni.verify.codes import run_codes
    from pyomni.verify.toys import run_toys

    model = args.path or args.model
    recorded = _recorded(args, model)
    rows, prose = [], not args.json and not args.quiet
    with blame(RESOURCE):
        device = open_device(args.device, args.threads)
    with device:
        if prose:
            print(f"toy models as {args.type} on {device.name}")
            print(_line("component", "stage", "difference", "allowed", ""))
        for row in run_toys(device, args.type):
            rows.append(row)
            _show(args, row)
        if recorded is not None:
            meta, reference = recorded
            if prose:
                print(f"{meta.meta.path} as {meta.meta.str('pyomni.type')}, against {reference.package}")
            for row in run_codes(meta, reference, device):
                rows.append(row)
                _show(args, row)
    missed = sum(not row.ok for row in rows)
    if args.json:
        print_json(
            {
                "model": None if model is None else str(model),
                "reference": None if recorded is None else os.fspath(recorded[1].path),
                "device": device.name,
                "type": args.type,
                "ok": not missed,
                "rows": [row.as_dict() for row in rows],
            }
        )
    elif prose:
        print(f"{len(rows) - missed} ok, {missed} missed")
    return FAILED if missed else 0


def _recorded(args: argparse.Namespace, model: str | None) -> tuple[SpeechMetadata, Reference] | None:
    """Return a model with its recorded codes; None where there is nothing to compare."""
    from pyomni.api import model_path
    from pyomni.metadata import SpeechMetadata, is_omni
    from pyomni.verify.codes import Reference, beside, check

    if model is None:
        if args.reference is not None:
            raise CliError(INPUT, "--reference was given without MODEL, expected the model it is of")
        return None
    path = model_path(model)
    if is_omni(path):
        raise CliError(
            MODEL, f"{path}: is a Qwen3-Omni model, expected a Qwen3-TTS one, whose codes are compared"
        )
    meta, given = SpeechMetadata.read(path), args.reference
    if given is None:
        given = beside(path)
        if not given.is_file():
            message(args, f"{given} is not there, so no codes of {path} are compared")
            return None
    with blame(INPUT):
        reference = Reference.read(given)
        check(meta, reference)
    return meta, reference


def _show(args: argparse.Namespace, row: Row) -> None:
    if args.json or (args.quiet and row.ok):
        return
    verdict = "ok" if row.ok else "MISS"
    print(_line(row.component, row.stage, _amount(row, row.reached), _amount(row, row.allowed), verdict))
    if not row.ok:
        print(f"    {row.detail}")


def _amount(row: Row, value: float) -> str:
    if not math.isfinite(value):
        return "none"
    return f"{100 * value:.2g} %" if row.relative else f"{value:.1e}"


def _line(component: str, stage: str, reached: str, allowed: str, verdict: str) -> str:
    return f"{component:28}{stage:22}{reached:>10}  {allowed:>8}  {verdict}".rstrip()
