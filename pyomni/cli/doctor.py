"""``pyomni doctor``: is this machine, this install and this file fit?"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyomni.cli.common import FAILED, RESOURCE, USAGE, CliError, blame, flags, message, print_json
from pyomni.errors import UnsupportedModel

if TYPE_CHECKING:
    from pyomni.doctor import Check

EXAMPLE = """\
examples:
  pyomni doctor
  pyomni doctor model.gguf --device cpu
  pyomni doctor model.gguf --plot pictures"""

LABEL = 24  # columns before what was measured


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "doctor",
        help="is this machine, this install and this file fit?",
        description="Check this install, this machine and a model file, each check with its reason. "
        "Ends with 6 where one fails; warnings may be meant.",
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
    p.add_argument(
        "--plot",
        metavar="DIR",
        help="draw waveform, spectrogram, mel, codes and layers there (needs the extra 'pyomni[plot]')",
    )
    flags(p)


def run(args: argparse.Namespace) -> int:
    """Make the checks and print each as it is made."""
    from pyomni.doctor import FAIL, OK, SKIP, WARN, Findings, examine

    if args.plot is not None:
        from pyomni.doctor import plots

        try:
            plots.check(args.plot)  # before minutes of work
        except UnsupportedModel as error:
            raise CliError(USAGE, str(error)) from error
    path, findings = _path(args.path or args.model), Findings()
    if args.path is None and args.model is None and not os.environ.get("PYOMNI_MODEL"):
        message(
            args,
            "no model given (MODEL, -m or $PYOMNI_MODEL): using the small English voice in the package",
        )
    checks = []
    prose = not args.json and not args.quiet
    with blame(RESOURCE):  # what is left to be wrong in the arguments is the device
        for check in examine(path, args.device, args.threads, findings):
            checks.append(check)
            if args.debug and check.trace:
                print(check.trace, file=sys.stderr, end="")
            if prose or (args.quiet and not args.json and check.status == FAIL):
                print("\n".join(_lines(check, _width())), flush=True)
    count = Counter(check.status for check in checks)
    drawn = []
    if args.plot is not None:
        drawn = [str(file) for file in plots.draw(args.plot, findings)]
        for file in drawn:
            message(args, f"drew {file}")
        if not drawn:
            message(args, "nothing was drawn: no sentence was spoken")
    if args.json:
        print_json(
            {
                "model": str(path),
                "ok": not count[FAIL],
                "counts": {status: count[status] for status in (OK, WARN, FAIL, SKIP)},
                "checks": [check.as_dict() for check in checks],
                "plots": drawn,
            }
        )
    elif prose:
        print(f"{count[OK]} ok, {count[WARN]} to look at, {count[FAIL]} failed, {count[SKIP]} not checked")
    return FAILED if count[FAIL] else 0


def _path(given: str | None) -> Path:
    """Return the file to look at, also where nothing was compiled, which is for the checks to say."""
    try:
        from pyomni.api import model_path
    except ImportError:
        from pyomni.folders import packaged_voice

        found = given or os.environ.get("PYOMNI_MODEL")
        return Path(found) if found else packaged_voice()
    return model_path(given)


def _width() -> int:
    return max(60, shutil.get_terminal_size((110, 24)).columns - 1) if sys.stdout.isatty() else 110


def _lines(check: Check, width: int) -> list[str]:
    """Return a check as lines: one where it is fine, its reasons below where it is not."""
    lines = [f"{check.status:<5}{check.name:<{LABEL - 5}}{check.measured}"]
    if check.status in ("warn", "fail"):
        for word, text in (("normal", check.normal), ("means", check.means), ("try", check.advice)):
            if text:
                lines.append(f"{'':{LABEL - 8}}{word:<8}{text}")
    return [part for line in lines for part in _folded(line, width)]


def _folded(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent=" " * LABEL, break_long_words=False) or [""]
