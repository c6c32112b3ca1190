"""The body of a request to converse: every field checked, and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pyomni.chat_options import ChatOptions
from pyomni.errors import ArgumentError, UnsupportedModel
from pyomni.options import SpeechOptions
from pyomni.server.chat_job import ChatRequest
from pyomni.server.failures import BadRequest, NotFound
from pyomni.server.names import OPENAI_VOICES
from pyomni.server.parts import Reader
from pyomni.server.tables import FORMATS
from pyomni.server.values import flag_of, kind_of, text_of

__all__ = ["CHAT_ALIASES", "ChatAsked", "Known", "check_model", "options_of", "read_chat", "speaker_of"]

#: Names of OpenAI's models, which any model here answers to.
CHAT_ALIASES = ("gpt-audio", "gpt-4o-audio-preview")
#: Fields with their names in `ChatOptions`; some are of vLLM.
OPTIONS = {
    "seed": "seed",
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
}
#: Fields that are refused unless they hold what does nothing.
IDLE: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "prediction": (),
    "web_search_options": (),
}
STOPS, STOP_CHARS, DEPTH = 4, 100, 32
ROLES = ("system", "developer", "user", "assistant", "tool")
#: What a message may hold beside its role and content, for the template.
EXTRA = ("name", "tool_calls", "tool_call_id", "reasoning_content")


class Known(Protocol):
    """What a request may name."""

    name: str
    speakers: list[str]
    takes_tools: bool

    def said(self, name: str) -> str:
        """Return the words of an earlier answer's sound; raises `NotFound`."""


@dataclass(frozen=True)
class ChatAsked:
    """One request.

    Attributes
    ----------
    request : ChatRequest
    format : str
        Of its sound, of `FORMATS`; pcm16 is ``pcm``.
    stream, usage : bool
        Whether it is answered as it is made, and whether the end says how much it was.
    """

    request: ChatRequest
    format: str
    stream: bool
    usage: bool


def read_chat(body: Any, reader: Reader, known: Known) -> ChatAsked:
    """Check a body, parsed from JSON; media are fetched here, so call it in a thread.

    Raises
    ------
    BadRequest
        A field that is not what it has to be; `param` names it.
    UnsupportedModel
        Something the model does not do.
    """
    if not isinstance(body, Mapping):
        raise BadRequest(f"the body is {kind_of(body)}, expected a JSON object")
    check_model(body, (known.name, *CHAT_ALIASES))
    for name, idle in IDLE.items():
        value = body.get(name)
        if value is not None and not any(value == one and type(value) is type(one) for one in idle):
            expected = f"{idle[0]!r}, or nothing" if idle else "nothing"
            raise BadRequest(f"{name} is not done here, expected {expected}", name)
    options = options_of(body, OPTIONS)
    speak = _speaks(body)
    voice, kind, stream, usage = None, "wav", flag_of(body, "stream") or False, _wants_usage(body)
    if speak:
        if not known.speakers:
            raise UnsupportedModel("modalities has audio, expected text alone: this model does not speak")
        voice, kind = _audio(body, known.speakers, stream)
    stop = _stop(body)
    if stop and speak:
        raise BadRequest("stop was given with audio, expected none: what was written is being said", "stop")
    request = ChatRequest(
        _messages(body.get("messages"), reader, known),
        speak,
        voice,
        ChatOptions(**options),
        SpeechOptions(seed=options.get("seed")),
        _hears_videos(body),
        _tools(body, known),
        stop,
    )
    return ChatAsked(request, kind, stream, usage)


def check_model(body: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Check `model`: the first name is the model's own.

    Raises
    ------
    NotFound
        It is none of them.
    """
    model = text_of(body, "model")
    if model is not None and model not in names:
        raise NotFound(f"model {model[:100]!r} is not here, expected {names[0]!r}", "model")


def options_of(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return options of `ChatOptions`, each checked; of two fields for one, the first counts.

    Raises
    ------
    BadRequest
        One is no number, or out of its range.
    """
    found: dict[str, Any] = {}
    for name, field in names.items():
        if (value := body.get(name)) is None:
            continue
        try:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ArgumentError(f"{name} is {kind_of(value)}, expected a number")
            one: dict[str, Any] = {field: value}
            ChatOptions(**one)
        except (ArgumentError, OverflowError) as error:
            raise BadRequest(str(error).replace(field, name), name) from None
        found.setdefault(field, value)
    return found


def _speaks(body: Mapping[str, Any]) -> bool:
    given = body.get("modalities")
    if given is None:
        return False
    known = isinstance(given, list) and all(one in ("text", "audio") for one in given)
    if not known or "text" not in given:
        raise BadRequest(
            'modalities is not ["text"] or ["text", "audio"], expected one of these', "modalities"
        )
    return "audio" in given


def _audio(body: Mapping[str, Any], speakers: list[str], stream: bool) -> tuple[str | None, str]:
    """Return the speaker, None for the model's own, and the format."""
    given = body.get("audio")
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise BadRequest(f"audio is {kind_of(given)}, expected an object of voice and format", "audio")
    kind = text_of(given, "format") or ("pcm16" if stream else "wav")
    kind = "pcm" if kind == "pcm16" else kind
    if kind not in FORMATS:
        known = ", ".join((*(one for one in FORMATS if one != "pcm"), "pcm16"))
        raise BadRequest(f"audio.format is {kind[:40]!r}, expected one of: {known}", "audio.format")
    if stream and kind != "pcm":
        raise BadRequest(f"audio.format is {kind!r} of a stream, expected pcm16", "audio.format")
    return speaker_of(given.get("voice"), speakers, "audio.voice"), kind


def speaker_of(voice: Any, speakers: Sequence[str], param: str) -> str | None:
    """Return the speaker that a name, or an object with it, stands for; None is the model's own.

    Raises
    ------
    BadRequest
        It is no name; `NotFound` where nobody is called so.
    """
    voice = voice.get("id", 0) if isinstance(voice, Mapping) else voice
    if voice is None:
        return None
    if not isinstance(voice, str):
        raise BadRequest(f"{param} is {kind_of(voice)}, expected a name", param)
    name = voice.strip().lower()
    if name in speakers:
        return name
    if name in OPENAI_VOICES and speakers:
        return speakers[OPENAI_VOICES.index(name) % len(speakers)]
    known = ", ".join(speakers) or "none"
    raise NotFound(f"{param} {voice[:100]!r} is not here, expected one of: {known}", param)


def _wants_usage(body: Mapping[str, Any]) -> bool:
    given = body.get("stream_options")
    if given is None:
        return False
    if not isinstance(given, Mapping):
        raise BadRequest(f"stream_options is {kind_of(given)}, expected an object", "stream_options")
    return flag_of(given, "include_usage") or False


def _stop(body: Mapping[str, Any]) -> tuple[str, ...]:
    given = body.get("stop")
    words = [given] if isinstance(given, str) else [] if given is None else given
    good = isinstance(words, list) and len(words) <= STOPS
    if not good or not all(isinstance(word, str) and 0 < len(word) <= STOP_CHARS for word in words):
        raise BadRequest(
            f"stop is not a text or a list of up to {STOPS}, of 1 to {STOP_CHARS} characters each", "stop"
        )
    return tuple(words)


def _hears_videos(body: Mapping[str, Any]) -> bool:
    given = body.get("mm_processor_kwargs")  # of vLLM
    return isinstance(given, Mapping) and (flag_of(given, "use_audio_in_video") or False)


def _tools(body: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """Return the variables of the template."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    if choice not in (None, "auto", "none"):
        raise BadRequest("tool_choice is not done here but for auto and none", "tool_choice")
    if tools is None or tools == []:
        return {}
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise BadRequest("tools is not a list of objects, expected one of functions", "tools")
    _check_depth(tools, "tools")
    if not known.takes_tools:
        raise UnsupportedModel("tools was given, and the model's chat template takes none")
    return {} if choice == "none" else {"tools": tools}


def _check_depth(value: Any, name: str, depth: int = DEPTH) -> None:
    """Refuse what is nested deeper than templates go."""
    if not depth:
        raise BadRequest(f"{name} is nested deeper than {DEPTH} levels, expected fewer", name)
    if isinstance(value, (Mapping, list)):
        for item in value.values() if isinstance(value, Mapping) else value:
            _check_depth(item, name, depth - 1)


def _messages(given: Any, reader: Reader, known: Known) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not given:
        raise BadRequest("messages is not a list of messages, expected at least one", "messages")
    found = []
    for index, message in enumerate(given):
        where = f"messages[{index}]"
        if not isinstance(message, Mapping):
            raise BadRequest(f"{where} is {kind_of(message)}, expected an object", where)
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise BadRequest(f"{where}.role is not one of: {', '.join(ROLES)}", f"{where}.role")
        extra = {key: message[key] for key in EXTRA if message.get(key) is not None}
        _check_depth(extra, where)
        if content is None and role == "assistant":
            content = _said(message.get("audio"), known, where)
        found.append({**extra, "role": role, "content": reader.content(content, f"{where}.content")})
    return found


def _said(audio: Any, known: Known, where: str) -> str:
    """Return the words of an assistant's message that names its sound, or only calls tools."""
    if audio is None:
        return ""
    name = audio.get("id") if isinstance(audio, Mapping) else None
    if not isinstance(name, str):
        raise BadRequest(f"{where}.audio has no id, expected that of an earlier answer", f"{where}.audio")
    return known.said(name)
