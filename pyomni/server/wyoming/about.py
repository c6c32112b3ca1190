"""What the server says of itself, and how a client's words for a voice are ours."""

from __future__ import annotations

from typing import Any

from wyoming.info import Attribution, Info, TtsProgram, TtsVoice

from pyomni import __version__
from pyomni.server.failures import BadRequest
from pyomni.server.names import LANGUAGES, known_voices
from pyomni.server.state import State
from pyomni.server.tables import OPTIONS

__all__ = ["fields_of", "info"]

#: Tags of languages, as Home Assistant has them; dialects have none that it knows.
TAGS = {name: tag for tag, name in LANGUAGES.items()}
#: Fields beside those of Wyoming, with the names they have over HTTP.
MORE = (*OPTIONS, "instructions")


def info(state: State) -> Info:
    """Return the voices: speakers of the model, saved ones, and the model itself where it has no speakers."""
    speakers = state.model.speakers
    names = list(dict.fromkeys([*speakers, *known_voices()]))
    if not speakers:
        names.insert(0, state.name)
    languages = [TAGS[name] for name in state.model.languages if name in TAGS] or list(state.model.languages)
    about: dict[str, Any] = {
        "attribution": Attribution(name="pyomni", url=""),
        "installed": True,
        "version": __version__,
    }
    voices = [TtsVoice(name=name, description=name, languages=languages, **about) for name in names]
    program = TtsProgram(
        name="pyomni",
        description=f"{state.name}, spoken by pyomni",
        voices=voices,
        supports_synthesize_streaming=True,
        **about,
    )
    return Info(tts=[program])


def fields_of(data: dict[str, Any], state: State) -> dict[str, Any]:
    """Return the fields of ``synthesize`` or ``synthesize-start``, without text, as a body over HTTP has.

    Raises
    ------
    BadRequest
        A voice that is no object, or a text that is not plain.
    """
    if data.get("text_format") not in (None, "text"):
        raise BadRequest(f"text_format is {str(data['text_format'])[:40]!r}, expected text", "text_format")
    voice = data.get("voice") or {}
    if not isinstance(voice, dict):
        raise BadRequest("voice is not an object, expected one with a name, a speaker or a language", "voice")
    fields = {name: data[name] for name in MORE if data.get(name) is not None}
    name, speaker = voice.get("name"), voice.get("speaker")
    if speaker is not None:  # the one of several in what `name` calls
        fields["voice"] = speaker
    elif name is not None and name != state.name:
        fields["voice"] = name
    language = voice.get("language")
    if isinstance(language, str):
        tag = language.replace("_", "-").split("-")[0].lower()
        language = LANGUAGES.get(tag, language)
    if language is not None:
        fields["language"] = language
    return fields
