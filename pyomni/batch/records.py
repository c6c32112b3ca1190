"""Records of a batch: one JSON object a line, with the words of `pyomni speak`.

``text`` is needed; ``id`` names the file, else the line's number does. ``voice``, ``clone`` (a clip's path)
with ``transcript``, or ``design``; ``instruct``, ``language``, ``max_seconds``, and every field of
`SpeechOptions`. What a record does not say, the batch's defaults say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pyomni.digests import short_key
from pyomni.errors import ArgumentError
from pyomni.folders import is_device_name
from pyomni.options import SpeechOptions

__all__ = ["OPTIONS", "BadRecord", "Record", "read_records"]

#: Fields of a record that are options of speech; frames are asked for in seconds.
OPTIONS = tuple(f.name for f in fields(SpeechOptions) if f.name != "max_frames")
WORDS = ("text", "id", "voice", "clone", "transcript", "design", "instruct", "language")
ID = re.compile(r"(?![.])[\w.-]{1,120}(?<![.])")
#: Who speaks: one of these.
WHO = ("voice", "clone", "design")


@dataclass(frozen=True)
class Record:
    """One text to speak.

    Attributes
    ----------
    line : int
        Its line in the file, from 1.
    id : str
        What it is called, and its file.
    words : dict of str to str
        Of `WORDS`, those given, but for the id.
    options : SpeechOptions
    max_seconds : float or None
    """

    line: int
    id: str
    words: Mapping[str, str]
    options: SpeechOptions = field(default_factory=SpeechOptions)
    max_seconds: float | None = None

    @property
    def text(self) -> str:
        """What to say."""
        return self.words["text"]

    def key(self, *more: str) -> str:
        """Return a name for everything that shapes its sound, with what the batch adds."""
        options = {name: getattr(self.options, name) for name in OPTIONS}
        about = {"words": dict(self.words), "options": options, "max_seconds": self.max_seconds}
        return short_key(json.dumps(about, sort_keys=True, default=str), *more)


@dataclass(frozen=True)
class BadRecord:
    """A line that is no record, and why."""

    line: int
    id: str
    error: ArgumentError


def read_records(
    lines: Iterable[str], defaults: Mapping[str, Any] | None = None
) -> Iterator[Record | BadRecord]:
    """Read records as they are needed; blank lines are none.

    Parameters
    ----------
    lines : iterable of str
        Of the file.
    defaults : mapping, optional
        Fields that records without them get. Where a record says who speaks, no default does.
    """
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name = str(number).zfill(6)
        try:
            value = _object(line)
            name = _id(value.get("id"), name)
            if name.casefold() in seen:
                name, taken = str(number).zfill(6), name
                raise ArgumentError(f"id {taken!r} was used before, expected one of its own")
            seen.add(name.casefold())  # some file systems do not tell a from A
            yield _record(number, name, value, defaults or {})
        except ArgumentError as error:
            yield BadRecord(number, name, error)


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise ArgumentError("is not JSON, expected one object a line") from None
    if not isinstance(value, dict):
        raise ArgumentError(f'is {type(value).__name__}, expected an object such as {{"text": "Hello."}}')
    return value


def _id(given: Any, otherwise: str) -> str:
    if given is None:
        return otherwise
    name = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(name, str) or not ID.fullmatch(name) or is_device_name(name):
        raise ArgumentError(
            f"id is {given!r}, expected up to 120 letters, digits, '-', '_' and '.' that make a file name"
        )
    return name


def _record(line: int, name: str, value: dict[str, Any], defaults: Mapping[str, Any]) -> Record:
    if unknown := sorted(set(value) - {*WORDS, *OPTIONS, "max_seconds"}):
        raise ArgumentError(f"has {unknown[0]!r}, expected text, id, voice and their like (docs/batch.md)")
    said = any(value.get(who) is not None for who in WHO)
    ours = {key: v for key, v in defaults.items() if not (said and key in (*WHO, "transcript"))}
    both = {**ours, **{key: v for key, v in value.items() if v is not None and key != "id"}}
    words = {key: both[key] for key in WORDS if both.get(key) is not None}
    for key, found in words.items():
        if not isinstance(found, str):
            raise ArgumentError(f"{key} is {found!r}, expected a string")
    if not words.get("text", "").strip():
        raise ArgumentError("has no text, expected something to say")
    given = [who for who in WHO if who in words]
    if len(given) > 1:
        raise ArgumentError(f"has {given[0]} and {given[1]}, expected one of them")
    if "transcript" in words and "clone" not in words:
        raise ArgumentError("has a transcript without clone, expected the clip it is of")
    seconds = both.get("max_seconds")
    if seconds is not None and not (type(seconds) in (int, float) and 0 < seconds < 1e9):
        raise ArgumentError(f"max_seconds is {seconds!r}, expected more than 0")
    try:
        options = SpeechOptions(**{key: both[key] for key in OPTIONS if key in both})
    except TypeError as error:
        raise ArgumentError(f"its options do not fit ({error})") from None
    return Record(line, name, words, options, seconds)
