"""Arguments to a plan: everything that can be wrong with a request is found here, before a component runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pyomni.errors import ArgumentError, UnsupportedModel
from pyomni.metadata import SpeechMetadata
from pyomni.options import SpeechOptions
from pyomni.pipelines import prompt
from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.voices import FAMILY, Voice

if TYPE_CHECKING:
    from pyomni.text.tokenizer import Tokenizer

__all__ = ["AnyVoice", "Planner", "find_voice"]

#: A voice, the name of a speaker or of a saved voice, or a voice file; None is the model's own choice.
AnyVoice = str | os.PathLike[str] | Voice | None


class Planner:
    """Checks requests to one model and lays them out; see `SpeechModel.speak` for the arguments."""

    def __init__(self, meta: SpeechMetadata, engine: SpeechEngine) -> None:
        self._meta, self._engine = meta, engine
        self._tokenizer: Tokenizer | None = None  # built on first use

    def plan(
        self,
        text: str | Iterable[str],
        voice: AnyVoice,
        language: str | None,
        instruct: str | None,
        options: SpeechOptions,
    ) -> Plan:
        """Check and lay out one request, without touching a component."""
        meta = self._meta
        self._engine.require("talker", "code_predictor")
        if self._tokenizer is None:
            self._tokenizer = meta.tokenizer()
        who = find_voice(meta, voice)
        speaker = who.name if who.kind == "preset" else None
        whole = text if isinstance(text, str) else "".join(text)
        ids = prompt.text_ids(self._tokenizer, whole)
        settings = options.resolve(meta.defaults, n_text=len(ids), streaming_layout=meta.streaming_layout)
        reference = None
        if who.codes is not None and who.transcript is not None:
            said = prompt.text_ids(self._tokenizer, who.transcript, "transcript")
            reference = prompt.Reference(tuple(said), len(who.codes))
        plan = prompt.layout(
            meta,
            self._tokenizer,
            ids,
            language=prompt.language_id(meta, language, speaker),
            speaker=prompt.SPEAKER_ROW
            if speaker is None and who.embedding is not None
            else _id(meta, speaker),
            instruct=self._instruction(self._tokenizer, who, voice, instruct),
            reference=reference,
            streaming=settings.streaming_layout,
        )
        fit = self._engine.fit(plan, settings, frames_asked=options.max_frames is not None)
        return Plan(fit.layout, fit.options, who.embedding, who.codes)

    def _instruction(
        self, tokenizer: Tokenizer, who: Voice, voice: AnyVoice, instruct: str | None
    ) -> list[int]:
        """Return the ids of the instruction, which for a voice design model is the description."""
        meta = self._meta
        if instruct is not None and not isinstance(instruct, str):
            raise ArgumentError(f"instruct is {instruct!r}, expected a string")
        if who.kind == "design" and instruct:
            raise ArgumentError("a described voice and an instruction were both given, expected one of them")
        words = who.description if who.kind == "design" else instruct or ""
        ids = prompt.instruct_ids(tokenizer, meta, words)
        if ids and not meta.instruct:
            raise UnsupportedModel(
                f"an instruction was given to a {meta.model_type} model of size {meta.model_size}, "
                "which was not trained to follow one; expected none"
            )
        if not ids and voice is None and meta.model_type == "voice_design":
            raise ArgumentError(
                "no description was given to a voice_design model, expected one: "
                "Voice.design(...), --design, or Voice.none() for a voice it makes up"
            )
        return ids


def find_voice(meta: SpeechMetadata, voice: AnyVoice) -> Voice:
    """Return the voice meant, once it is sure that this model can speak with it.

    A string is a speaker of the model, else a voice file where it looks like a path, else a saved voice.

    Raises
    ------
    ArgumentError
        There is no such voice, or it does not fit the model.
    """
    if voice is None:
        speaker = next(iter(meta.speakers), None)
        return Voice.none() if speaker is None else Voice.preset(speaker)
    if not isinstance(voice, Voice):
        voice = _named(meta, voice)
    if voice.kind == "preset" and voice.name not in meta.speakers:
        raise ArgumentError(f"voice {voice.name!r} is not in this model, expected one of: {_known(meta)}")
    if voice.kind == "design" and meta.model_type != "voice_design":
        raise ArgumentError(
            f"a described voice was given to a {meta.model_type} model, expected a voice_design model"
        )
    if voice.kind == "clone":
        _check_clone(meta, voice)
    return voice


def _named(meta: SpeechMetadata, voice: str | os.PathLike[str]) -> Voice:
    from pyomni.voices import library

    if isinstance(voice, str):
        preset = Voice.preset(voice)
        if preset.name in meta.speakers:
            return preset
        if not library.is_path(voice) and voice.strip().lower() not in library.names():
            raise ArgumentError(
                f"voice {preset.name!r} is not in this model, expected one of: {_known(meta)}"
            )
        voice = voice if library.is_path(voice) else voice.strip()
    elif not isinstance(voice, os.PathLike):
        raise ArgumentError(f"voice is {voice!r}, expected the name of a speaker, a path or a Voice")
    return library.load(voice)


def _known(meta: SpeechMetadata) -> str:
    """Return the names a voice may have."""
    from pyomni.voices import library

    known = ", ".join(meta.speakers) or "none, as this model has no preset speakers"
    saved = library.names()
    return f"{known}; saved voices: {', '.join(saved)}" if saved else known


def _check_clone(meta: SpeechMetadata, voice: Voice) -> None:
    """Raise unless a clone fits the model."""
    if meta.model_type != "base":
        raise ArgumentError(
            f"the {voice.label()} was given to a {meta.model_type} model, expected a base model, which clones"
        )
    if voice.family != FAMILY:
        raise ArgumentError(f"the {voice.label()} is of {voice.family!r}, expected {FAMILY!r}")
    if voice.embedding is None or voice.embedding.size != meta.n_embd:
        found = 0 if voice.embedding is None else voice.embedding.size
        raise ArgumentError(
            f"the {voice.label()} has an embedding of width {found}, expected {meta.n_embd}: "
            "it was made with a model of another size"
        )
    if voice.codes is not None and (
        voice.codes.shape[1] != meta.n_groups or int(voice.codes.max()) >= meta.n_codes
    ):
        raise ArgumentError(
            f"the {voice.label()} has codes up to {voice.codes.max()} in {voice.codes.shape[1]} groups, "
            f"expected codes below {meta.n_codes} in {meta.n_groups}: it was made with another codec"
        )


def _id(meta: SpeechMetadata, speaker: str | None) -> int | None:
    return None if speaker is None else meta.speakers[speaker]
