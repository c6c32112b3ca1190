"""The sessions behind a model that converses, and the way from messages to a prompt it can read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pyomni.chat_options import TextGeneration
from pyomni.components.lm import CODEC, HIDDEN_ROWS, TEXT_ROWS, TOKENS
from pyomni.errors import (
    ArgumentError,
    ContextFull,
    ModelFormatError,
    PyOmniError,
)
from pyomni.options import GenerationOptions, SpeechOptions, guard_frames
from pyomni.pipelines.arriving import ArrivingRequest
from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.bridge import Projections, TalkerLayout, Writer, lay_out, talker_prompt
from pyomni.pipelines.held import Held, Prompt, longest
from pyomni.pipelines.saved_chat import SavedChat
from pyomni.pipelines.sessions import SpeechSessions, one_at_a_time, rounded
from pyomni.pipelines.speech import Event, Request, generate
from pyomni.pipelines.thinking import TextEvent, TextRequest, TextRules, ThinkTimings, write
from pyomni.receipt import Issue

if TYPE_CHECKING:
    from pyomni.components.codec import CodecDecoder
    from pyomni.components.lm import DecoderLM
    from pyomni.metadata import OmniMetadata

__all__ = ["Answering", "OmniEngine", "SpokenPlan"]

F32 = npt.NDArray[np.float32]


class FrameRules(NamedTuple):
    """What the speech loop needs of a header."""

    codec_eos_id: int
    suppress: tuple[int, int]
    n_groups: int


@dataclass(frozen=True, eq=False)
class SpokenPlan:
    """How an answer is spoken.

    Attributes
    ----------
    layout : TalkerLayout
    positions : float64 [n, 3] or None
        Places of its rows.
    speaker : int
        Code of the speaker.
    options : GenerationOptions
    guard : bool
        Cap the frames by the length of the text.
    """

    layout: TalkerLayout
    positions: npt.NDArray[np.float64] | None
    speaker: int
    options: GenerationOptions
    guard: bool

    @property
    def n_positions(self) -> int:
        """Of the talker, at most."""
        return len(self.layout.ids) + self.options.max_frames


@dataclass(frozen=True, eq=False)
class Answering:
    """One prompt, checked, before any language model runs; `issue` makes the receipt of its speech."""

    request: TextRequest
    spoken: SpokenPlan | None = None
    issue: Issue | None = None

    @property
    def n_positions(self) -> int:
        """Of the thinker, at most."""
        return len(self.request.prompt) + self.request.options.max_tokens


class OmniEngine:
    """Open sessions of one model; one caller at a time.

    Parameters
    ----------
    meta : OmniMetadata
        The headers of its files.
    open_lm : callable (component, n_ctx, n_lanes) -> DecoderLM
        Opens a session of ``thinker``, ``talker`` or ``code_predictor``.
    open_codec : callable () -> CodecDecoder
        Opens a session of ``code2wav`` with one lane.
    lanes : int
        Conversations decoded together, at most.
    rules : TextRules
        What an answer may hold.
    unspoken : dict of int to int
        Tokens that begin what is not spoken, and those that end it.
    """

    def __init__(
        self,
        meta: OmniMetadata,
        open_lm: Callable[[str, int, int], DecoderLM],
        open_codec: Callable[[], CodecDecoder],
        lanes: int,
        rules: TextRules,
        unspoken: dict[int, int],
    ) -> None:
        if lanes < 1:
            raise ArgumentError(f"lanes is {lanes}, expected 1 or more")
        self.meta, self.lanes, self.rules = meta, lanes, rules
        self._open_lm, self._unspoken = open_lm, unspoken
        self._thinker: DecoderLM | None = None
        self.held: list[Held] = []
        self._sessions = SpeechSessions(open_lm, open_codec)
        self._lock = threading.Lock()

    # -- plans --------------------------------------------------------

    def fit(self, prompt: Prompt, options: TextGeneration) -> TextRequest:
        """Check that a prompt and its answer fit the checkpoint; cut a length nobody asked for.

        Raises
        ------
        ContextFull
            They do not.
        """
        n, n_max = len(prompt), self.meta.n_ctx_max
        if n >= n_max:
            raise ContextFull(
                f"the conversation takes {n} positions, expected fewer than the {n_max} this model holds, so "
                "that there is room to answer"
            )
        if n + options.max_tokens > n_max:
            if options.max_tokens_asked:
                raise ContextFull(
                    f"a conversation of {n} positions and {options.max_tokens} tokens of answer were asked "
                    f"for, expected at most {n_max} positions together"
                )
            options = replace(options, max_tokens=n_max - n)
        return TextRequest(prompt, options)

    def fit_speech(
        self,
        layout: TalkerLayout,
        positions: npt.NDArray[np.float64] | None,
        speaker: int,
        options: SpeechOptions,
    ) -> SpokenPlan:
        """Check that an answer can be spoken.

        Raises
        ------
        ContextFull
            The conversation, or the frames asked for, go beyond the talker's positions.
        """
        n, n_max = len(layout.ids), self.meta.speech.n_ctx_max
        side = self.meta.speech
        settings = options.resolve(
            side.defaults,
            n_text=2**31,
            streaming_layout=True,
            frames_per_second=side.sample_rate / side.hop,
        )
        room = n_max - n
        if room < max(settings.min_frames, 1) or (
            options.max_frames is not None and options.max_frames > room
        ):
            raise ContextFull(
                f"users' turns of {n} positions and {settings.max_frames} frames of speech were asked for, "
                f"expected at most {n_max} positions together"
            )
        settings = replace(settings, max_frames=min(settings.max_frames, room))
        return SpokenPlan(layout, positions, speaker, settings, options.guard and options.max_frames is None)

    def lay_out(self, prompt: Prompt) -> TalkerLayout:
        """Find what of a prompt the talker reads."""
        return lay_out(self.meta.speech.bridge, prompt.ids)

    # -- runs ---------------------------------------------------------

    def use(self) -> AbstractContextManager[None]:
        """Hold the sessions for one run.

        Raises
        ------
        SessionBusy
            Another thread is conversing, or a stream was left unfinished.
        """
        return one_at_a_time(self._lock, "answering")

    def write(self, answers: Sequence[Answering], timings: ThinkTimings) -> Iterator[TextEvent]:
        """Write answers on the lanes; call it inside `use`. See `pyomni.pipelines.thinking.write`."""
        need = max((answer.n_positions for answer in answers), default=1)
        thinker = self.thinker(need, self.lanes if len(answers) > 1 else 1)
        return write(thinker, self.held, (answer.request for answer in answers), self.rules, timings)

    def admit_texts(
        self, requests: Iterator[TextRequest], n_positions: int
    ) -> tuple[Iterator[TextEvent], int]:
        """Write answers that come while others are written; call it inside `use`.

        Returns
        -------
        events : iterator of TextEvent
        room : int
            Positions that each may take, `n_positions` or more.
        """
        thinker = self.thinker(n_positions, self.lanes)
        return write(thinker, self.held, requests, self.rules), thinker.n_ctx

    def admit_speeches(self, requests: Iterator[Request], n_positions: int) -> Iterator[Event]:
        """Speak answers that come while others are spoken, each of at most so many positions."""
        side = self.meta.speech
        talker, predictor = self._sessions.lms(
            rounded(n_positions, side.n_ctx_max), self.lanes, side.n_groups
        )
        return generate(talker, predictor, requests, self._frame_rules(), levels=self._sessions.levels)

    def writer(self, answer: Answering, tokens: Iterator[int]) -> Writer:
        """Return the answer to be, as the talker hears of it."""
        begun = () if answer.spoken is None else answer.spoken.layout.begun
        return Writer(tokens, begun, self._unspoken)

    def speech_request(
        self, answer: Answering, writer: Writer, thought: F32, gone: Callable[[], bool] | None = None
    ) -> Request:
        """Return what the speech loop needs; call it once there is something to speak."""
        plan = answer.spoken
        if plan is None:
            raise ArgumentError("the answer is not to be spoken")
        talker, _ = self.speakers([answer])

        def text(tokens: npt.ArrayLike) -> F32:
            # asked for each time: among others, a longer text may have it opened anew
            return talker.project(TEXT_ROWS, self.thinker(1, 1).embed(TOKENS, tokens))

        make = Projections(
            text, lambda rows: talker.project(HIDDEN_ROWS, rows), lambda codes: talker.embed(CODEC, codes)
        )
        prompt = talker_prompt(
            self.meta.speech.bridge, plan.layout, answer.request.prompt, thought, plan.speaker, writer, make,
            plan.positions,
        )  # fmt: skip
        most = plan.options.max_frames

        def limit() -> int:
            return min(most, guard_frames(len(writer.ids))) if plan.guard else most

        return ArrivingRequest(prompt, plan.options, limit, gone=gone)

    def speak(
        self, answers: Sequence[Answering], requests: Sequence[Request], timings: Timings
    ) -> Iterator[Event]:
        """Speak answers on the lanes; call it inside `use`. See `pyomni.pipelines.speech.generate`."""
        talker, predictor = self.speakers(answers)
        return generate(
            talker, predictor, requests, self._frame_rules(), timings, levels=self._sessions.levels
        )

    def speakers(self, answers: Sequence[Answering]) -> tuple[DecoderLM, DecoderLM]:
        """Return talker and code predictor, with room for the longest of these."""
        plans = [answer.spoken for answer in answers if answer.spoken is not None]
        need = max((plan.n_positions for plan in plans), default=1)
        lanes = self.lanes if len(plans) > 1 else 1
        return self._sessions.lms(rounded(need, self.meta.speech.n_ctx_max), lanes, self.meta.speech.n_groups)

    def codec(self) -> CodecDecoder:
        """Return the codec decoder."""
        return self._sessions.codec()

    def open_codec(self) -> CodecDecoder:
        """Open another session of the codec decoder, for answers that are spoken in turns; close it."""
        return self._sessions.another_codec()

    def thinker(self, n_ctx: int, lanes: int) -> DecoderLM:
        """Return the thinker with room for `n_ctx` positions in each of `lanes`; what it held stays."""
        n_ctx = rounded(n_ctx, self.meta.n_ctx_max)
        old = self._thinker
        if old is not None and old.n_ctx >= n_ctx and old.n_lanes >= lanes:
            return old
        saved: list[bytes | None] = []
        if old is not None:
            # twice as much, so that a long conversation does not move with every answer
            n_ctx = n_ctx if old.n_ctx >= n_ctx else min(max(n_ctx, 2 * old.n_ctx), self.meta.n_ctx_max)
            n_ctx, lanes = max(n_ctx, old.n_ctx), max(lanes, old.n_lanes)
            saved = [old.save(lane) if len(held) else None for lane, held in enumerate(self.held)]
            self._thinker = None
            old.close()  # first, so that the two caches are never there together
        before, self.held = self.held, [Held() for _ in range(lanes)]
        self._thinker = self._open_lm("thinker", n_ctx, lanes)
        for lane, state in enumerate(saved):
            if state is not None:
                self._thinker.load(state, lane)
                self.held[lane] = before[lane]
        return self._thinker

    def snapshot(self, prompt: Prompt) -> tuple[bytes | None, Held]:
        """Return the lane that holds most of a prompt, without what else it holds; None where none does."""
        thinker = self._thinker
        if thinker is None:
            return None, Held()
        lane = longest(self.held, prompt, range(thinker.n_lanes))
        n = self.held[lane].common(prompt)
        if n == 0:
            return None, Held()
        whole = thinker.save(lane)
        if n == len(self.held[lane]):
            return whole, self.held[lane]
        thinker.rewind(lane, n)
        part = thinker.save(lane)
        thinker.load(whole, lane)
        return part, self.held[lane].cut(n)

    def restore(self, saved: SavedChat) -> None:
        """Put a saved conversation into the lane that holds least.

        Raises
        ------
        ArgumentError
            It was made with other weights.
        ModelFormatError
            It is not what it says it is.
        ContextFull
            It holds more positions than this model can.
        """
        n = len(saved.held)
        if saved.lane is None or n == 0:
            return
        if n >= self.meta.n_ctx_max:
            raise ContextFull(
                f"the saved conversation has {n} tokens, expected fewer than {self.meta.n_ctx_max}"
            )
        thinker = self.thinker(n + 1, 1)
        lane = min(range(thinker.n_lanes), key=lambda lane: len(self.held[lane]))
        self.held[lane] = Held()
        try:
            thinker.load(saved.lane, lane)
            if thinker.n_past(lane) != n:
                raise ModelFormatError(
                    f"the saved conversation has {n} tokens and a lane of "
                    f"{thinker.n_past(lane)}, expected as many"
                )
        except PyOmniError:
            thinker.rewind(lane)
            raise
        self.held[lane] = saved.held

    def _frame_rules(self) -> FrameRules:
        side = self.meta.speech
        return FrameRules(side.codec_eos, side.suppress, side.n_groups)

    def close(self) -> None:
        """Close the sessions; they open again when needed.

        Raises
        ------
        SessionBusy
            They are in use.
        """
        with self.use():
            self._sessions.close()
            if self._thinker is not None:
                self._thinker.close()
            self._thinker, self.held = None, []
