"""The user's saved voices: files in one folder, found by name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pyomni.errors import ArgumentError, OutputFileError
from pyomni.folders import data_folder, is_device_name
from pyomni.voices import file
from pyomni.voices.value import Voice

__all__ = ["SUFFIX", "folder", "is_path", "load", "names", "path_of", "remove", "save"]

SUFFIX = ".voice"
NAME = re.compile(r"\w(?:[\w .-]{0,62}[\w-])?")


def folder() -> Path:
    """Return the folder of saved voices: ``$PYOMNI_VOICES``, else ``voices`` in the user's data folder."""
    chosen = os.environ.get("PYOMNI_VOICES")
    return Path(chosen) if chosen else data_folder() / "voices"


def is_path(voice: str | os.PathLike[str]) -> bool:
    """Tell a path from a name: it ends in ``.voice`` or has a folder."""
    if not isinstance(voice, str):
        return True
    return voice.lower().endswith(SUFFIX) or "/" in voice or os.sep in voice


def path_of(name: str) -> Path:
    """Return the file of a saved voice, there or not.

    Raises
    ------
    ArgumentError
        It cannot be a name: letters, digits, spaces, ``.``, ``_`` and ``-``, at most 64.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name) or name.lower().endswith(SUFFIX):
        raise ArgumentError(
            f"voice name {name!r} cannot be used, expected at most 64 letters, digits, spaces, ., _ and -"
        )
    if is_device_name(name):
        raise ArgumentError(
            f"voice name {name!r} cannot be used: on Windows it is a device, expected another"
        )
    return folder() / f"{name.lower()}{SUFFIX}"


def names() -> list[str]:
    """Return the names of the saved voices, sorted; none where there is no folder."""
    try:
        found = [path.stem for path in folder().iterdir() if path.suffix == SUFFIX and path.is_file()]
    except OSError:
        return []
    return sorted(name for name in found if NAME.fullmatch(name))


def load(voice: str | os.PathLike[str]) -> Voice:
    """Read a voice file, or a saved voice by name; see `Voice.load`."""
    if is_path(voice):
        return file.read(voice)
    path = path_of(str(voice))
    if not path.is_file():
        known = ", ".join(names()) or "none is saved"
        raise ArgumentError(f"no voice {str(voice)!r} is saved in {folder()}, expected one of: {known}")
    return file.read(path)


def save(name: str, voice: Voice) -> Path:
    """Save a voice under a name, in place of one that has it, and return its file.

    Raises
    ------
    ArgumentError
        It cannot be a name.
    OutputFileError
        The folder cannot be made, or the file not be written.
    """
    path = path_of(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFileError(
            f"folder {str(path.parent)!r} could not be made: {error.strerror or error}"
        ) from error
    file.write(path, voice)
    return path


def remove(name: str) -> Path:
    """Delete a saved voice and return the file it was.

    Raises
    ------
    ArgumentError
        There is none of that name.
    OutputFileError
        It cannot be deleted.
    """
    path = path_of(name)
    if not path.is_file():
        known = ", ".join(names()) or "none is saved"
        raise ArgumentError(f"no voice {name!r} is saved in {folder()}, expected one of: {known}")
    try:
        path.unlink()
    except OSError as error:
        raise OutputFileError(f"voice {name!r} could not be removed: {error.strerror or error}") from error
    return path
