"""docs/cli.md, made from the parser itself: ``python -m pyomni.cli.docs > docs/cli.md``.

It does not print ``--help``, whose layout changes with the Python version and the terminal, but the same
words from the same place.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyomni.cli.main import parser

__all__ = ["markdown"]

HEADER = """\
# The command line

Made by `python -m pyomni.cli.docs`; change the parser, not this file. `pyomni VERB --help` says the same.
Progress and messages go to stderr, results to stdout. An error is one line, `pyomni: error: ...`; an output
file appears whole or not at all.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a bug |
| 2 | wrong usage |
| 3 | the model file |
| 4 | the text, audio or voice given |
| 5 | memory, device or disk |
| 6 | a check failed |
| 130 | interrupted |
"""


def markdown() -> str:
    """Return the whole page."""
    top = parser()
    verbs = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    parts = [HEADER]
    for name, verb in verbs.choices.items():
        parts.append(f"## `pyomni {name}`\n\n{verb.description}\n\n{_table(verb)}\n{_example(verb)}")
    return "\n".join(parts)


def _table(verb: argparse.ArgumentParser) -> str:
    rows = ["| argument | meaning |", "|---|---|"]
    rows += [f"| {_name(action)} | {_help(action)} |" for action in _arguments(verb)]
    return "\n".join(rows) + "\n"


def _arguments(verb: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in verb._actions:
        if not isinstance(action, argparse._HelpAction):
            yield action


def _name(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if not action.option_strings:
        return f"`{value}`"
    takes = "" if action.nargs == 0 else f" {value}"
    return ", ".join(f"`{option}{takes}`" for option in action.option_strings)


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("|", "\\|")
    if action.choices:
        text += f" ({', '.join(map(str, action.choices))})"
    return text


def _example(verb: argparse.ArgumentParser) -> str:
    lines = [line.strip() for line in (verb.epilog or "").splitlines()[1:]]
    return "\n".join(["```sh", *lines, "```", ""])


if __name__ == "__main__":
    print(markdown(), end="")
