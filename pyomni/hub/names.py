"""What a model's name means: ``qwen3-tts-0.6b-customvoice:q8_0``, ``owner/repo``, ``owner/repo:bf16``."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from pyomni.errors import ArgumentError

__all__ = ["KNOWN", "TYPES", "Name", "closest"]

#: Short names: the repository, and the type it becomes where none is asked for. An Omni model has 30 billion
#: weights, and few machines hold those in 8 bits.
KNOWN: dict[str, tuple[str, str]] = {
    "qwen3-tts-0.6b-base": ("Qwen/Qwen3-TTS-12Hz-0.6B-Base", "q8_0"),
    "qwen3-tts-0.6b-customvoice": ("Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice", "q8_0"),
    "qwen3-tts-1.7b-base": ("Qwen/Qwen3-TTS-12Hz-1.7B-Base", "q8_0"),
    "qwen3-tts-1.7b-customvoice": ("Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice", "q8_0"),
    "qwen3-tts-1.7b-voicedesign": ("Qwen/Qwen3-TTS-12Hz-1.7B-VoiceDesign", "q8_0"),
    "qwen3-omni-30b-a3b-instruct": ("Qwen/Qwen3-Omni-30B-A3B-Instruct", "q4_k"),
    "qwen3-omni-30b-a3b-thinking": ("Qwen/Qwen3-Omni-30B-A3B-Thinking", "q4_k"),
    "qwen3-omni-30b-a3b-captioner": ("Qwen/Qwen3-Omni-30B-A3B-Captioner", "q4_k"),
}
DEFAULT_TYPE = "q8_0"
#: Which type is taken where none is named and the default one is not there.
TYPES = ("q8_0", "bf16", "f16", "f32", "q6_k", "q5_k", "q4_k", "iq4_nl", "q4_0")

_BY_REPO = {repo.lower(): short for short, (repo, _) in KNOWN.items()}
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"  # "--" and ".." are refused below
_REPO = re.compile(rf"{_PART}/{_PART}")


@dataclass(frozen=True)
class Name:
    """A name taken apart.

    Attributes
    ----------
    text : short name, or ``owner/repo`` where there is none
    repo : ``owner/repo``
    type : key of `convert.FILE_TYPES`, or None
    default : the type where none is named
    """

    text: str
    repo: str
    type: str | None
    default: str

    @classmethod
    def parse(cls, text: str) -> Name | None:
        """Take a name apart; None where it is none: no short name and not ``owner/repo``.

        Raises
        ------
        ArgumentError
            A name with an unknown type behind the colon.
        """
        name, colon, kind = text.strip().partition(":")
        short = name.lower() if name.lower() in KNOWN else _BY_REPO.get(name.lower())
        if short is None and not _is_repo(name):
            return None
        if colon and kind.lower() not in TYPES:
            raise ArgumentError(f"{text!r}: type {kind!r} is unknown, expected one of {', '.join(TYPES)}")
        named = kind.lower() if colon else None
        if short is None:
            return cls(name, name, named, DEFAULT_TYPE)
        repo, default = KNOWN[short]
        return cls(short, repo, named, default)

    @classmethod
    def expect(cls, text: str) -> Name:
        """Take a name apart, or say what a name is.

        Raises
        ------
        ArgumentError
            It is none, or its type is unknown.
        """
        name = cls.parse(text)
        if name is None:
            raise ArgumentError(
                f"{text!r} is no model's name{closest(text)}, expected owner/repo or one that "
                "`pyomni pull --list` shows"
            )
        return name

    @property
    def stem(self) -> str:
        """What files are called after it: ``owner--repo`` cannot be another's, hubs refuse two dashes."""
        return self.text.replace("/", "--")

    def __str__(self) -> str:
        return f"{self.text}:{self.type}" if self.type else self.text


def closest(text: str) -> str:
    """Return `` (did you mean ...?)`` where a short name is like the text, else nothing."""
    found = difflib.get_close_matches(text.lower().partition(":")[0], KNOWN, n=1, cutoff=0.8)
    return f" (did you mean {found[0]}?)" if found else ""


def _is_repo(text: str) -> bool:
    return (
        bool(_REPO.fullmatch(text)) and "--" not in text and ".." not in text and not text.endswith(".gguf")
    )
