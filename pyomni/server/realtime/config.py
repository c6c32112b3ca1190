"""What a session is told to be, by ``session.update`` and, for one answer, by ``response.create``.

The fields of OpenAI's general release are nested (``audio.output.voice``), those of the beta flat
(``voice``); both are read, and a session is described in the way its client speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyomni.chat_options import ChatOptions
from pyomni.errors import ArgumentError
from pyomni.options import SpeechOptions
from pyomni.server.chat_fields import speaker_of
from pyomni.server.failures import BadRequest
from pyomni.server.realtime.hearing import Turns, read_turns
from pyomni.server.realtime.items import checked_text
from pyomni.server.realtime.sound import RATE
from pyomni.server.settings import Settings
from pyomni.server.transcriptions import language_named

__all__ = ["Config", "Offered"]

#: Fields that are taken and change nothing here.
UNUSED = {
    "type", "object", "id", "model", "include", "tracing", "truncation", "prompt", "reasoning", "expires_at",
    "parallel_tool_calls", "noise_reduction", "input_audio_noise_reduction", "tool_choice", "client_secret",
    "conversation", "input", "metadata",
}  # fmt: skip
#: Characters of the name of a model or language.
LONGEST_NAME = 60
FORMATS = ({"type": "audio/pcm", "rate": RATE}, {"type": "audio/pcm"}, "pcm16")


@dataclass(frozen=True)
class Offered:
    """What the model and the server offer.

    Attributes
    ----------
    name : str
        Of the model.
    sample_rate : int
        Of its speech, Hz; 0 where it does not speak.
    speakers : sequence of str
        Its voices.
    takes : tuple of str
        Media it takes.
    settings : Settings
        Limits.
    """

    name: str
    sample_rate: int
    speakers: Sequence[str]
    takes: tuple[str, ...]
    settings: Settings


@dataclass(frozen=True)
class Config:
    """Settings of a session, or of one answer.

    Attributes
    ----------
    speak : bool
        Answer by voice; else in text.
    instructions : str
        The system message.
    voice : str or None
        As the client named it.
    speaker : str or None
        Of the model; None takes its own.
    turns : Turns or None
        None is push to talk.
    transcription : dict or None
        How turns are written down, as the client gave it: ``model``, which changes nothing, and ``language``.
    max_tokens : int or None
    temperature : float or None
    seed : int or None
    """

    speak: bool
    instructions: str = ""
    voice: str | None = None
    speaker: str | None = None
    turns: Turns | None = None
    transcription: Mapping[str, str] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None

    def updated(self, given: Any, offered: Offered, where: str = "session") -> Config:
        """Return the settings with what an event changes.

        Raises
        ------
        BadRequest
            A field that is not what it has to be; `param` names it.
        """
        reader = _Reader(self, offered)
        reader.read(_object(given, where), where, TOP)
        return reader.config

    @property
    def options(self) -> tuple[ChatOptions, SpeechOptions]:
        """How an answer is written and spoken."""
        writing = ChatOptions(seed=self.seed, max_tokens=self.max_tokens, temperature=self.temperature)
        return writing, SpeechOptions(seed=self.seed)

    def to_dict(self, beta: bool) -> dict[str, Any]:
        """Return it as events show it."""
        turns = None if self.turns is None else {"type": "server_vad", **vars(self.turns)}
        limit = "inf" if self.max_tokens is None else self.max_tokens
        shared = {"instructions": self.instructions, "tools": [], "tool_choice": "auto"}
        if beta:
            return {
                "modalities": ["audio", "text"] if self.speak else ["text"],
                "voice": self.voice,
                "input_audio_format": "pcm16",
                "output_audio_format": "pcm16",
                "input_audio_transcription": self.transcription,
                "turn_detection": turns,
                "temperature": self.temperature,
                "max_response_output_tokens": limit,
                **shared,
            }
        pcm = {"type": "audio/pcm", "rate": RATE}
        heard: dict[str, Any] = {"format": pcm, "transcription": self.transcription}
        heard |= {"noise_reduction": None, "turn_detection": turns}
        return {
            "type": "realtime",
            "output_modalities": ["audio"] if self.speak else ["text"],
            "audio": {"input": heard, "output": {"format": pcm, "voice": self.voice, "speed": 1.0}},
            "max_output_tokens": limit,
            **shared,
        }


class _Reader:
    """Reads the fields of an event into settings."""

    def __init__(self, config: Config, offered: Offered) -> None:
        self.config, self.offered = config, offered

    def read(self, given: Mapping[str, Any], where: str, fields: Mapping[str, Field]) -> None:
        for name, value in given.items():
            path = f"{where}.{name}"
            if name in fields:
                fields[name](self, value, path)
            elif name not in UNUSED:
                raise BadRequest(f"{path[:100]} is not known here, expected it left out", path[:100])

    def set(self, **changes: Any) -> None:
        self.config = replace(self.config, **changes)

    def audio(self, value: Any, where: str) -> None:
        self.read(_object(value, where), where, {"input": _Reader.input, "output": _Reader.output})

    def input(self, value: Any, where: str) -> None:
        self.read(_object(value, where), where, INPUT)

    def output(self, value: Any, where: str) -> None:
        self.read(_object(value, where), where, OUTPUT)

    def modalities(self, value: Any, where: str) -> None:
        kinds = value if isinstance(value, list) and value else [None]
        if not all(kind in ("audio", "text") for kind in kinds):
            raise BadRequest(f'{where} is {str(value)[:60]}, expected ["audio"] or ["text"]', where)
        if "audio" in kinds and not self.offered.sample_rate:
            raise BadRequest(f'{where} has audio, expected ["text"]: this model does not speak', where)
        self.set(speak="audio" in kinds)

    def instructions(self, value: Any, where: str) -> None:
        text = "" if value is None else value
        if not isinstance(text, str):
            raise BadRequest(f"{where} is not a text, expected one", where)
        self.set(instructions=checked_text(text, where, self.offered.settings.max_chars))

    def voice(self, value: Any, where: str) -> None:
        speaker = speaker_of(value, self.offered.speakers, where)
        name = value["id"] if isinstance(value, Mapping) else value
        self.set(voice=name, speaker=speaker)

    def format(self, value: Any, where: str) -> None:
        if value is not None and value not in FORMATS:
            raise BadRequest(f"{where} is {str(value)[:60]}, expected audio/pcm at 24000 Hz", where)

    def speed(self, value: Any, where: str) -> None:
        if value not in (None, 1) or isinstance(value, bool):
            raise BadRequest(f"{where} is {str(value)[:40]}, expected 1: speech is not stretched", where)

    def turn_detection(self, value: Any, where: str) -> None:
        self.set(turns=read_turns(value, self.config.turns, where))

    def transcription(self, value: Any, where: str) -> None:
        if value is None:
            self.set(transcription=None)
            return
        given = _object(value, where)
        kept = {name: text for name in ("model", "language") if (text := given.get(name)) is not None}
        if "audio" not in self.offered.takes:
            raise BadRequest(f"{where} is given, expected null: this model does not hear", where)
        for name, text in kept.items():
            if not isinstance(text, str) or len(text) > LONGEST_NAME:
                raise BadRequest(f"{where}.{name} is no short text, expected a name", f"{where}.{name}")
        language_named(kept.get("language", "").strip().lower(), f"{where}.language")
        self.set(transcription=kept)

    def empty(self, value: Any, where: str) -> None:
        if value:
            raise BadRequest(f"{where} is given, expected none: there is no such thing here", where)

    def max_tokens(self, value: Any, where: str) -> None:
        self.set(max_tokens=None if value == "inf" else self._checked("max_tokens", value, where))

    def temperature(self, value: Any, where: str) -> None:
        self.set(temperature=self._checked("temperature", value, where))

    def seed(self, value: Any, where: str) -> None:
        self.set(seed=self._checked("seed", value, where))

    def _checked(self, name: str, value: Any, where: str) -> Any:
        try:
            ChatOptions(**{name: value})
        except (ArgumentError, TypeError, ValueError, OverflowError) as error:
            raise BadRequest(str(error).replace(name, where, 1)[:300], where) from None
        return value


Field = Callable[[_Reader, Any, str], None]
INPUT: Mapping[str, Field] = {
    "format": _Reader.format,
    "turn_detection": _Reader.turn_detection,
    "transcription": _Reader.transcription,
}
OUTPUT: Mapping[str, Field] = {"format": _Reader.format, "voice": _Reader.voice, "speed": _Reader.speed}
TOP: Mapping[str, Field] = {
    "audio": _Reader.audio,
    "output_modalities": _Reader.modalities,
    "modalities": _Reader.modalities,
    "instructions": _Reader.instructions,
    "voice": _Reader.voice,
    "speed": _Reader.speed,
    "input_audio_format": _Reader.format,
    "output_audio_format": _Reader.format,
    "input_audio_transcription": _Reader.transcription,
    "turn_detection": _Reader.turn_detection,
    "tools": _Reader.empty,
    "max_output_tokens": _Reader.max_tokens,
    "max_response_output_tokens": _Reader.max_tokens,
    "temperature": _Reader.temperature,
    "seed": _Reader.seed,
}


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadRequest(f"{where} is not an object, expected one", where)
    return value
