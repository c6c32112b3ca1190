"""Requests that come and go while others are spoken: what a server makes its answers with.

One thread runs the frames (`Live.run`), and pushes each event into the `Performance` of its request, which
gives back samples. The codes, and the samples, are those of `SpeechModel.speak`: the parts of a text are
requests of their own to the loop, and between them others get their turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyomni.api.many import Prepared, SpeechRequest
from pyomni.api.planning import find_voice
from pyomni.pipelines.beside import Ahead
from pyomni.pipelines.blocks import Blocks
from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.pipelines.fading import FADE_S, Fader
from pyomni.pipelines.feed import Feed
from pyomni.pipelines.script import Made
from pyomni.pipelines.speech import Event
from pyomni.receipt import Receipt

if TYPE_CHECKING:
    from pyomni.audio.reference import Clip
    from pyomni.components.codec import CodecDecoder
    from pyomni.pipelines.cloning import Cloner
    from pyomni.voices import Voice

__all__ = ["Live", "Performance"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


#: A plan, and whether nobody wants it any more.
Admitted = tuple[Plan, Callable[[], bool]]


class Live:
    """A model at work for many; `run`, `clone` and performances belong to the one thread inside `use`."""

    def __init__(
        self, engine: SpeechEngine, prepare_one: Callable[[SpeechRequest], Prepared], cloner: Cloner
    ) -> None:
        self._engine, self._prepare, self._cloner = engine, prepare_one, cloner
        self._codecs: list[CodecDecoder] = []
        self._ahead: Ahead | None = None  # of the run
        self._n_arriving = 0  # performances whose text may be late
        self._deferred = False
        self.lanes: int = engine.lanes
        self.sample_rate: int = engine.meta.sample_rate

    def prepare(self, request: SpeechRequest) -> Prepared:
        """Check a request and lay it out, in any thread; raises what `SpeechModel.speak` does."""
        return self._prepare(request)

    def prepare_arriving(self, request: SpeechRequest, seconds: float) -> Prepared:
        """Do as `prepare` for a text that is an `Arrival`, and cut the speech at so many seconds.

        The codes are those of `SpeechModel.stream` of the same pieces, as far as they go. The limit is what
        the sessions have room for: nobody knows how long the text will be.
        """
        script, issue = self._prepare(request)
        plan, meta = script.parts[0].plan, self._engine.meta
        most = math.ceil(seconds * meta.sample_rate / meta.hop)
        if plan.arriving is not None and plan.options.max_frames > most:
            known = plan.arriving.limit
            options = replace(plan.options, max_frames=most, min_frames=min(plan.options.min_frames, most))
            arriving = replace(plan.arriving, limit=lambda: min(most, known()))
            part = replace(script.parts[0], plan=replace(plan, options=options, arriving=arriving))
            script = replace(script, parts=(part,))
        return Prepared(script, issue)

    def keeps_voice(self, request: SpeechRequest) -> bool:
        """Whether texts spoken one by one have the same voice; raises where there is no such voice."""
        return not find_voice(self._engine.meta, request.voice).made_up

    def use(self) -> AbstractContextManager[None]:
        """Hold the model; raises `SessionBusy` where another caller does."""
        return self._engine.use()

    def run(
        self,
        take: Callable[[], Admitted | None],
        n_positions: int,
        idle: Callable[[], None] | None = None,
    ) -> Iterator[Event]:
        """Run plans as they come: `take` gives the next, or None for now; see `SpeechEngine.admit`."""

        def taken() -> Admitted | None:
            self._deferred = False
            return take()

        events = self._engine.admit(Feed(taken), n_positions, idle=idle)
        self._ahead = Ahead(events, self._engine.most_ahead)
        try:
            yield from self._ahead
        finally:
            self._ahead = None

    def clone(self, clip: Clip, transcript: str | None, name: str = "") -> Voice:
        """Make a voice of a clip, between two frames; see `SpeechModel.clone`."""
        return self._cloner.clone(clip, transcript, name)

    def perform(self, prepared: Prepared) -> Performance:
        """Begin to speak what was prepared; close it, so that another can have its codec session."""
        codec = self._codecs.pop() if self._codecs else self._engine.open_codec()
        arriving = any(part.plan.arriving is not None for part in prepared.script.parts)
        self._n_arriving += arriving

        def give_back(codec: CodecDecoder) -> None:
            self._codecs.append(codec)
            self._n_arriving -= arriving

        return Performance(self._engine, prepared, codec, give_back, None if arriving else self._go_ahead)

    def defers(self) -> bool:
        """Whether `take` is not to give a text that may be late now: there will be samples to hand out first.

        Then nobody goes ahead any more until it is asked again.
        """
        self._deferred = self._ahead is not None and self._ahead.stepping
        return self._deferred

    def _go_ahead(self) -> bool:
        """Make an event nobody asked for, unless that might take as long as a text takes to come."""
        waits = self._deferred or self._n_arriving > 0
        return self._ahead is not None and not waits and self._ahead.step()

    def close(self) -> None:
        """Close the codec sessions; performances have been closed before."""
        while self._codecs:
            self._codecs.pop().close()


class Performance:
    """One request on its way to sound.

    Attributes
    ----------
    made : Made
        Frames and samples so far; `finish_reason` once it has ended.
    """

    def __init__(
        self,
        engine: SpeechEngine,
        prepared: Prepared,
        codec: CodecDecoder,
        give_back: Callable[[CodecDecoder], None],
        meanwhile: Callable[[], bool] | None,
    ) -> None:
        self.made: Made = Made()
        self._engine, self._script, self._issue = engine, prepared.script, prepared.issue
        self._codec: CodecDecoder | None = codec
        self._give_back, self._meanwhile = give_back, meanwhile
        self._index, self._n_leading = -1, 0
        self._blocks: Blocks | None = None
        self._fader = Fader(0, 0)

    def next_plan(self) -> Plan:
        """Return the plan of the next part, whose events are then to be pushed."""
        self._index += 1
        part = self._script.parts[self._index]
        self._plan = part.plan
        if part.follows is not None and self._n_leading:
            self._plan = part.follows(self._codes()[: self._n_leading])
        self._blocks = None
        return self._plan

    def push(self, event: Event) -> list[F32]:
        """Take an event of the part that is running and return samples it completes, float32 [n] each.

        After the event that ends the part, `made.finish_reason` is set or `next_plan` is due. It may be
        set before that, where no more frames are allowed: then nothing is to be pushed any more.
        """
        assert self._codec is not None, "the performance is closed"
        found: list[F32] = []
        if self._blocks is None:
            found += self._begin_part(self._codec)
        blocks, made = self._blocks, self.made
        assert blocks is not None
        full = made.frames.n == self._script.max_frames
        if event.codes is not None:
            if full:
                made.finish_reason = "length"
                return self._counted([*found, *self._rest(blocks)])
            made.frames.append(event.codes)
            pcm = blocks.push(event.codes)
            return self._counted([*found, *([] if pcm is None else [self._fader.push(pcm)])])
        found += self._rest(blocks)
        if self._index == 0:
            self._n_leading = made.frames.n
        made.end_part(event.finish_reason, self._index == len(self._script.parts) - 1, full)
        return self._counted(found)

    def receipt(self) -> Receipt:
        """Return what made it, once it has ended."""
        return self._issue(self._codes(), self.made.finish_reason or "stop")

    def close(self) -> None:
        """Give the codec session back; calling it again does nothing."""
        if self._codec is not None:
            codec, self._codec = self._codec, None
            self._give_back(codec)

    def _begin_part(self, codec: CodecDecoder) -> list[F32]:
        parts, rate = self._script.parts, self._engine.meta.sample_rate
        self._blocks = self._engine.blocks(codec, self._plan.reference, self.made.timings, self._meanwhile)
        edges = round(FADE_S * rate)
        last = len(parts) - 1
        self._fader = Fader(edges if self._index else 0, edges if self._index < last else 0)
        pause = parts[self._index - 1].pause if self._index else 0.0
        return [np.zeros(round(pause * rate), np.float32)] if pause > 0 else []

    def _rest(self, blocks: Blocks) -> list[F32]:
        pcm = blocks.finish()
        return [*([] if pcm is None else [self._fader.push(pcm)]), self._fader.finish()]

    def _counted(self, blocks: list[F32]) -> list[F32]:
        blocks = [block for block in blocks if len(block)]
        self.made.n_samples += sum(map(len, blocks))
        return blocks

    def _codes(self) -> I32:
        return self.made.frames.array(self._engine.meta.n_groups)
