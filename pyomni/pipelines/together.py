"""Answers that come and go while others are made: what a server converses with.

Texts step together on the lanes of the thinker and speech on those of the talker, a token of each text and a
frame of each speech in turns. Each answer has the tokens, frames and samples it has alone: a talker hears of
a token only when its frame asks for it, however far the text is by then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyomni.pipelines.blocks import Blocks
from pyomni.pipelines.bridge import Writer
from pyomni.pipelines.conversing import Answer, Bit
from pyomni.pipelines.feed import Feed
from pyomni.pipelines.omni import Answering, OmniEngine
from pyomni.pipelines.speech import Event, Request
from pyomni.pipelines.thinking import TextEvent, TextRequest

if TYPE_CHECKING:
    from pyomni.components.codec import CodecDecoder

__all__ = ["Together", "Turn"]

F32 = npt.NDArray[np.float32]


@dataclass(eq=False)
class Turn:
    """One answer among others.

    Attributes
    ----------
    answering : Answering
    gone : callable () -> bool
        Whether nobody waits for it any more; asked before each token and frame.
    answer : Answer
        What was made so far.
    cancelled : bool
        It ended since nobody waited.
    """

    answering: Answering
    gone: Callable[[], bool]
    answer: Answer = field(default_factory=Answer)
    cancelled: bool = False
    _unheard: deque[int] = field(default_factory=deque)  # written, and not asked for by its speech
    _thought: F32 | None = None
    _writer: Writer | None = None  # until it ended, where it is spoken
    _blocks: Blocks | None = None
    _codec: CodecDecoder | None = None

    @property
    def written(self) -> bool:
        """Whether the text has ended."""
        return self.answer.finish_reason is not None


#: Returns the turn that is next if it passes a test, or None.
Take = Callable[[Callable[[Turn], bool]], "Turn | None"]


class Together:
    """The loop of one model; everything in it belongs to the thread inside `OmniEngine.use`."""

    def __init__(self, engine: OmniEngine) -> None:
        self._engine = engine
        self._live: list[Turn] = []
        self._out: deque[tuple[Turn, Bit | None]] = deque()
        self._codecs: list[CodecDecoder] = []
        self._text_room = self._speech_room = 0
        self._begin_texts()
        self._begin_speeches()
        self._silent: list[Turn] = []  # to be spoken, without a word so far
        self._ready: deque[Turn] = deque()  # with a first word, waiting for a lane of the talker

    def run(self, take: Take) -> Iterator[tuple[Turn, Bit | None]]:
        """Answer turns as they come, until none is live and none is taken.

        Parameters
        ----------
        take : callable
            Asked before each token while there are fewer turns than lanes, for the next turn that has room in
            the sessions as they are; when nothing runs, all have.

        Yields
        ------
        (turn, bit)
            A token always before the samples that say it; None for the end of a turn.
        """
        self._take = take
        try:
            while True:
                self._write_round()
                yield from self._shown()
                self._listen()
                self._speak_round()
                yield from self._shown()
                if not self._live:
                    return
        finally:
            self._reset()

    def close(self) -> None:
        """Close the codec sessions."""
        while self._codecs:
            self._codecs.pop().close()

    # -- texts ------------------------------------------------------

    def _begin_texts(self) -> None:
        self._texts: Iterator[TextEvent] | None = None
        self._writing: dict[int, Turn] = {}
        self._n_texts = 0

    def _write_round(self) -> None:
        """Write a token of each text."""
        for _ in range(max(1, len(self._writing))):
            if not self._write():
                return

    def _write(self) -> bool:
        """Let the texts go on by one event; return whether there was one."""
        if self._texts is None:
            first = self._admit(lambda turn: True)
            if first is None:
                return False
            firsts = [first]

            def requests() -> TextRequest | None:
                turn = firsts.pop() if firsts else self._admit(self._has_room_to_write)
                return None if turn is None else self._begun(turn)

            self._texts, self._text_room = self._engine.admit_texts(
                Feed(requests), first.answering.n_positions
            )
        event = next(self._texts, None)
        if event is None:
            self._begin_texts()
            return False
        turn = self._writing[event.request]
        if turn._thought is None:
            # the hidden rows of the prompt are the lane's as long as this answer is written in it
            turn._thought = self._engine.held[event.lane].thought
            turn.answer.thinking.n_reused = event.n_reused
        if event.token is None:
            del self._writing[event.request]
            turn.answer.finish_reason = event.finish_reason
            self._end_if_over(turn)
            return True
        turn.answer.tokens.append(event.token)
        self._out.append((turn, Bit(event.token, None)))
        if turn._writer is not None:
            turn._unheard.append(event.token)
        return True

    def _admit(self, has_room: Callable[[Turn], bool]) -> Turn | None:
        if len(self._live) >= self._engine.lanes:
            return None
        turn = self._take(lambda turn: has_room(turn) and self._has_room_to_speak(turn))
        if turn is None:
            return None
        plan = turn.answering.spoken
        if plan is not None:
            if plan.n_positions > self._speech_room:  # nobody speaks: the talker is opened anew
                self._close(self._speeches)
                self._begin_speeches()
                self._speech_room = plan.n_positions
            turn._writer = self._engine.writer(turn.answering, self._hearing(turn))
            self._silent.append(turn)
        self._live.append(turn)
        return turn

    def _begun(self, turn: Turn) -> TextRequest:
        self._writing[self._n_texts] = turn
        self._n_texts += 1
        return replace(turn.answering.request, gone=turn.gone)

    def _has_room_to_write(self, turn: Turn) -> bool:
        return turn.answering.n_positions <= self._text_room

    def _has_room_to_speak(self, turn: Turn) -> bool:
        """Whether the talker has room, or can be given it as nobody speaks."""
        plan = turn.answering.spoken
        speaking = any(other._writer is not None for other in self._live)
        return plan is None or not speaking or plan.n_positions <= self._speech_room

    def _hearing(self, turn: Turn) -> Iterator[int]:
        """Yield what is written, waiting for it."""
        while True:
            while not turn._unheard and not turn.written:
                self._write()
            if not turn._unheard:
                return
            yield turn._unheard.popleft()

    # -- speech -----------------------------------------------------

    def _begin_speeches(self) -> None:
        self._speeches: Iterator[Event] | None = None
        self._speaking: dict[int, Turn] = {}
        self._n_speeches = 0

    def _listen(self) -> None:
        """Find the texts that have a first word to speak."""
        for turn in list(self._silent):
            writer = turn._writer
            assert writer is not None, "a turn that is to be spoken has a writer"
            while not writer.ids and (turn._unheard or turn.written) and writer.step():
                pass
            if writer.ids:
                self._silent.remove(turn)
                self._ready.append(turn)
            elif writer.done:  # without a word
                self._silent.remove(turn)
                self._spoken(turn)

    def _speak_round(self) -> None:
        """Speak a frame of each speech."""
        for turn in [turn for turn in self._ready if turn.gone()]:
            self._ready.remove(turn)
            turn.cancelled = True
            self._spoken(turn)
        for _ in range(max(1, len(self._speaking))):
            if self._speeches is None:
                if not self._ready:
                    return
                self._speeches = self._engine.admit_speeches(Feed(self._next_speech), self._speech_room)
            event = next(self._speeches, None)
            if event is None:
                self._begin_speeches()
                return
            self._say(event)

    def _next_speech(self) -> Request | None:
        if not self._ready:
            return None
        turn = self._ready.popleft()
        assert turn._writer is not None, "a turn that is to be spoken has a writer"
        assert turn._thought is not None, "a word was written"
        self._speaking[self._n_speeches] = turn
        self._n_speeches += 1
        turn._codec = self._codecs.pop() if self._codecs else self._engine.open_codec()
        turn._blocks = Blocks(turn._codec, turn.answer.speaking)
        return self._engine.speech_request(turn.answering, turn._writer, turn._thought, turn.gone)

    def _say(self, event: Event) -> None:
        turn = self._speaking[event.request]
        answer, blocks = turn.answer, turn._blocks
        assert blocks is not None, "a turn that speaks has a codec"
        answer.guard = event.guard
        if event.codes is not None:
            answer.n_groups = event.codes.size
            answer.frames.append(event.codes)
            pcm = blocks.push(event.codes)
        else:
            del self._speaking[event.request]
            answer.speech_finish_reason = event.finish_reason
            turn.cancelled = event.finish_reason == "cancelled"
            pcm = None if turn.cancelled else blocks.finish()
        if pcm is not None:
            self._out.append((turn, Bit(None, pcm)))
        if event.codes is None:
            self._spoken(turn)

    # -- both -------------------------------------------------------

    def _spoken(self, turn: Turn) -> None:
        """Note that the speech has ended, which may be before the text does."""
        turn._writer = turn._blocks = None
        if turn._codec is not None:
            self._codecs.append(turn._codec)
            turn._codec = None
        self._end_if_over(turn)

    def _end_if_over(self, turn: Turn) -> None:
        if turn.written and turn._writer is None:
            turn.cancelled = turn.cancelled or turn.answer.finish_reason == "cancelled"
            self._live.remove(turn)
            self._out.append((turn, None))

    def _shown(self) -> Iterator[tuple[Turn, Bit | None]]:
        while self._out:
            yield self._out.popleft()

    def _close(self, run: Iterator[Event] | Iterator[TextEvent] | None) -> None:
        if isinstance(run, Generator):
            run.close()

    def _reset(self) -> None:
        """Forget all, also after a failure; what was live does not end any more."""
        for turn in self._live:
            if turn._codec is not None:
                self._codecs.append(turn._codec)
                turn._codec = None
        self._close(self._speeches)
        self._close(self._texts)
        self._live.clear()
        self._out.clear()
        self._silent.clear()
        self._ready.clear()
        self._begin_texts()
        self._begin_speeches()
