"""Arguments to a plan: everything that can be wrong with a request is found here, before a component runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pyomni.errors import ArgumentError, UnsupportedModel
from pyomni.metadata import SpeechMetadata
from pyomni.options import SpeechOptions
from pyomni.pipelines import prompt
from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.voices import Voice

if TYPE_CHECKING:
    from pyomni.text.tokenizer import Tokenizer

__all__ = ["Planner"]


class Planner:
    """Checks requests to one model and lays them out; see `SpeechModel.speak` for the arguments."""

    def __init__(self, meta: SpeechMetadata, engine: SpeechEngine) -> None:
        self._meta, self._engine = meta, engine
        self._tokenizer: Tokenizer | None = None  # built on first use

    def plan(
        self,
        text: str | Iterable[str],
        voice: str | Voice | None,
        language: str | None,
        instruct: str | None,
        options: SpeechOptions,
    ) -> Plan:
        """Check and lay out one request, without touching a component."""
        meta = self._meta
        self._engine.require("talker", "code_predictor")
        if self._tokenizer is None:
            self._tokenizer = meta.tokenizer()
        speaker = self._speaker(voice)
        whole = text if isinstance(text, str) else "".join(text)
        ids = prompt.text_ids(self._tokenizer, whole)
        instruction = prompt.instruct_ids(self._tokenizer, meta, instruct or "")
        if instruction and not meta.instruct:
            raise UnsupportedModel(
                f"an instruction was given to a {meta.model_type} model of size {meta.model_size}, "
                "which was not trained to follow one; expected none"
            )
        settings = options.resolve(meta.defaults, n_text=len(ids), streaming_layout=meta.streaming_layout)
        plan = prompt.layout(
            meta,
            self._tokenizer,
            ids,
            language=prompt.language_id(meta, language, speaker),
            speaker=None if speaker is None else meta.speakers[speaker],
            instruct=instruction,
            streaming=settings.streaming_layout,
        )
        return self._engine.fit(plan, settings, frames_asked=options.max_frames is not None)

    def _speaker(self, voice: str | Voice | None) -> str | None:
        """Return the name of a preset speaker of this file, or None for no speaker."""
        speakers = self._meta.speakers
        if voice is None:
            return next(iter(speakers), None)
        name = Voice.of(voice).name
        if name not in speakers:
            known = ", ".join(speakers) or "none, as this model has no preset speakers"
            raise ArgumentError(f"voice {name!r} is not in this model, expected one of: {known}")
        return name
