"""Playing a file through whichever player the system has."""

from __future__ import annotations

import shutil
import subprocess

from pyomni.cli.common import RESOURCE, USAGE, CliError

#: Command, its arguments before the file, and the formats it takes (None: all but bare samples).
PLAYERS: tuple[tuple[str, tuple[str, ...], frozenset[str] | None], ...] = (
    ("ffplay", ("-nodisp", "-autoexit", "-loglevel", "error"), None),
    ("mpv", ("--no-video", "--really-quiet"), None),
    ("afplay", (), frozenset({"wav", "flac", "mp3"})),
    ("paplay", (), frozenset({"wav", "flac", "ogg"})),
    ("aplay", ("-q",), frozenset({"wav"})),
)


def player(path: str, name: str) -> list[str]:
    """Return the command that plays a file of format `name`.

    Raises
    ------
    CliError
        There is no file to play, or no player for it.
    """
    if path == "-" or name == "pcm":
        raise CliError(USAGE, "--play needs a file it can play, expected an -o that is not - and not pcm")
    for command, arguments, formats in PLAYERS:
        found = shutil.which(command)
        if found and (formats is None or name in formats):
            return [found, *arguments, path]
    names = ", ".join(command for command, _, _ in PLAYERS)
    raise CliError(RESOURCE, f"no player for {name} was found, expected one of {names} on the path")


def play(command: list[str]) -> None:
    """Run a player to its end.

    Raises
    ------
    CliError
        It failed; the file is there all the same.
    """
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if result.returncode != 0:
        raise CliError(
            RESOURCE, f"{command[0]} ended with {result.returncode}, expected 0; the file was written"
        )
