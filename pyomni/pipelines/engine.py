"""The sessions behind a speech model: opened late, sized to the request, used by one caller at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError, ContextFull, UnsupportedModel
from pyomni.options import GenerationOptions
from pyomni.pipelines.arriving import Arriving, ArrivingRequest, TrailingPrompt, trailing_prompt
from pyomni.pipelines.blocks import BLOCK_WIDTHS, Blocks, Run, Timings, pcm_blocks
from pyomni.pipelines.keep import Kept
from pyomni.pipelines.priming import Prefixes, Primed
from pyomni.pipelines.prompt import PromptLayout, TalkerPrompt, build, reference_rows
from pyomni.pipelines.resume import SavedSpeech
from pyomni.pipelines.sessions import CONTEXT_STEP, SpeechSessions, one_at_a_time, rounded
from pyomni.pipelines.speech import Event, Point, Request, generate

if TYPE_CHECKING:
    from pyomni.components.codec import CodecDecoder
    from pyomni.components.lm import DecoderLM
    from pyomni.metadata import SpeechMetadata
    from pyomni.pipelines.beside import Beside

__all__ = ["CONTEXT_STEP", "Plan", "SpeechEngine"]

I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Plan:
    """One text, checked and laid out, before any component runs.

    Attributes
    ----------
    speaker : float32 [n_embd] or None
        The row of a cloned speaker.
    reference : int32 [n_frames, n_groups] or None
        Codes of a clip the prompt holds, which the codec decoder hears before the speech.
    arriving : Arriving or None
        Where the text is still on its way: `layout` then has the right size and stands for it.
    saved : SavedSpeech or None
        Where to go on: `layout` is then that of the text still to come, its prompt is in the talker's lane.
    """

    layout: PromptLayout
    options: GenerationOptions
    speaker: npt.NDArray[np.float32] | None = None
    reference: I32 | None = None
    arriving: Arriving | None = None
    saved: SavedSpeech | None = None

    @property
    def n_prompt(self) -> int:
        """Positions of the prompt."""
        return len(self.layout.positions) if self.saved is None else self.saved.n_prompt

    @property
    def n_positions(self) -> int:
        """Positions of prompt and frames, at most."""
        return self.n_prompt + self.options.max_frames


class SpeechEngine:
    """Open sessions of one model and run plans on them.

    Parameters
    ----------
    meta : SpeechMetadata
        The file's header.
    open_lm : callable (component, n_ctx, n_lanes) -> DecoderLM
        Opens a session of ``talker`` or ``code_predictor``.
    open_codec : callable () -> CodecDecoder
        Opens a session of ``codec_decoder`` with one lane.
    lanes : int
        Texts decoded together, at most.
    kept : Kept, optional
        Where states that belong to a voice are kept; None keeps none.
    model : str
        Tells models apart (`pyomni.pipelines.keep.file_identity`).
    beside : Beside, optional
        Where codes are decoded while more are made: of each request `most_ahead` events, a block, at most.
    """

    def __init__(
        self,
        meta: SpeechMetadata,
        open_lm: Callable[[str, int, int], DecoderLM],
        open_codec: Callable[[], CodecDecoder],
        lanes: int = 1,
        kept: Kept | None = None,
        model: str = "",
        beside: Beside | None = None,
    ) -> None:
        if lanes < 1:
            raise ArgumentError(f"lanes is {lanes}, expected 1 or more")
        self.meta, self.lanes = meta, lanes
        self._sessions, self._beside = SpeechSessions(open_lm, open_codec, beside), beside
        self.most_ahead: int = 0 if beside is None else BLOCK_WIDTHS[-1]
        kept = Kept(0) if kept is None else kept
        self._primed, self._prefixes = Primed(kept, model), Prefixes(kept, model)
        self._lock = threading.Lock()

    def fit(self, layout: PromptLayout, options: GenerationOptions, *, frames_asked: bool) -> Plan:
        """Check that a prompt and its frames fit the checkpoint.

        A frame takes one position. Where the caller set no number of frames, they are cut to the room there
        is.

        Raises
        ------
        ContextFull
            The prompt, or the frames asked for, go beyond the checkpoint's positions.
        """
        n, n_max = len(layout.positions), self.meta.n_ctx_max
        room = n_max - n
        if room < max(options.min_frames, 1):
            most = n_max - max(options.min_frames, 1)
            raise ContextFull(
                f"the text makes a prompt of {n} positions, expected at most {most} of the {n_max} this "
                "model holds, so that there is room to speak"
            )
        if options.max_frames > room:
            if frames_asked:
                raise ContextFull(
                    f"a prompt of {n} positions and {options.max_frames} frames were asked for, "
                    f"expected at most {n_max} positions together"
                )
            guard = None if options.guard is None else replace(options.guard, capped=False)
            options = replace(options, max_frames=room, guard=guard)
        return Plan(layout, options)

    def use(self) -> AbstractContextManager[None]:
        """Hold the sessions for one run.

        Raises
        ------
        SessionBusy
            Another thread is speaking, or a stream was left unfinished.
        """
        return one_at_a_time(self._lock, "speaking")

    def events(self, plans: Sequence[Plan], timings: Timings | None = None) -> Iterator[Event]:
        """Run plans on the lanes; call it inside `use`. See `pyomni.pipelines.speech.generate`."""
        talker, predictor = self._lms(plans)
        # rows are made when a lane is free for them
        return self._generate(talker, predictor, (_request(p, talker, predictor) for p in plans), timings)

    def admit(
        self,
        plans: Iterator[tuple[Plan, Callable[[], bool]]],
        n_positions: int,
        timings: Timings | None = None,
        idle: Callable[[], None] | None = None,
    ) -> Iterator[Event]:
        """Run plans that come while others run; call it inside `use`.

        Parameters
        ----------
        plans : iterator of (Plan, callable () -> bool)
            With whether nobody wants it any more. Asked whenever a lane is free; one that has none now is
            asked again before the next frame, as `pyomni.pipelines.speech.generate` says.
        n_positions : int
            The longest plan takes, its frames included (`Plan.n_positions`).
        timings : Timings, optional
        idle : callable, optional
            As of `generate`: where texts may be late.
        """
        talker, predictor = self._sessions.lms(
            rounded(n_positions, self.meta.n_ctx_max), self.lanes, self.meta.n_groups
        )

        def request(one: tuple[Plan, Callable[[], bool]]) -> Request:
            plan, gone = one
            return replace(_request(plan, talker, predictor), gone=gone)

        # map, not a generator, which would be over for good once there was no plan
        return self._generate(talker, predictor, map(request, plans), timings, idle)

    def _generate(
        self,
        talker: DecoderLM,
        predictor: DecoderLM,
        requests: Iterable[Request],
        timings: Timings | None,
        idle: Callable[[], None] | None = None,
    ) -> Iterator[Event]:
        levels = self._sessions.levels if "codec_decoder" in self.meta.components else None
        return generate(talker, predictor, requests, self.meta, timings, self._prefixes, levels, idle)

    def pcm(
        self,
        frames: Iterable[I32],
        timings: Timings | None = None,
        reference: I32 | None = None,
        saved: SavedSpeech | None = None,
        meanwhile: Callable[[], bool] | None = None,
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Decode frames to samples that continue a reference's, or a saved speech's; call it inside `use`.

        See `pcm_blocks`, and `Beside.run` for `meanwhile`.
        """
        self.require("codec_decoder")
        codec = self._sessions.codec()
        prime = self._primed.before(codec, reference)
        n_blocks = 0
        if saved is not None:
            state = saved.codec.tobytes()
            prime, n_blocks = lambda: codec.load(state), saved.n_blocks
        return pcm_blocks(codec, frames, timings, prime, n_blocks, self._run(meanwhile))

    def open_codec(self) -> CodecDecoder:
        """Open another session of the codec decoder, for speeches that are decoded in turns; close it."""
        return self._sessions.another_codec()

    def blocks(
        self,
        codec: CodecDecoder,
        reference: I32 | None,
        timings: Timings,
        meanwhile: Callable[[], bool] | None,
    ) -> Blocks:
        """Return what `pcm` decodes with, for a caller who has a codec session and pushes frames into it."""
        return Blocks(codec, timings, self._primed.before(codec, reference), run=self._run(meanwhile))

    def _run(self, meanwhile: Callable[[], bool] | None) -> Run | None:
        beside = self._beside
        return None if beside is None or meanwhile is None else partial(beside.run, meanwhile)

    def save_lanes(self, n_past: int) -> tuple[bytes, bytes]:
        """Return where the talker and the codec decoder are in a run of one plan, between two blocks.

        Parameters
        ----------
        n_past : int
            Positions of the talker to save; it may be further, by frames the guard holds back.

        Raises
        ------
        InternalError
            They are not open.
        """
        return self._sessions.save_lanes(n_past)

    def row_sum(self, frame: I32) -> npt.NDArray[np.float32]:
        """Return the codec side, float32 [n_embd], of the row behind a frame, int32 [1, n_groups]."""
        talker, predictor = self._sessions.lms(1, 1, self.meta.n_groups)  # open already, in a run
        return reference_rows(frame, talker.embed, predictor.embed)[0]

    def require(self, *components: str) -> None:
        """Raise `UnsupportedModel` unless the file has these components."""
        for name in components:
            if name not in self.meta.components:
                found = ", ".join(self.meta.components) or "none"
                raise UnsupportedModel(f"the model has no {name} (it has: {found}), expected one for this")

    def close(self) -> None:
        """Close the sessions; they open again when needed.

        Raises
        ------
        SessionBusy
            They are in use.
        """
        with self.use():
            self._sessions.close()

    def _lms(self, plans: Sequence[Plan]) -> tuple[DecoderLM, DecoderLM]:
        """Return the two language models, with room for the longest plan."""
        self.require("talker", "code_predictor")
        need = max((p.n_positions for p in plans), default=1)
        lanes = self.lanes if len(plans) > 1 else 1
        return self._sessions.lms(rounded(need, self.meta.n_ctx_max), lanes, self.meta.n_groups)


def _request(plan: Plan, talker: DecoderLM, predictor: DecoderLM) -> Request:
    """Make the rows of a plan."""
    if plan.saved is not None:
        return _going_on(plan.saved, plan, talker)
    reference = None
    if plan.reference is not None:
        reference = reference_rows(plan.reference, talker.embed, predictor.embed)

    def rows(layout: PromptLayout) -> TalkerPrompt:
        return build(layout, talker.embed, plan.speaker, reference)

    prompt = trailing_prompt(plan.layout, plan.arriving, talker.embed, rows)
    if plan.arriving is None:
        return Request(prompt, plan.options)
    return ArrivingRequest(prompt, plan.options, plan.arriving.limit, plan.arriving.least)


def _going_on(saved: SavedSpeech, plan: Plan, talker: DecoderLM) -> Request:
    """Return the request that goes on where a speech was saved."""
    none = np.zeros((0, saved.row_sum.size), np.float32)
    prompt = TrailingPrompt(none, none, saved.pad_row, plan.layout.trailing, None, 0, talker.embed)
    point = Point(saved.talker.tobytes(), saved.row_sum, saved.codes, saved.guard)
    return Request(prompt, plan.options, point=point)
