"""Conversations that come and go while others are answered: what a server makes its replies with.

One thread runs the tokens and frames (`OmniLive.run`), and pushes each bit into its `LiveReply`, which gives
back events. Text, codes and samples are those of `OmniModel.reply`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from pyomni.api.asking import Asked, Asker, How, Unseen
from pyomni.api.reply import Reply, ReplyEvent, Telling, reply_of
from pyomni.pipelines.conversing import Bit
from pyomni.pipelines.omni import Answering, OmniEngine
from pyomni.pipelines.together import Take, Together, Turn
from pyomni.receipt import Receipt
from pyomni.text.detokenizer import TokenTexts

__all__ = ["LiveReply", "OmniLive"]


class OmniLive:
    """A model that converses with many; all but `prepare` belongs to the one thread inside `use`."""

    def __init__(self, engine: OmniEngine, asker: Asker, texts: TokenTexts, sample_rate: int) -> None:
        self._engine, self._asker, self._texts = engine, asker, texts
        self._together = Together(engine)
        self.lanes, self.sample_rate = engine.lanes, sample_rate

    def prepare(self, messages: Sequence[Mapping[str, Any]], how: How, template: Mapping[str, Any]) -> Unseen:
        """Check a request and decode its media, in any thread; raises what `OmniModel.reply` does."""
        return self._asker.read(messages, how, template)

    def use(self) -> AbstractContextManager[None]:
        """Hold the model; raises `SessionBusy` where another caller does."""
        return self._engine.use()

    def perceive(self, unseen: Unseen) -> Asked:
        """Hear and see what was prepared, between two tokens; raises what `OmniModel.reply` does."""
        return self._asker.perceive(unseen)

    def reply(self, answering: Answering, gone: Callable[[], bool]) -> LiveReply:
        """Return what is to be taken by `run`."""
        return LiveReply(Turn(answering, gone), self._texts, self.sample_rate)

    def run(self, take: Take) -> Iterator[tuple[Turn, Bit | None]]:
        """Answer turns as they come; see `Together.run`."""
        return self._together.run(take)

    def close(self) -> None:
        """Close the codec sessions."""
        self._together.close()


class LiveReply:
    """One reply on its way.

    Attributes
    ----------
    turn : Turn
        Whose bits are to be pushed.
    """

    def __init__(self, turn: Turn, texts: TokenTexts, sample_rate: int) -> None:
        self.turn = turn
        self._texts, self._rate = texts, sample_rate
        self._telling = Telling(texts)

    def push(self, bit: Bit | None) -> ReplyEvent | None:
        """Take a bit, or None at the end, and return the event it completes."""
        return self._telling.tell(bit)

    @property
    def n_frames(self) -> int:
        """Frames of its speech so far."""
        return self.turn.answer.frames.n

    def summary(self) -> tuple[Reply, Receipt | None]:
        """Return the reply without its sound, as far as it goes, and the receipt of its speech."""
        turn = self.turn
        answer, issue = turn.answer, turn.answering.issue
        receipt = None
        if issue is not None and answer.speech_finish_reason is not None:
            receipt = issue(answer.codes(), answer.speech_finish_reason)
        return reply_of(turn.answering, answer, None, self._texts, self._rate), receipt
