"""``POST /v1/audio/transcriptions``: what is said in a clip."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from pyomni.api.omni import TRANSCRIPT, transcript_messages
from pyomni.chat_options import ChatOptions
from pyomni.errors import UnsupportedModel
from pyomni.server.answers import sse_event, unless_gone
from pyomni.server.chat import EventStream, after, collected, first_of, submit
from pyomni.server.chat_fields import check_model, options_of
from pyomni.server.chat_job import ChatEvent, ChatJob, ChatRequest, Done, TextDelta
from pyomni.server.failures import BadRequest
from pyomni.server.forms import read_form
from pyomni.server.state import ChatState
from pyomni.server.values import text_of

__all__ = ["language_named", "transcriptions"]

#: Names of OpenAI's models, which any model here answers to.
ALIASES = ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe")
KINDS = ("json", "text", "verbose_json", "srt", "vtt")
#: Codes of ISO 639-1 for the languages that Qwen3-Omni hears; others are named in full.
LANGUAGES = {
    "ar": "arabic", "de": "german", "en": "english", "es": "spanish", "fr": "french", "id": "indonesian",
    "it": "italian", "ja": "japanese", "ko": "korean", "ms": "malay", "nl": "dutch", "pt": "portuguese",
    "ru": "russian", "th": "thai", "tr": "turkish", "ur": "urdu", "vi": "vietnamese", "yue": "cantonese",
    "zh": "chinese",
}  # fmt: skip
PROMPT_CHARS = 4096
TRUTH = {"true": True, "1": True, "false": False, "0": False, "": False}


@dataclass(frozen=True)
class _Asked:
    """One request: what to hear, and how to answer; `language` is as it was given."""

    clip: bytes
    request: ChatRequest
    kind: str
    language: str
    stream: bool


async def transcriptions(request: Request) -> Response:
    """``POST /v1/audio/transcriptions``."""
    state: ChatState = request.app.state.pyomni
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadRequest("the body is no form, expected multipart/form-data with a file", "file")
    asked = _read(*await read_form(request, "file"), state)
    end = time.monotonic() + state.settings.deadline

    async def begin() -> tuple[ChatJob, Any]:
        job = await submit(state, asked.request, end)
        return job, await (first_of(job) if asked.stream else collected(job))

    job, found = await unless_gone(request, begin)
    if asked.stream:
        return EventStream(job, _chunks(job, found))
    text, _, done = found
    return await _whole(asked, text.strip(), done)


def _read(fields: Mapping[str, str], clip: bytes | None, state: ChatState) -> _Asked:
    """Check a form."""
    if not clip:
        raise BadRequest("file is missing or empty, expected a clip", "file")
    if "audio" not in state.model.takes:
        raise UnsupportedModel("file was given, and this model does not hear")
    check_model(fields, (state.name, *ALIASES))
    kind = text_of(fields, "response_format") or "json"
    if kind not in KINDS:
        raise BadRequest(
            f"response_format is {kind[:40]!r}, expected one of: {', '.join(KINDS)}", "response_format"
        )
    units = {value for key, value in fields.items() if key.removesuffix("[]") == "timestamp_granularities"}
    if units - {"segment"}:
        raise BadRequest(
            "timestamp_granularities asks for more than segment, expected that: words have no times here",
            "timestamp_granularities",
        )
    stream = TRUTH.get(fields.get("stream", "").lower())
    if stream is None:
        raise BadRequest("stream is not a truth value, expected true or false", "stream")
    if stream and kind not in ("json", "text"):
        raise BadRequest(f"response_format is {kind!r} of a stream, expected json or text", "response_format")
    hint = text_of(fields, "prompt") or ""
    if len(hint) > PROMPT_CHARS:
        raise BadRequest(
            f"prompt has more than {PROMPT_CHARS} characters, expected at most so many", "prompt"
        )
    given = (fields.get("language") or "").strip().lower()
    language = language_named(given, "language")
    part = {"type": "audio", "audio": clip, "max_seconds": state.settings.max_audio}
    messages = transcript_messages(part, language, hint)
    return _Asked(clip, ChatRequest(messages, options=_options(fields)), kind, given, stream)


def language_named(given: str, param: str) -> str | None:
    """Return the language that a code or a name in small letters stands for; None for no letters.

    Raises
    ------
    BadRequest
        It can be neither.
    """
    language = LANGUAGES.get(given, given)
    if language and not (3 < len(language) <= 32 and language.replace(" ", "").isalpha()):
        raise BadRequest(
            f"{param} is {given[:40]!r}, expected a code such as en, or a name such as english", param
        )
    return language or None


def _options(fields: Mapping[str, str]) -> ChatOptions:
    """Return how the text is drawn: greedily, unless a temperature above 0 is asked for."""
    text = fields.get("temperature")
    if not text:
        return TRANSCRIPT
    try:
        temperature = float(text)
    except ValueError:
        raise BadRequest(f"temperature is {text[:40]!r}, expected a number", "temperature") from None
    options = ChatOptions(**options_of({"temperature": temperature}, {"temperature": "temperature"}))
    return options if temperature else TRANSCRIPT


async def _chunks(job: ChatJob, first: ChatEvent) -> AsyncIterator[bytes]:
    async for event in after(first, job):
        if isinstance(event, TextDelta):
            yield sse_event({"type": "transcript.text.delta", "delta": event.text})
        elif isinstance(event, Done):
            yield sse_event({"type": "transcript.text.done", "text": event.text, "usage": _usage(event)})


async def _whole(asked: _Asked, text: str, done: Done) -> Response:
    if asked.kind == "json":
        return JSONResponse({"text": text, "usage": _usage(done)})
    if asked.kind == "text":
        return PlainTextResponse(text + "\n")
    seconds = await asyncio.to_thread(_seconds, asked.clip)
    if asked.kind == "srt":
        return PlainTextResponse(f"1\n{_clock(0, ',')} --> {_clock(seconds, ',')}\n{text}\n\n")
    if asked.kind == "vtt":
        media = "text/vtt"
        return PlainTextResponse(
            f"WEBVTT\n\n{_clock(0, '.')} --> {_clock(seconds, '.')}\n{text}\n\n", media_type=media
        )
    segment = {"id": 0, "start": 0.0, "end": seconds, "text": text}
    about = {"task": "transcribe", "language": asked.language, "duration": seconds, "text": text}
    return JSONResponse({**about, "segments": [segment], "usage": _usage(done)})


def _usage(done: Done) -> dict[str, Any]:
    n_in, n_out = done.n_prompt, done.n_tokens
    return {"type": "tokens", "input_tokens": n_in, "output_tokens": n_out, "total_tokens": n_in + n_out}


def _seconds(clip: bytes) -> float:
    """Return how long a clip lasts that was heard before."""
    import soundfile

    from pyomni.pipelines.perceiving import decodable

    found = decodable(clip)
    if isinstance(found, bytes):
        info = soundfile.info(io.BytesIO(found))
        return round(info.frames / info.samplerate, 3)
    samples, rate = found
    return round(len(samples) / rate, 3)


def _clock(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"
