"""From a request to a prompt: checked, perceived and fitted before a language model runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.api.receipts import Issuer
from pyomni.chat_options import ChatOptions, TextGeneration
from pyomni.errors import ArgumentError, ModelFormatError
from pyomni.metadata import OmniMetadata
from pyomni.options import SpeechOptions
from pyomni.pipelines.held import Perceived, Prompt
from pyomni.pipelines.omni import Answering, OmniEngine
from pyomni.pipelines.perceiving import Perceiver, assemble, places
from pyomni.pipelines.positions import MediaLayout, MediaTokens
from pyomni.pipelines.saved_chat import SavedChat
from pyomni.pipelines.thinking import TextRules
from pyomni.text.detokenizer import TokenTexts
from pyomni.text.messages import MediaPart, Message, parse_messages
from pyomni.text.template import ChatTemplate
from pyomni.voices import Voice

__all__ = ["Asked", "Asker", "How", "Unseen", "text_rules"]

#: Everything from the file.
CHAT_DEFAULTS, SPEECH_DEFAULTS = ChatOptions(), SpeechOptions()


@dataclass(frozen=True)
class How:
    """How a request is to be answered; the fields are arguments of `OmniModel.reply`."""

    speak: bool = False
    voice: str | None = None
    options: ChatOptions = CHAT_DEFAULTS
    speech_options: SpeechOptions = SPEECH_DEFAULTS
    audio_in_video: bool = False


@dataclass(frozen=True, eq=False)
class Asked:
    """A request that can be answered.

    Attributes
    ----------
    answering : Answering
    messages : list of dict
        Those of the request, with what was perceived in place of media.
    """

    answering: Answering
    messages: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Unseen:
    """A request that was checked, its media decoded and not yet perceived; see `Asker.read`."""

    how: How
    speaker: str
    settings: TextGeneration
    ids: list[int]
    messages: list[Message]


class Asker:
    """Makes prompts of requests, for one model.

    Parameters
    ----------
    meta : OmniMetadata
    engine : OmniEngine
    perceiver : Perceiver
    texts : TokenTexts
    issuer : Issuer
    """

    def __init__(
        self,
        meta: OmniMetadata,
        engine: OmniEngine,
        perceiver: Perceiver,
        texts: TokenTexts,
        issuer: Issuer,
    ) -> None:
        self._meta, self._engine, self._perceiver, self._issuer = meta, engine, perceiver, issuer
        self._template = ChatTemplate(meta.chat_template, meta.tokenizer(), texts)
        self._layout = _media_layout(meta)

    def ask(self, messages: Sequence[Mapping[str, Any]], how: How, template: Mapping[str, Any]) -> Asked:
        """Check a request and read its media; only encoders run. Raises as `OmniModel.reply`."""
        unseen = self._checked(parse_messages(messages), how, template)
        return self._asked(unseen, self._perceived)

    def read(self, messages: Sequence[Mapping[str, Any]], how: How, template: Mapping[str, Any]) -> Unseen:
        """Do of `ask` what no network is needed for, in any thread: check all, and decode the media."""
        unseen = self._checked(parse_messages(messages), how, template)

        def read(part: MediaPart) -> MediaPart:
            look = self._perceiver.read(part, with_sound=how.audio_in_video)
            return replace(part, source=look)

        return replace(unseen, messages=[_changed(message, read) for message in unseen.messages])

    def perceive(self, unseen: Unseen) -> Asked:
        """Do the rest of `ask`, inside `OmniEngine.use`."""

        def look(part: MediaPart, with_sound: bool) -> Perceived:
            perceived: Perceived = part.source()
            return perceived

        return self._asked(unseen, look)

    def _checked(self, messages: Sequence[Message], how: How, template: Mapping[str, Any]) -> Unseen:
        name = self._speaker(how.voice) if how.speak else ""
        settings = how.options.resolve(self._meta.defaults)
        return Unseen(how, name, settings, self._template.ids(messages, **template), list(messages))

    def _asked(self, unseen: Unseen, look: Callable[[MediaPart, bool], Perceived]) -> Asked:
        how = unseen.how
        prompt, media, seen = self._prompt(unseen.ids, unseen.messages, how.audio_in_video, look)
        request = self._engine.fit(prompt, unseen.settings)
        plan = issue = None
        if how.speak:
            layout = self._engine.lay_out(prompt)
            at = places(self._layout, layout.ids, _standing_in(prompt, media, layout.kept))
            speaker = self._meta.speech.speakers[unseen.speaker]
            plan = self._engine.fit_speech(layout, at, speaker, how.speech_options)
            issue = self._issuer.of(plan.options.seed, Voice.preset(unseen.speaker), how.speech_options)
        return Asked(Answering(request, plan, issue), [_as_dict(message) for message in seen])

    def check(self, saved: SavedChat) -> None:
        """Raise `ArgumentError` where a saved conversation is of another model; its lane knows of weights.

        Raises `ModelFormatError` where it names media instead of holding them: it could have files opened.
        """
        messages = parse_messages([*saved.messages, {"role": "user", "content": "."}])
        meta, ids = self._meta, saved.held.ids
        if ids and not 0 <= min(ids) <= max(ids) < meta.n_vocab:
            raise ArgumentError(
                f"the saved conversation has tokens from {min(ids)} to {max(ids)}, expected tokens below "
                f"{meta.n_vocab}: it was made with another model"
            )
        if meta.speaks and len(saved.held.thought) != np.count_nonzero(saved.held.marks):
            raise ArgumentError(
                f"the saved conversation has {len(saved.held.thought)} hidden rows for "
                f"{np.count_nonzero(saved.held.marks)} positions of media, expected as many: it was "
                "made with another model"
            )
        for part in (part for message in messages for part in message.media):
            if not isinstance(part.source, Perceived):
                raise ModelFormatError(
                    f"the saved conversation names {part.kind} in {part.where}, expected what was "
                    "perceived of it"
                )
            self._check_rows(part.source)

    def _check_rows(self, medium: Perceived) -> None:
        steps, h, w = medium.grid or (0, 0, 0)
        n = steps * (h // self._layout.merge) * (w // self._layout.merge)
        good = medium.rows.shape == (n if medium.grid else len(medium.rows), self._meta.n_embd)
        more = medium.deepstack
        if more is not None:
            good = (
                good and more.dtype == np.float32 and more.ndim == 3 and more.shape[1:] == medium.rows.shape
            )
            good = good and len(more) == self._meta.headers["thinker"].u32("thinker.n_deepstack")
        if (medium.kind == "audio") != (medium.grid is None):
            good = False
        if not good:
            raise ArgumentError(
                f"the saved conversation holds {medium.kind} as rows of shape {list(medium.rows.shape)}, "
                f"expected rows of width {self._meta.n_embd}, one for each place: it was made with "
                "another model"
            )
        if medium.sound is not None:
            self._check_rows(medium.sound)

    def prompt_so_far(self, messages: Sequence[Mapping[str, Any]]) -> tuple[Prompt, list[dict[str, Any]]]:
        """Return a prompt that begins with a conversation between two turns, and its messages, perceived."""
        said = {"role": "user", "content": "."}
        parsed = parse_messages([*messages, said])
        prompt, _, seen = self._prompt(self._template.ids(parsed), parsed, False, self._perceived)
        return prompt, [_as_dict(message) for message in seen[:-1]]

    def _prompt(
        self,
        ids: Sequence[int],
        messages: Sequence[Message],
        with_sound: bool,
        look: Callable[[MediaPart, bool], Perceived],
    ) -> tuple[Prompt, list[Perceived], list[Message]]:
        """Return the prompt of messages, its media in order, and the messages with these in place."""
        media: list[Perceived] = []

        def seen(part: MediaPart) -> MediaPart:
            media.append(look(part, with_sound))
            return MediaPart(part.kind, media[-1], part.where, {})

        found = [_changed(message, seen) for message in messages]
        return assemble(self._layout, ids, media), media, found

    def _perceived(self, part: MediaPart, with_sound: bool) -> Perceived:
        if isinstance(part.source, Perceived):
            return self._perceiver.perceive(part)
        with self._engine.use():
            return self._perceiver.perceive(part, with_sound=with_sound)

    def _speaker(self, voice: str | None) -> str:
        side = self._meta.speech
        speakers = side.speakers
        name = side.default_speaker if voice is None else str(voice).strip().lower()
        if name not in speakers:
            known = ", ".join(speakers) or "none"
            raise ArgumentError(f"voice {voice!r} is not in this model, expected one of: {known}")
        return name


def text_rules(meta: OmniMetadata, texts: TokenTexts) -> TextRules:
    """Return what an answer may hold: no ids without a token, no control tokens but those that end it."""
    silent = np.ones(meta.n_vocab, np.bool_)
    silent[: min(len(texts), meta.n_tokens)] = False
    silent[[i for i in texts.silent(but=meta.stop_ids) if i < len(silent)]] = True
    return TextRules(frozenset(meta.stop_ids), silent)


def _media_layout(meta: OmniMetadata) -> MediaLayout:
    eyes = meta.headers.get("vision_encoder")
    merge = 1 if eyes is None else eyes.u32("vision_encoder.merge")
    # a file that takes no media has no tokens of theirs, and no text is one of these
    ids = dict.fromkeys(MediaTokens.__dataclass_fields__, -1) if meta.media is None else vars(meta.media)
    return MediaLayout(MediaTokens(**ids), merge, meta.positions_per_second)


def _changed(message: Message, change: Callable[[MediaPart], MediaPart]) -> Message:
    """Return a message with other media, in order."""
    parts = tuple(change(part) if isinstance(part, MediaPart) else part for part in message.parts)
    return replace(message, parts=parts)


def _as_dict(message: Message) -> dict[str, Any]:
    content: Any = message.text
    if not message.plain:
        content = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": part.kind, part.kind: part.source}
            for part in message.parts
        ]
    return {**message.extra, "role": message.role, "content": content}


def _standing_in(prompt: Prompt, media: Sequence[Perceived], kept: npt.NDArray[np.int64]) -> list[Perceived]:
    """Return the media that stand in the kept positions of a prompt."""
    there, number, found = set(prompt.medium[kept].tolist()), 0, []
    for medium in media:
        if number in there:
            found.append(medium)
        number += 1 if medium.sound is None else 2  # a sound track is counted by itself
    return found
