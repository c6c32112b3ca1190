"""Receipts: what made some speech, so that anyone can make it again and see whether it is the same.

    speech = model.speak("Hello there.", options=pyomni.SpeechOptions(seed=7))
    speech.receipt.model_hash, speech.receipt.codes_hash
    text = speech.receipt.to_json()            # may go anywhere: hashes in place of words
    text = speech.receipt.to_json(words=True)  # with the text, enough to say it again

The words (the text, an instruction, the description of a voice, the name of a saved voice) are in a receipt
that is a value, since whoever has it asked for the speech. They are in its JSON only on request; else a hash
stands for them, which tells whether a text is the one meant. Whoever can guess a short text can confirm it by
that hash, and anyone can hear it in the sound.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.audio.wav import read_info
from pyomni.digests import short_key
from pyomni.errors import ArgumentError
from pyomni.options import SPLITS, SpeechOptions

__all__ = ["Issue", "Receipt", "codes_hash", "options_dict", "words_hash"]

FORMAT = 1
#: Bytes of a file that may be a receipt in JSON.
LARGEST = 64 << 20
#: Kinds of voices that have a name of the model's, and not a person's.
NAMED = "preset"


@dataclass(frozen=True)
class Receipt:
    """What made some speech.

    Attributes
    ----------
    model, model_hash : str
        Name of the file, and its `pyomni.metadata.fingerprint`; of several files, of all. The hash is empty
        where the file was gone or replaced by then.
    type : str
        Of the file's matrices, such as ``q8_0``.
    device, version : str
        What it ran on, and the version of pyomni.
    seed : int
    voice, voice_name, voice_hash : str
        Its kind, what it is called, and `Voice.digest`.
    language : str
        As asked for, or ``auto``.
    options : dict
        Fields of `SpeechOptions` that were not left to the defaults, without the seed.
    frames, codes_hash : int, str
        Frames of codes, and `codes_hash` of them.
    finish_reason : str
    words_hash : str
        `words_hash` of text, instruction and description; empty where the text is not known, as of one that
        arrived in pieces or a conversation's: then it cannot be made again from this.
    text, instruct, description : str or None
        The words themselves.
    """

    model: str
    model_hash: str
    type: str
    device: str
    version: str
    seed: int
    voice: str
    voice_name: str
    voice_hash: str
    language: str
    frames: int
    codes_hash: str
    finish_reason: str
    words_hash: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    text: str | None = None
    instruct: str | None = None
    description: str | None = None

    def public(self) -> Receipt:
        """Return it without words."""
        name = self.voice_name if self.voice == NAMED else ""
        return replace(self, text=None, instruct=None, description=None, voice_name=name)

    def to_dict(self, *, words: bool = False) -> dict[str, Any]:
        """Return plain values, ready for JSON; with the words only on request."""
        value = asdict(self if words else self.public())
        return {"receipt": FORMAT, **{key: v for key, v in value.items() if v is not None}}

    def to_json(self, *, words: bool = False) -> str:
        """Return one line of ASCII, fit for a header of HTTP too."""
        return json.dumps(self.to_dict(words=words), separators=(",", ":"))

    def info(self) -> dict[str, str]:
        """Return what a WAV file says of itself (`LIST`/`INFO`): never with words."""
        return {"ISFT": f"pyomni {self.version}", "ICMT": self.to_json()}

    @classmethod
    def from_dict(cls, value: Any) -> Receipt:
        """Return the receipt that plain values describe.

        Raises
        ------
        ArgumentError
            They do not, or are of a newer pyomni.
        """
        if not isinstance(value, Mapping) or not isinstance(value.get("receipt"), int):
            raise ArgumentError("the receipt is none, expected an object with 'receipt', a number")
        if value["receipt"] > FORMAT:
            raise ArgumentError(
                f"the receipt is of format {value['receipt']}, expected {FORMAT} or less: "
                "a newer pyomni made it"
            )
        given: dict[str, Any] = {}
        for f in fields(cls):
            if f.name in value:
                kind = {"seed": int, "frames": int, "options": dict}.get(f.name, str)
                found = value[f.name]
                if not isinstance(found, kind) or isinstance(found, bool):
                    raise ArgumentError(f"the receipt's {f.name} is {found!r}, expected {kind.__name__}")
                given[f.name] = found
            elif f.name in REQUIRED:
                raise ArgumentError(f"the receipt has no {f.name}, expected one")
        receipt = cls(**given)
        receipt.speech_options()
        return receipt

    @classmethod
    def read(cls, path: str | Path) -> Receipt:
        """Read one from a WAV file, from what ``pyomni speak --json`` printed, or from its own JSON.

        Raises
        ------
        ArgumentError
            The file cannot be read, or has none.
        """
        path = Path(path)
        try:
            if path.stat().st_size > LARGEST:
                with path.open("rb") as file:
                    head = file.read(4)
            else:
                head = raw = path.read_bytes()
            if head[:4] == b"RIFF":
                raw = read_info(path).get("ICMT", "").encode()
                if not raw:
                    raise ArgumentError(f"{path}: the WAV file has no receipt, expected one pyomni wrote")
            elif len(head) == 4:
                raise ArgumentError(f"{path}: is larger than {LARGEST >> 20} MiB, expected a receipt")
        except OSError as error:
            raise ArgumentError(
                f"receipt {str(path)!r} could not be read: {error.strerror or error}"
            ) from error
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            raise ArgumentError(f"{path}: is not JSON, expected a receipt or a WAV file with one") from None
        if isinstance(value, dict) and isinstance(value.get("receipt"), dict):
            value = value["receipt"]
        try:
            return cls.from_dict(value)
        except ArgumentError as error:
            raise ArgumentError(f"{path}: {error}") from None

    def speech_options(self) -> SpeechOptions:
        """Return the options to say it again with.

        Raises
        ------
        ArgumentError
            One is unknown, or out of its range.
        """
        known = {f.name for f in fields(SpeechOptions)}
        if unknown := sorted(set(self.options) - known):
            raise ArgumentError(f"the receipt has the option {unknown[0]!r}, expected those of SpeechOptions")
        try:
            return SpeechOptions(**{**self.options, "seed": self.seed})
        except TypeError as error:
            raise ArgumentError(f"the receipt's options do not fit ({error})") from None

    def differences(self, other: Receipt) -> list[str]:
        """Return sentences on what made another result another one, the weightiest first; none if equal."""
        said = {
            "model_hash": "model", "type": "type", "words_hash": "text", "voice_hash": "voice",
            "seed": "seed", "options": "options", "language": "language", "version": "pyomni",
            "device": "device", "frames": "frames", "codes_hash": "codes", "finish_reason": "ending",
        }  # fmt: skip
        return [
            f"{words} {getattr(self, name)} there, {getattr(other, name)} here"
            for name, words in said.items()
            if getattr(self, name) != getattr(other, name)
        ]


REQUIRED = frozenset(
    f.name
    for f in fields(Receipt)
    if f.name not in ("words_hash", "options", "text", "instruct", "description")
)


#: Makes the receipt of codes int32 [n_frames, n_groups] that ended for a reason.
Issue = Callable[[npt.NDArray[np.int32], str], Receipt]


def codes_hash(codes: npt.NDArray[np.integer]) -> str:
    """Return a hash of codes [n_frames, n_groups]: of their shape and their values as little-endian int32."""
    return short_key(repr(tuple(codes.shape)), np.ascontiguousarray(codes, "<i4").tobytes())


def words_hash(text: str, instruct: str | None, description: str | None) -> str:
    """Return a hash of what is said and how."""
    return short_key(text, instruct or "", description or "")


def options_dict(options: SpeechOptions) -> dict[str, Any]:
    """Return the options that were not left to the defaults, without the seed, as values of JSON."""
    found: dict[str, Any] = {}
    for f in fields(SpeechOptions):
        value = getattr(options, f.name)
        if f.name != "seed" and value != f.default and (f.name, value) != ("split", SPLITS[0]):
            value = value.item() if isinstance(value, np.generic) else value
            found[f.name] = value
    return found
