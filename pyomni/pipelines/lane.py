"""One request on its way through the generation loop: what is drawn next, what may go out, and the way back.

Frames go out as they are made. While the guard (`pyomni.pipelines.guard`) suspects the newest ones they are
held back, from the first suspicious one on; when it is trouble the lane is put where that frame began,
exactly, and draws again with numbers of its own. So nothing that went out is ever taken back, the codec
never hears a frame that is not kept, and where a speech goes back to does not depend on who takes its
frames, or when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.options import GenerationOptions
from pyomni.pipelines.guard import EARLY, OVERRUN, SILENCE, TRIES, UNTOUCHED, GuardCounts, Levels, Watch
from pyomni.pipelines.prompt import TalkerPrompt
from pyomni.sampling import Uniforms, pick, restrict

if TYPE_CHECKING:
    from pyomni.components.lm import DecoderLM
    from pyomni.pipelines.exchange import Exchange

__all__ = ["Event", "FrameRules", "Lane", "Point", "Request", "TextLate"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


class TextLate(Exception):
    """The text that a request needs next has not come yet; what raised this is to be done again later."""


class FrameRules(Protocol):
    """The part of a model's header the loop needs."""

    @property
    def codec_eos_id(self) -> int:
        """The code of group 0 that ends a speech."""

    @property
    def suppress(self) -> tuple[int, int]:
        """Codes of group 0 that are never drawn, begin and end; `codec_eos_id` excepted."""

    @property
    def n_groups(self) -> int:
        """Code groups of a frame."""


@dataclass(frozen=True, eq=False)
class Point:
    """Where a request goes on: after its last frame, before the talker read it.

    Attributes
    ----------
    talker : bytes
        The lane (`DecoderLM.save`).
    row_sum : float32 [n_embd]
        Codec side of the next row: the sum of the last frame's embeddings.
    codes : int32 [n_frames, n_groups]
        The frames made so far, at least one.
    guard : GuardCounts
        Of them.
    """

    talker: bytes
    row_sum: F32
    codes: I32
    guard: GuardCounts = UNTOUCHED


@dataclass(frozen=True)
class Request:
    """One text to speak: its prompt, how to draw, and where to go on if not at the prompt."""

    prompt: TalkerPrompt
    options: GenerationOptions
    point: Point | None = field(default=None, kw_only=True)
    gone: Callable[[], bool] | None = field(default=None, kw_only=True)

    @property
    def unwanted(self) -> bool:
        """Whether nobody waits for it any more; asked before each frame, and then its lane is free."""
        return self.gone is not None and self.gone()

    @property
    def max_frames(self) -> int:
        """Most frames; asked anew before each."""
        return self.options.max_frames

    @property
    def capped(self) -> bool:
        """Whether those are the guard's, and more of them a missed end."""
        return self.options.guard is not None and self.options.guard.capped

    @property
    def least_frames(self) -> int:
        """Fewest frames the text can be said in; asked when a speech ends."""
        return 0 if self.options.guard is None else self.options.guard.least


class Event(NamedTuple):
    """What `generate` yields: a frame of a request, or how the request ended.

    Attributes
    ----------
    request : int
        Its place in the requests given.
    codes : int32 [n_groups] or None
        One frame; None in the last event of a request.
    finish_reason : {"stop", "length", "repaired", "runaway", "silence", "cancelled"} or None
        In the last event: the end id was drawn, or `max_frames` was reached without it; where the guard
        rolled back, ended all the same, or given up in a loop, without an end, or in near silence; or, of a
        request that nobody wanted any more, "cancelled".
    pad_row : float32 [n_embd] or None
        Of the prompt.
    n_past : int
        Positions of the lane before the talker reads the frame; it may be further already.
    guard : GuardCounts
        Of the request up to here.
    """

    request: int
    codes: I32 | None
    finish_reason: str | None
    pad_row: F32 | None = None
    n_past: int = 0
    guard: GuardCounts = UNTOUCHED


@dataclass(frozen=True)
class _Mark:
    """Where a lane goes back to: before a frame was drawn."""

    n_frames: int
    n_past: int
    logits: F32
    hidden: F32


class Lane:
    """One request on its way, in a lane of the talker.

    Parameters
    ----------
    index : int
        Of the request.
    request : Request
    talker : DecoderLM
    rows : Exchange
        Has the hidden row of the prompt, or of the point where the request goes on.
    number : int
        Of the lane.
    logits : float32 [n_vocab]
        What the talker left there.
    levels : callable or None
        For the guard.
    """

    def __init__(
        self,
        index: int,
        request: Request,
        talker: DecoderLM,
        rows: Exchange,
        number: int,
        logits: F32,
        levels: Levels | None = None,
    ) -> None:
        self.index, self.request, self.number = index, request, number
        self.logits, self._rows = logits, rows
        self._talker, self._draws = talker, Uniforms(request.options.seed)
        self._code0: list[int] = []
        self._counts = UNTOUCHED
        self._held: list[Event] = []
        self._mark: _Mark | None = None
        rules, point = request.options.guard, request.point
        self._watch = None if rules is None else Watch(rules.frames_per_second, levels)
        if point is not None:
            self._code0, self._counts = point.codes[:, 0].tolist(), point.guard
            if self._watch is not None:
                self._watch.recall(point.codes)
        self.seen = np.zeros(logits.size, np.bool_)  # [n_vocab], ids of group 0 generated so far
        self.seen[self._code0] = True
        self.uniforms = np.empty(0)  # float64 [n_groups], of this frame; with speculation [3 * n_groups]

    @property
    def n_frames(self) -> int:
        """Frames drawn so far, those held back included."""
        return len(self._code0)

    # -- drawing ----------------------------------------------------

    def draw(self, meta: FrameRules) -> int | list[Event]:
        """Draw group 0 of the next frame, rolling back before where this is no place to end.

        Returns
        -------
        int, or list of Event
            The code, or the last events of the request.
        """
        while True:
            code0 = self._pick(meta)
            ended = code0 == meta.codec_eos_id
            if not ended and self.n_frames < self.request.max_frames:
                self._mark_if_last()
                self._code0.append(code0)
                self.seen[code0] = True
                return code0
            trouble = self._trouble_at_end(ended)
            if trouble is None or not self._roll_back(trouble):
                return self._end(ended, trouble)

    def _pick(self, meta: FrameRules) -> int:
        options, n, attempt = self.request.options, self.n_frames, self._counts.attempts
        self.uniforms = self._draws.frame(n, meta.n_groups * (3 if options.speculate else 1), attempt)
        may_end = n >= options.min_frames and not (attempt and n < self.request.least_frames)
        scores = restrict(
            self.logits,
            seen=self.seen,
            penalty=options.repetition_penalty,
            end_id=meta.codec_eos_id,
            may_end=may_end,
            suppress=meta.suppress,
        )
        return pick(scores, options.talker, self.uniforms[0])

    # -- watching ---------------------------------------------------

    def take(self, frame: I32) -> tuple[list[Event], bool]:
        """Look at the frame that was drawn.

        Parameters
        ----------
        frame : int32 [n_groups]

        Returns
        -------
        events : list of Event
            Those that may go out: this frame, what was held back before it, or the end of the request.
        goes_on : bool
            Whether the talker is to read the frame; else the lane was put back, or has ended.
        """
        n_past = self._talker.n_past(self.number)
        event = Event(self.index, frame, None, self.request.prompt.pad_row, n_past, self._counts)
        watch = self._watch
        if watch is None:
            return [event], True
        trouble = watch.see(frame)
        if watch.suspicious and self._mark is None:
            self._mark = self._here(self.n_frames - 1)
        if self._mark is None:
            return [event], True
        self._held.append(event)
        if trouble is not None:
            return ([] if self._roll_back(trouble) else self._end(False, trouble)), False
        if watch.suspicious or self._near_the_most():
            return [], True
        return self._let_go(), True

    def _mark_if_last(self) -> None:
        """Begin to hold back frames where soon no more are allowed."""
        if self._mark is None and self._near_the_most():
            self._mark = self._here(self.n_frames)

    def _here(self, n_frames: int) -> _Mark:
        n_past, hidden = self._talker.n_past(self.number), self._rows.hidden(self.number)
        return _Mark(n_frames, n_past, self.logits, hidden)

    def _near_the_most(self) -> bool:
        watch = self._watch
        return (
            watch is not None
            and self.request.capped
            and self.n_frames >= self.request.max_frames - watch.tail
        )

    def _trouble_at_end(self, ended: bool) -> str | None:
        if self._watch is None:
            return None
        if ended:
            return EARLY if self.n_frames < self.request.least_frames else None
        return OVERRUN if self.request.capped else None

    def _let_go(self) -> list[Event]:
        held, self._held, self._mark = self._held, [], None
        return held

    # -- the way back -----------------------------------------------

    def _roll_back(self, trouble: str) -> bool:
        """Go back to before the frames held back, unless that was done too often."""
        if self._counts.attempts >= TRIES:
            return False
        self._counts = self._counts.after(trouble, len(self._held))
        self._drop()
        return True

    def _drop(self) -> None:
        mark = self._mark
        if mark is None:
            return
        self._talker.rewind(self.number, mark.n_past)
        self._rows.put_hidden(self.number, mark.hidden)
        self.logits = mark.logits
        del self._code0[mark.n_frames :]
        self.seen[:] = False
        self.seen[self._code0] = True
        if self._watch is not None:
            self._watch.forget(mark.n_frames)
        self._let_go()

    def _end(self, ended: bool, trouble: str | None) -> list[Event]:
        """Return the last events: what was held back is good, unless it is why the guard gives up."""
        held: list[Event] = []
        if self._watch is None or trouble in (None, EARLY):
            held = self._let_go()
            reason = "repaired" if self._counts.attempts and trouble is None else "stop"
            reason = reason if ended else "length"
        else:
            silent = trouble == SILENCE or (trouble == OVERRUN and self._watch.quiet())
            reason = "silence" if silent else "runaway"
            self._counts = self._counts._replace(dropped=self._counts.dropped + len(self._held))
            self._drop()
        return [*held, Event(self.index, None, reason, guard=self._counts)]
