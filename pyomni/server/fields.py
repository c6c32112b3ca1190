"""The body of a request for speech: every field checked, and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyomni.api import SpeechRequest
from pyomni.audio import aac, tempo
from pyomni.errors import ArgumentError
from pyomni.options import SpeechOptions
from pyomni.server.failures import BadRequest, TooLarge
from pyomni.server.names import Served, check_task, language_of_model, voice_of
from pyomni.server.values import decoded, flag_of, kind_of, text_of
from pyomni.voices import Voice

__all__ = ["FORMATS", "Asked", "read_manner", "read_speech"]

#: Media types of `response_format`.
FORMATS = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
#: Fields with their names in `SpeechOptions`.
OPTIONS = {
    "seed": "seed",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "repetition_penalty": "repetition_penalty",
    "max_new_tokens": "max_frames",
}
#: Numbers of a speaker's embedding, more than any model's.
MOST_NUMBERS = 1 << 14
#: None of those is as large.
LARGEST = 1e6


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
    speed : float
        1 leaves the samples as they are.
    """

    request: SpeechRequest
    format: str
    stream: bool
    events: bool
    clip: bytes | None
    transcript: str | None
    speed: float


def read_speech(body: Any, served: Served, max_chars: int) -> Asked:
    """Check a body, parsed from JSON.

    Parameters
    ----------
    max_chars : of the text

    Raises
    ------
    BadRequest
        A field that is not what it has to be; `param` names it.
    """
    if not isinstance(body, Mapping):
        raise BadRequest(f"the body is {kind_of(body)}, expected a JSON object")
    text = text_of(body, "input", needed=True) or ""
    if not text.strip():
        raise BadRequest("input is empty, expected what to say", "input")
    if len(text) > max_chars:
        raise TooLarge(f"input has {len(text)} characters, expected at most {max_chars}", "input")
    return read_manner(body, served, text)


def read_manner(body: Mapping[str, Any], served: Served, text: Any) -> Asked:
    """Check all fields but `input`, for a text that is here or still on its way; raises as `read_speech`."""
    language = language_of_model(body, served)
    check_task(body, served)
    _whole(body, "initial_codec_chunk_frames")
    speed = _speed(body)
    kind, stream, events = _output(body)
    clip = decoded(body["ref_audio"], "ref_audio") if body.get("ref_audio") is not None else None
    transcript = text_of(body, "ref_text")
    if transcript is not None and clip is None:
        raise BadRequest("ref_text was given without ref_audio, expected the clip it is of", "ref_text")
    if flag_of(body, "x_vector_only_mode"):
        transcript = None
    embedding = _embedding(body, clip)
    voice: str | Voice | None = embedding
    if embedding is None and clip is None:
        voice = voice_of(body.get("voice"), served)
    request = SpeechRequest(
        text,
        voice,
        text_of(body, "language") or language,
        text_of(body, "instructions") or text_of(body, "instruct"),
        SpeechOptions(**_options(body)),
    )
    return Asked(request, kind, stream, events, clip, transcript, speed)


def _options(body: Mapping[str, Any]) -> dict[str, Any]:
    options = {}
    for name, field in OPTIONS.items():
        if (value := body.get(name)) is not None:
            options[field] = value
            try:
                if isinstance(value, (bool, str)):
                    raise ArgumentError(f"{name} is {kind_of(value)}, expected a number")
                SpeechOptions(**{field: value})
            except (ArgumentError, OverflowError) as error:
                raise BadRequest(str(error).replace(field, name), name) from None
    return options


def _speed(body: Mapping[str, Any]) -> float:
    speed = body.get("speed")
    if speed is None:
        return 1.0
    try:
        found = tempo.check_speed(speed)
    except ArgumentError as error:
        raise BadRequest(str(error), "speed") from None
    if found != 1 and (reason := tempo.why_not()) is not None:
        raise BadRequest(f"speed is {speed}, expected 1: {reason}", "speed")
    return found


def _whole(body: Mapping[str, Any], name: str) -> None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise BadRequest(f"{name} is {str(value)[:40]}, expected a whole number from 0", name)


def _embedding(body: Mapping[str, Any], clip: bytes | None) -> Voice | None:
    """Return the voice of a speaker's embedding, whose width `Live.prepare` checks."""
    name, value = "speaker_embedding", body.get("speaker_embedding")
    if value is None:
        return None
    if clip is not None:
        raise BadRequest(f"ref_audio and {name} were both given, expected one of them", name)
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_NUMBERS:
        raise BadRequest(f"{name} is no list of numbers, expected one as long as the model is wide", name)
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < LARGEST:
            raise BadRequest(f"{name} holds {str(number)[:40]}, expected numbers", name)
    return Voice.clone([float(number) for number in value])


def _output(body: Mapping[str, Any]) -> tuple[str, bool, bool]:
    kind = text_of(body, "response_format") or "mp3"
    why = aac.why_not() if kind == "aac" else None
    if kind not in FORMATS or why is not None:
        known = ", ".join(name for name in FORMATS if name != kind)
        why = "" if why is None else f" and cannot be written: {why}"
        raise BadRequest(
            f"response_format is {kind[:40]!r}{why}, expected one of: {known}", "response_format"
        )
    stream_format = text_of(body, "stream_format")
    if stream_format not in (None, "audio", "sse"):
        raise BadRequest(f"stream_format is {stream_format!r}, expected audio or sse", "stream_format")
    stream = flag_of(body, "stream")
    # bare samples have no header that would need the end; those who ask for them play them as they come
    streamed = (stream_format is not None or kind == "pcm") if stream is None else stream
    return kind, streamed or stream_format == "sse", stream_format == "sse"
