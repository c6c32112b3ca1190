"""What requests call things: models, tasks and voices, and what those are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pyomni.server.failures import BadRequest, NotFound
from pyomni.server.values import kind_of, text_of

__all__ = ["ALIASES", "LANGUAGES", "Served", "check_task", "known_voices", "language_of_model", "voice_of"]

#: Names of OpenAI's models, which any model here answers to.
ALIASES = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
#: What may follow one of those: ``tts-1-es`` speaks Spanish.
LANGUAGES = {
    "de": "german", "en": "english", "es": "spanish", "fr": "french", "it": "italian", "ja": "japanese",
    "ko": "korean", "pt": "portuguese", "ru": "russian", "zh": "chinese",
}  # fmt: skip
#: OpenAI's voices: they stand for the model's speakers in this order, over again where those are fewer.
OPENAI_VOICES = (
    "alloy", "echo", "fable", "onyx", "nova", "shimmer", "ash", "ballad", "coral", "sage", "verse", "marin",
    "cedar",
)  # fmt: skip
#: `task_type` of vllm-omni, letters alone, and the kind of model that does it.
TASKS = {"customvoice": "custom_voice", "voicedesign": "voice_design", "base": "base"}


class Served(NamedTuple):
    """The model that requests are made of: what it is called, its kind, its speakers and languages."""

    name: str
    kind: str
    speakers: Sequence[str]
    languages: Sequence[str]


def language_of_model(body: Mapping[str, Any], served: Served) -> str | None:
    """Check `model`, and return the language that its name asks for, if any.

    Raises
    ------
    NotFound
        It is not served, or its language is not the model's.
    """
    model = text_of(body, "model")
    if model in (None, served.name, *ALIASES):
        return None
    alias, _, code = str(model).rpartition("-")
    language = LANGUAGES.get(code.lower())
    if alias in ALIASES and language is not None:
        if language in served.languages:
            return language
        known = ", ".join(served.languages) or "none"
        raise NotFound(
            f"model {model!r} asks for {language}, expected a language of the model: {known}", "model"
        )
    raise NotFound(f"model {str(model)[:100]!r} is not here, expected {served.name!r}", "model")


def check_task(body: Mapping[str, Any], served: Served) -> None:
    """Check `task_type`, which says what kind of model is expected.

    Raises
    ------
    BadRequest
        There is no such kind, or the model is of another.
    """
    task = text_of(body, "task_type")
    if task is None:
        return
    kind = TASKS.get("".join(c for c in task.lower() if c.isalpha()))
    if kind is None:
        known = "CustomVoice, VoiceDesign or Base"
        raise BadRequest(f"task_type is {task[:40]!r}, expected {known}", "task_type")
    if kind != served.kind:
        raise BadRequest(f"task_type is {task!r}, expected that of the model: {served.kind}", "task_type")


def voice_of(voice: Any, served: Served) -> str | None:
    """Return the name of a voice; None is the model's own choice. Never a path.

    Raises
    ------
    BadRequest
        It is no name; `NotFound` where nothing is called so.
    """
    if isinstance(voice, Mapping):
        voice = voice.get("id", 0)
    if voice is None:
        return None
    if not isinstance(voice, str):
        raise BadRequest(f'voice is {kind_of(voice)}, expected a name or {{"id": name}}', "voice")
    name, speakers = voice.strip(), served.speakers
    if name.lower() in (*speakers, *known_voices()):
        return name
    if name.lower() in OPENAI_VOICES:
        index = OPENAI_VOICES.index(name.lower())
        return speakers[index % len(speakers)] if speakers else None
    known = ", ".join([*speakers, *known_voices()]) or "none"
    raise NotFound(f"voice {name[:100]!r} is not here, expected one of: {known}", "voice")


def known_voices() -> list[str]:
    """Return the names of the saved voices."""
    from pyomni.voices import library

    return library.names()
