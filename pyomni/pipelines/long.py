"""Texts of any length: parts spoken one by one or on several lanes, joined in order, at flat memory.

Each part is a generation of its own, with the codes it has alone; where the voice is in no prompt, the
parts after the first go on with its voice (`pyomni.pipelines.carry`). Between two parts the sound goes to
silence within `FADE_S`, stays there for the pause, and comes back as fast: nothing is cut away, and no step
is left that could click. Before the first part and after the last nothing is changed, so a text of one part
sounds as if there were no parts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError, InternalError
from pyomni.options import SpeechOptions
from pyomni.pipelines import carry
from pyomni.pipelines.beside import Ahead
from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.pipelines.fading import FADE_S, faded
from pyomni.pipelines.guard import UNTOUCHED
from pyomni.pipelines.prompt import PromptLayout
from pyomni.pipelines.resume import SavedSpeech
from pyomni.pipelines.script import Made, Part, Script, SpokenPiece
from pyomni.pipelines.speech import Event

__all__ = ["InOrder", "perform", "perform_codes", "resumed", "save", "start"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


class InOrder:
    """The events of several requests, one request after the other; those of later ones wait as codes.

    Parameters
    ----------
    events : iterator of Event
    most_ahead : int
        So many of a request may be made by `ahead`, before they are asked for.
    """

    def __init__(self, events: Iterator[Event], most_ahead: int = 0) -> None:
        self._events = Ahead(events, most_ahead)
        self.ahead = self._events.step if most_ahead else None
        self._waiting: dict[int, deque[Event]] = {}
        self._done = -1  # requests up to here are of no interest any more

    def next(self, request: int) -> Event:
        """Return the next event of a request, running the others as far as they come along."""
        waiting = self._waiting.get(request)
        if waiting:
            return waiting.popleft()
        for event in self._events:
            if event.request == request:
                return event
            if event.request > self._done:
                self._waiting.setdefault(event.request, deque()).append(event)
        raise InternalError(f"request {request} has no events left, expected one that ends it")

    def drop(self, request: int) -> None:
        """Forget a request, and all before it."""
        self._done = request
        for old in [index for index in self._waiting if index <= request]:
            del self._waiting[old]


def perform_codes(
    script: Script, events: InOrder, made: Made, offset: int = 0
) -> Iterator[tuple[Part, Iterator[I32]]]:
    """Yield each part with an iterator over its frames, int32 [n_groups], which is to be read to its end.

    Parameters
    ----------
    script : Script
        Its parts are the requests from `offset` on.
    events : InOrder
        Of these and maybe other requests.
    made : Made
        Gets the frames and, at the end, how it ended: as the part that ended worst (`WORST_FIRST`).
    """
    last = len(script.parts) - 1
    before = UNTOUCHED  # of the parts that have ended

    def frames(index: int) -> Iterator[I32]:
        nonlocal before
        while (event := events.next(offset + index)).codes is not None:
            if made.frames.n == script.max_frames:
                made.finish_reason = "length"
                return
            made.frames.append(event.codes)
            made.last, made.guard = event, before.plus(event.guard)
            yield event.codes
        made.guard = before = before.plus(event.guard)
        made.end_part(event.finish_reason, index == last, made.frames.n == script.max_frames)

    for index, part in enumerate(script.parts):
        yield part, frames(index)
        if made.finish_reason is not None:
            break
    events.drop(offset + last)


def perform(
    engine: SpeechEngine, script: Script, events: InOrder, made: Made, offset: int = 0
) -> Iterator[F32]:
    """Speak a script inside `SpeechEngine.use`; arguments are those of `perform_codes`.

    Yields
    ------
    float32 [n]
        The parts and the pauses between them.
    """
    rate = engine.meta.sample_rate
    pause, n_leading = 0.0, 0
    for part, frames in perform_codes(script, events, made, offset):
        first = part is script.parts[0]
        if pause > 0:
            silence = np.zeros(round(pause * rate), np.float32)
            made.n_samples += len(silence)
            yield silence
        first_frame, first_sample = made.frames.n, made.n_samples
        made.n_blocks = 0 if part.plan.saved is None else part.plan.saved.n_blocks
        reference = part.plan.reference
        if part.follows is not None and n_leading:
            reference = made.frames.array(engine.meta.n_groups)[:n_leading]
        blocks = engine.pcm(frames, made.timings, reference, part.plan.saved, events.ahead)
        edges = round(FADE_S * rate)
        for block in faded(blocks, 0 if first else edges, 0 if part is script.parts[-1] else edges):
            made.n_samples += len(block)
            made.n_blocks += 1
            yield block
        if len(script.parts) > 1:
            made.pieces.append(
                SpokenPiece(
                    part.text,
                    part.plan.options.seed,
                    first_frame,
                    made.frames.n - first_frame,
                    first_sample,
                    made.n_samples - first_sample,
                )
            )
        pause = part.pause
        if first:
            n_leading = made.frames.n


def start(engine: SpeechEngine, scripts: Sequence[Script], timings: Timings) -> InOrder:
    """Start the parts of all scripts on the lanes of a model; call it inside `SpeechEngine.use`."""
    plans: list[Plan] = []
    followers: dict[int, carry.Follower] = {}
    for script in scripts:
        leader = len(plans)
        for part in script.parts:
            if part.follows is not None:
                followers[len(plans)] = carry.Follower(leader, part.follows)
            plans.append(part.plan)
    # who goes ahead might wait for text, and would keep back the samples that are there by then
    most = 0 if any(plan.arriving is not None for plan in plans) else engine.most_ahead
    return InOrder(carry.run(engine, plans, followers, timings), most)


def save(engine: SpeechEngine, script: Script, made: Made) -> SavedSpeech:
    """Return where a script is; call it inside `SpeechEngine.use`, between two blocks of `perform`.

    Raises
    ------
    ArgumentError
        It has several parts, its text is still arriving, or it has ended.
    """
    if len(script.parts) > 1:
        raise ArgumentError(
            f"the stream speaks a text in {len(script.parts)} parts, expected one part to save: "
            'say split="never"'
        )
    plan, last = script.parts[0].plan, made.last
    if plan.arriving is not None:
        raise ArgumentError(
            "a stream of arriving text cannot be saved yet, expected a text that is all there"
        )
    if made.finish_reason is not None or last is None or last.pad_row is None:
        raise ArgumentError("the stream is at its end, expected to save it between two of its blocks")
    talker, codec = engine.save_lanes(last.n_past)
    codes = made.frames.array(engine.meta.n_groups)
    return SavedSpeech(
        np.frombuffer(talker, np.uint8),
        np.frombuffer(codec, np.uint8),
        codes,
        engine.row_sum(codes[-1:]),
        last.pad_row,
        np.array(plan.layout.trailing, np.int32),
        plan.n_prompt,
        made.n_blocks,
        plan.options,
        last.guard,
    )


def resumed(saved: SavedSpeech, seed: int | None) -> tuple[Script, Made]:
    """Return the script that goes on where a speech was saved, and what was made of it before.

    Raises
    ------
    ArgumentError
        The seed is out of its range.
    """
    options = saved.options
    if seed is not None:
        SpeechOptions(seed=seed)  # checks it
        options = replace(options, seed=int(seed))
    layout = PromptLayout((), tuple(saved.trailing.tolist()), pad=-1, n_text=0)
    made = Made(guard=saved.guard)
    for frame in saved.codes:
        made.frames.append(frame)
    return Script((Part(Plan(layout, options, saved=saved)),), options.seed), made
