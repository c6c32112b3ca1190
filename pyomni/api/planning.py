"""Arguments to a plan: everything that can be wrong with a request is found here, before a component runs."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError, UnsupportedModel
from pyomni.metadata import SpeechMetadata
from pyomni.options import SpeechOptions
from pyomni.pipelines import prompt
from pyomni.pipelines.arriving import Arriving, ArrivingText
from pyomni.pipelines.carry import CARRIED_TOKENS
from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.pipelines.prompt import PromptLayout
from pyomni.pipelines.script import PART_TOKENS, Part, Script, part_seed
from pyomni.text.incremental import IncrementalEncoder
from pyomni.text.length import SpokenTime, spoken_time
from pyomni.text.split import Piece, split
from pyomni.voices import FAMILY, Voice

if TYPE_CHECKING:
    from pyomni.text.tokenizer import Tokenizer

__all__ = ["AnyVoice", "Planner", "Text", "find_voice", "joined"]

I32 = npt.NDArray[np.int32]

#: A text, or its pieces.
Text = str | Iterable[str] | AsyncIterable[str]

#: A voice, the name of a speaker or of a saved voice, or a voice file; None is the model's own choice.
AnyVoice = str | os.PathLike[str] | Voice | None


#: Milliseconds a speech may take beside its text, for breath and silence around it.
AROUND_MS = 3000
#: An end is too early only within so many: a speech that is merely short may be a fast one.
EARLY_MS = 1000


class Planner:
    """Checks requests to one model and lays them out; see `SpeechModel.speak` for the arguments."""

    def __init__(self, meta: SpeechMetadata, engine: SpeechEngine) -> None:
        self._meta, self._engine = meta, engine
        self._tokenizer: Tokenizer | None = None  # built on first use

    def script(
        self,
        text: Text,
        voice: AnyVoice,
        language: str | None,
        instruct: str | None,
        options: SpeechOptions,
    ) -> Script:
        """Check and lay out one request, without touching a component.

        Pieces of text are not looked at here, unless the layout asked for needs all of them.
        """
        self._engine.require("talker", "code_predictor")
        if self._tokenizer is None:
            self._tokenizer = self._meta.tokenizer()
        manner = self._manner(self._tokenizer, voice, language, instruct, options)
        if not isinstance(text, str):
            pieces = _pieces_of(text)
            if options.streaming_layout is not False:
                plan = manner.plan_arriving(pieces)
                return Script((Part(plan),), plan.options.seed)
            text = joined(pieces)
        ids = prompt.text_ids(self._tokenizer, text)
        parts = self._parts(self._tokenizer, text, ids, options.split or "auto")
        if manner.who.made_up and options.split != "sentences":
            parts = _with_short_lead(self._tokenizer, parts)
        if len(parts) < 2:
            plan = manner.plan(ids, text)
            return Script((Part(plan, text),), plan.options.seed)
        return manner.script(parts)

    def _parts(self, tokenizer: Tokenizer, text: str, ids: Sequence[int], mode: str) -> list[Piece]:
        """Return the parts of a text, or nothing for one that stays whole."""
        if mode == "never" or (mode == "auto" and len(ids) <= PART_TOKENS):
            return []
        return split(text, lambda part: len(tokenizer.encode(part)), PART_TOKENS, pack=mode == "auto")

    def _manner(
        self,
        tokenizer: Tokenizer,
        voice: AnyVoice,
        language: str | None,
        instruct: str | None,
        options: SpeechOptions,
    ) -> Manner:
        """Check and lay out everything but the text."""
        meta = self._meta
        who = find_voice(meta, voice)
        speaker = who.name if who.kind == "preset" else None
        reference = None
        if who.codes is not None and who.transcript is not None:
            said = prompt.text_ids(tokenizer, who.transcript, "transcript")
            reference = prompt.Reference(tuple(said), len(who.codes))
        cloned = speaker is None and who.embedding is not None
        lay_out = partial(
            prompt.layout,
            meta,
            tokenizer,
            language=prompt.language_id(meta, language, speaker),
            speaker=prompt.SPEAKER_ROW if cloned else _id(meta, speaker),
            instruct=self._instruction(tokenizer, who, voice, instruct),
            reference=reference,
        )
        return Manner(self._engine, tokenizer, options, who, lay_out, reference)

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


@dataclass(frozen=True)
class Manner:
    """How a text is spoken: all of a request but the text, checked."""

    engine: SpeechEngine
    tokenizer: Tokenizer
    options: SpeechOptions
    who: Voice
    lay_out: Callable[..., PromptLayout]
    reference: prompt.Reference | None

    def plan(self, ids: Sequence[int], text: str, **changes: Any) -> Plan:
        """Lay out a text that is all there; `changes` replace options."""
        options = replace(self.options, **changes)
        meta = self.engine.meta
        time = spoken_time(text)
        settings = options.resolve(
            meta.defaults,
            n_text=len(ids),
            streaming_layout=meta.streaming_layout,
            most=self._most(len(ids), time),
            least=self._least(time),
            frames_per_second=self._frames_per_second,
        )
        layout = self.lay_out(ids, streaming=settings.streaming_layout)
        fit = self.engine.fit(layout, settings, frames_asked=options.max_frames is not None)
        return replace(fit, speaker=self.who.embedding, reference=self.who.codes)

    def plan_after(self, lead: Sequence[int], alone: Plan, ids: Sequence[int], codes: I32) -> Plan:
        """Lay out a text that goes on with the voice of one spoken before.

        Parameters
        ----------
        lead : sequence of int
            Ids of the text spoken before.
        alone : Plan
            How this text would be spoken without it.
        ids : sequence of int
            Ids of this text.
        codes : int32 [n_frames, n_groups]
            Of the text spoken before.
        """
        settings = alone.options
        before = prompt.Reference(tuple(lead), len(codes))
        layout = self.lay_out(ids, streaming=settings.streaming_layout, reference=before)
        fit = self.engine.fit(layout, settings, frames_asked=False)
        return replace(fit, speaker=self.who.embedding, reference=codes)

    def plan_arriving(self, pieces: Iterable[str]) -> Plan:
        """Plan a text that is on its way, in the streaming layout."""
        options, defaults = self.options, self.engine.meta.defaults
        lay_out = partial(self.lay_out, streaming=True)
        settings = options.resolve(
            defaults, n_text=2**31, streaming_layout=True, frames_per_second=self._frames_per_second
        )
        # the prompt has the same length for any text of at least n_first tokens
        n_first = 1
        if self.reference is not None:
            n_first = max(1, 1 + self.reference.n_frames - len(self.reference.text))
        stand_in = lay_out([self.engine.meta.text_pad_id] * n_first)
        fit = self.engine.fit(stand_in, settings, frames_asked=options.max_frames is not None)
        most = fit.options.max_frames

        text = ArrivingText(pieces, IncrementalEncoder(self.tokenizer))

        def limit() -> int:
            capped = options.guard and options.max_frames is None
            return min(most, self._most(len(text.ids), text.time)) if capped else most

        def least() -> int:
            text.wait_for_time(EARLY_MS)
            return self._least(text.time)

        return replace(
            fit,
            speaker=self.who.embedding,
            reference=self.who.codes,
            arriving=Arriving(text, lay_out, n_first, limit, least),
        )

    @property
    def _frames_per_second(self) -> float:
        meta = self.engine.meta
        return meta.sample_rate / meta.hop

    def _most(self, n_text: int, time: SpokenTime) -> int:
        """Return the guard's cap: the slowest reading, and never less than text takes to trail by."""
        rate = self._frames_per_second
        return math.ceil(AROUND_MS * rate / 1000) + max(math.ceil(time.most * rate / 1000), n_text)

    def _least(self, time: SpokenTime) -> int:
        """Return the frames before which an end is too early, however fast the speech."""
        return math.floor(min(time.least, EARLY_MS) * self._frames_per_second / 1000)

    def script(self, pieces: Sequence[Piece]) -> Script:
        """Plan a text in parts."""
        options, most = self.options, self.options.max_frames
        seed = secrets.randbits(63) if options.seed is None else int(options.seed)
        parts = []
        lead = self.tokenizer.encode(pieces[0].text)
        for index, piece in enumerate(pieces):
            ids = self.tokenizer.encode(piece.text)
            # each with its own guard; the parts before may leave it fewer frames than it asks for
            plan = self.plan(ids, piece.text, seed=part_seed(seed, index), max_frames=None)
            if most is not None:
                settings = plan.options
                n = min(settings.max_frames, most)
                settings = replace(settings, max_frames=n, min_frames=min(settings.min_frames, n))
                plan = replace(plan, options=settings)
            after = partial(self.plan_after, lead, plan, ids) if self.who.made_up and index else None
            parts.append(Part(plan, piece.text, options.pause_after(piece.end), after))
        return Script(tuple(parts), seed, most)


def _with_short_lead(tokenizer: Tokenizer, pieces: list[Piece]) -> list[Piece]:
    """Cut the first piece after some of its sentences, if it is long: the others' prompts will hold it."""
    if len(pieces) < 2:
        return pieces
    lead, *more = split(pieces[0].text, lambda part: len(tokenizer.encode(part)), CARRIED_TOKENS)
    if not more or lead.end != "sentence":
        return pieces
    rest = Piece(pieces[0].text[len(lead.text) :].strip(), pieces[0].end)
    return [lead, rest, *pieces[1:]]


def _pieces_of(text: Iterable[str] | AsyncIterable[str]) -> Iterable[str]:
    """Return pieces that can be read here."""
    if isinstance(text, Iterable):
        return text
    wanted = "astream for an async iterator" if isinstance(text, AsyncIterable) else "strings"
    raise ArgumentError(f"the text is {type(text).__name__}, expected a string, pieces of one, or {wanted}")


def joined(pieces: Iterable[str]) -> str:
    """Return pieces of text as one string.

    Raises
    ------
    ArgumentError
        They are not strings.
    """
    try:
        return "".join(pieces)
    except TypeError as error:
        raise ArgumentError(f"the text is not pieces of text, expected strings ({error})") from None


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
