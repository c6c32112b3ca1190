"""A conversation at the terminal: lines in, answers out, and commands that begin with a slash."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyomni.cli.common import CliError, message
from pyomni.errors import PyOmniError

if TYPE_CHECKING:
    from pyomni.api import Conversation, OmniModel
    from pyomni.cli.chat import Settings

__all__ = ["converse"]

HELP = """\
/audio FILE, /image FILE, /video FILE   hear or see this with the next question
/speak [FILE]                           speak the answers, into FILE, FILE-2, ...; /speak off ends it
/save FILE, /load FILE                  keep this conversation, go on with another
/clear                                  begin anew
/quit                                   leave; so does the end of the input"""


class Chatter:
    """The state between two lines.

    Parameters
    ----------
    model, talk, settings : of the conversation
    args : the command line
    """

    def __init__(
        self, model: OmniModel, talk: Conversation, settings: Settings, args: argparse.Namespace
    ) -> None:
        from pyomni.cli.chat import media

        self.model, self.talk, self.settings, self.args = model, talk, settings, args
        self.waiting: list[dict[str, Any]] = media(args)  # for the next question
        self.speak: str | None = args.speak
        self.n_spoken = 0

    def line(self, text: str) -> bool:
        """Do what a line says; return whether to go on."""
        if not text.startswith("/"):
            if text.strip():
                self.ask(text)
            return True
        command, _, rest = text[1:].partition(" ")
        rest = rest.strip()
        if command in ("quit", "exit"):
            return False
        if command in ("audio", "image", "video"):
            self.attach(command, rest)
        elif command == "speak":
            self.speak_into(rest)
        elif command in ("save", "load"):
            if not rest:
                raise CliError(2, f"/{command} was given no file, expected /{command} FILE")
            if command == "save":
                self.talk.save(rest)
            else:
                self.talk = self.model.load_conversation(rest)
            message(self.args, f"{rest}: {len(self.talk.messages)} messages")
        elif command == "clear":
            self.talk, self.waiting = self.model.conversation(self.args.system), []
        elif command == "help":
            print(HELP, file=sys.stderr)
        else:
            raise CliError(2, f"/{command} is no command, expected one of those of /help")
        return True

    def ask(self, text: str) -> None:
        """Ask, and show the answer."""
        from pyomni.cli.chat import answer

        content = [*self.waiting, {"type": "text", "text": text}]
        self.waiting = []  # one that cannot be opened does not come back with every question
        out = None
        if self.speak is not None:
            path = Path(self.speak)
            number = self.n_spoken + 1
            out = str(path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}"))
        answer(self.model, self.talk, content, self.settings, out, show=True)
        if out is not None:
            self.n_spoken += 1
            message(self.args, f"spoken into {out}")

    def attach(self, kind: str, path: str) -> None:
        """Take a file to the next question."""
        if not Path(path).is_file():
            raise CliError(4, f"{kind} {path!r} is not there, expected a file: /{kind} FILE")
        self.waiting.append({"type": kind, kind: path})
        message(self.args, f"{path} goes with the next question")

    def speak_into(self, path: str) -> None:
        """Begin to speak the answers, or stop it."""
        from pyomni.audio.formats import format_of

        if path == "off" or (not path and self.speak is not None):
            self.speak = None
            message(self.args, "the answers are not spoken any more")
            return
        path = path or "reply.wav"
        format_of(path, None)
        self.speak, self.n_spoken = path, 0
        message(self.args, f"the answers are spoken into {path}")


def converse(
    model: OmniModel, talk: Conversation, settings: Settings, args: argparse.Namespace
) -> Conversation:
    """Read lines and answer them until the input ends; what goes wrong with one does not end it.

    Returns
    -------
    Conversation
        As it is at the end: another one, where one was loaded.
    """
    chatter = Chatter(model, talk, settings, args)
    if sys.stdin.isatty():
        message(args, "a conversation: /help lists the commands, /quit leaves")
    for text in lines():
        try:
            if not chatter.line(text):
                break
        except (CliError, PyOmniError) as error:
            if args.debug:
                raise
            print(f"pyomni: error: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            print("\npyomni: the answer was cut", file=sys.stderr)
    return chatter.talk


def lines() -> Iterator[str]:
    """Yield the lines of the input, edited and remembered where it is a terminal."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.rstrip("\n")
        return
    with contextlib.suppress(ImportError):  # not on every system
        import readline  # noqa: F401, makes input() edit and remember
    while True:
        try:
            yield input("> ")
        except (EOFError, KeyboardInterrupt):
            print(file=sys.stderr)
            return
