"""The body of a request for speech: every field checked, and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyomni.api import SpeechRequest
from pyomni.audio import aac, tempo
from pyomni.options import SpeechOptions
from pyomni.server.failures import BadRequest
from pyomni.server.names import Served, check_task, language_of_model, voice_of
from pyomni.server.schema import check
from pyomni.server.tables import FORMATS, OPTIONS, SPEECH, speech_schema
from pyomni.server.values import decoded
from pyomni.voices import Voice

__all__ = ["Asked", "read_manner", "read_speech"]

#: What all fields but the text have to be.
MANNER = {"type": "object", "properties": {name: one for name, one in SPEECH.items() if name != "input"}}


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
    check(body, speech_schema(max_chars))
    return read_manner(body, served, body["input"])


def read_manner(body: Mapping[str, Any], served: Served, text: Any) -> Asked:
    """Check all fields but `input`, for a text that is here or still on its way; raises as `read_speech`."""
    check(body, MANNER)
    language = language_of_model(body, served)
    check_task(body, served)
    speed = _speed(body)
    kind, stream, events = _output(body)
    clip = decoded(body["ref_audio"], "ref_audio") if body.get("ref_audio") is not None else None
    transcript = body.get("ref_text")
    if transcript is not None and clip is None:
        raise BadRequest("ref_text was given without ref_audio, expected the clip it is of", "ref_text")
    if body.get("x_vector_only_mode"):
        transcript = None
    embedding = _embedding(body, clip)
    voice: str | Voice | None = embedding
    if embedding is None and clip is None:
        voice = voice_of(body.get("voice"), served)
    options = {field: body[name] for name, field in OPTIONS.items() if body.get(name) is not None}
    request = SpeechRequest(
        text,
        voice,
        body.get("language") or language,
        body.get("instructions") or body.get("instruct"),
        SpeechOptions(**options),
    )
    return Asked(request, kind, stream, events, clip, transcript, speed)


def _speed(body: Mapping[str, Any]) -> float:
    speed = body.get("speed")
    if speed not in (None, 1) and (reason := tempo.why_not()) is not None:
        raise BadRequest(f"speed is {speed}, expected 1: {reason}", "speed")
    return 1.0 if speed is None else float(speed)


def _embedding(body: Mapping[str, Any], clip: bytes | None) -> Voice | None:
    """Return the voice of a speaker's embedding, whose width `Live.prepare` checks."""
    name, value = "speaker_embedding", body.get("speaker_embedding")
    if value is None:
        return None
    if clip is not None:
        raise BadRequest(f"ref_audio and {name} were both given, expected one of them", name)
    return Voice.clone([float(number) for number in value])


def _output(body: Mapping[str, Any]) -> tuple[str, bool, bool]:
    kind, stream_format = body.get("response_format") or "mp3", body.get("stream_format")
    if kind == "aac" and (why := aac.why_not()) is not None:
        known = ", ".join(name for name in FORMATS if name != kind)
        raise BadRequest(
            f"response_format is {kind!r} and cannot be written: {why}, expected one of: {known}",
            "response_format",
        )
    stream = body.get("stream")
    # bare samples have no header that would need the end; those who ask for them play them as they come
    streamed = (stream_format is not None or kind == "pcm") if stream is None else stream
    return kind, streamed or stream_format == "sse", stream_format == "sse"
