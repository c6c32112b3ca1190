"""The body of a request for speech: every field checked, and what it asks for."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyomni.api import SpeechRequest
from pyomni.errors import ArgumentError
from pyomni.options import SpeechOptions
from pyomni.server.failures import BadRequest, NotFound, TooLarge

__all__ = ["ALIASES", "FORMATS", "Asked", "decoded", "read_speech"]

#: Names of OpenAI's models, which any model here answers to.
ALIASES = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
#: Media types of `response_format`; aac is OpenAI's too, and libsndfile has no encoder of it.
FORMATS = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
#: OpenAI's voices: they stand for the model's speakers in this order, over again where those are fewer.
OPENAI_VOICES = (
    "alloy", "echo", "fable", "onyx", "nova", "shimmer", "ash", "ballad", "coral", "sage", "verse", "marin",
    "cedar",
)  # fmt: skip
#: Fields with their names in `SpeechOptions`.
OPTIONS = {
    "seed": "seed",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "repetition_penalty": "repetition_penalty",
    "max_new_tokens": "max_frames",
}


@dataclass(frozen=True)
class Asked:
    """One request for speech.

    Attributes
    ----------
    request : SpeechRequest
        Its voice is to be replaced by that of `clip`, if there is one.
    format : str
        Of `FORMATS`.
    stream : bool
        Whether sound is sent as it is made.
    events : bool
        Whether that is as server-sent events.
    clip : bytes or None
        A reference to clone.
    transcript : str or None
        What the clip says.
    """

    request: SpeechRequest
    format: str
    stream: bool
    events: bool
    clip: bytes | None
    transcript: str | None


def read_speech(body: Any, speakers: list[str], models: list[str], max_chars: int) -> Asked:
    """Check a body, parsed from JSON.

    Parameters
    ----------
    speakers : those of the model
    models : the names it answers to, `ALIASES` besides
    max_chars : of the text

    Raises
    ------
    BadRequest
        A field that is not what it has to be; `param` names it.
    """
    if not isinstance(body, Mapping):
        raise BadRequest(f"the body is {_kind(body)}, expected a JSON object")
    text = _text(body, "input", needed=True) or ""
    if not text.strip():
        raise BadRequest("input is empty, expected what to say", "input")
    if len(text) > max_chars:
        raise TooLarge(f"input has {len(text)} characters, expected at most {max_chars}", "input")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise BadRequest("input has half of a surrogate pair, expected text", "input")
    model = _text(body, "model")
    if model is not None and model not in (*models, *ALIASES):
        raise NotFound(f"model {model[:100]!r} is not here, expected {models[0]!r}", "model")
    _speed(body)
    options = {}
    for name, field in OPTIONS.items():
        if (value := body.get(name)) is not None:
            options[field] = value
            try:
                if isinstance(value, (bool, str)):
                    raise ArgumentError(f"{name} is {_kind(value)}, expected a number")
                SpeechOptions(**{field: value})
            except (ArgumentError, OverflowError) as error:
                raise BadRequest(str(error).replace(field, name), name) from None
    kind, stream, events = _output(body)
    clip = decoded(body["ref_audio"], "ref_audio") if body.get("ref_audio") is not None else None
    transcript = _text(body, "ref_text")
    if transcript is not None and clip is None:
        raise BadRequest("ref_text was given without ref_audio, expected the clip it is of", "ref_text")
    instruct = _text(body, "instructions") or _text(body, "instruct")
    request = SpeechRequest(
        text,
        None if clip is not None else _voice(body.get("voice"), speakers),
        _text(body, "language"),
        instruct,
        SpeechOptions(**options),
    )
    return Asked(request, kind, stream, events, clip, transcript)


def _speed(body: Mapping[str, Any]) -> None:
    speed = body.get("speed")
    if speed is None:
        return
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not 0.25 <= speed <= 4:
        raise BadRequest(f"speed is {str(speed)[:40]!r}, expected a number from 0.25 to 4", "speed")
    if speed != 1:
        raise BadRequest(f"speed is {speed}, expected 1: this server does not stretch speech", "speed")


def _output(body: Mapping[str, Any]) -> tuple[str, bool, bool]:
    kind = _text(body, "response_format") or "mp3"
    if kind not in FORMATS:
        why = ", for which there is no encoder here" if kind == "aac" else ""
        known = ", ".join(FORMATS)
        raise BadRequest(
            f"response_format is {kind[:40]!r}{why}, expected one of: {known}", "response_format"
        )
    stream_format = _text(body, "stream_format")
    if stream_format not in (None, "audio", "sse"):
        raise BadRequest(f"stream_format is {stream_format!r}, expected audio or sse", "stream_format")
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest(f"stream is {_kind(stream)}, expected true or false", "stream")
    # bare samples have no header that would need the end; those who ask for them play them as they come
    streamed = (stream_format is not None or kind == "pcm") if stream is None else stream
    return kind, streamed or stream_format == "sse", stream_format == "sse"


def _voice(voice: Any, speakers: list[str]) -> str | None:
    """Return the name of a voice; None is the model's own choice. Never a path."""
    if isinstance(voice, Mapping):
        voice = voice.get("id", 0)
    if voice is None:
        return None
    if not isinstance(voice, str):
        raise BadRequest(f'voice is {_kind(voice)}, expected a name or {{"id": name}}', "voice")
    name = voice.strip()
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


def decoded(value: Any, name: str) -> bytes:
    """Return the bytes of base64, or of a data URL; no other URL is ever fetched."""
    if not isinstance(value, str):
        raise BadRequest(f"{name} is {_kind(value)}, expected base64 or a data URL", name)
    if value[:5].lower() == "data:":
        head, comma, value = value.partition(",")
        if not comma or not head.endswith(";base64"):
            raise BadRequest(f"{name} is a data URL without ;base64, expected one with it", name)
    elif "://" in value[:64]:
        raise BadRequest(f"{name} is a URL, expected base64 or a data URL: nothing is fetched", name)
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"{name} is not base64, expected base64 or a data URL", name) from None


def _text(body: Mapping[str, Any], name: str, needed: bool = False) -> str | None:
    value = body.get(name)
    if value is None:
        if needed:
            raise BadRequest(f"{name} is missing, expected a text", name)
        return None
    if not isinstance(value, str):
        raise BadRequest(f"{name} is {_kind(value)}, expected a text", name)
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
