"""What conversing gives: `Reply`, whole, and `ReplyStream`, as it comes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from html import escape
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyomni.api.result import Speech
from pyomni.pipelines.conversing import Answer, Bit, converse
from pyomni.pipelines.omni import Answering, OmniEngine
from pyomni.pipelines.thinking import ThinkTimings
from pyomni.receipt import Receipt
from pyomni.text.detokenizer import Detokenizer, TokenTexts

__all__ = ["Reply", "ReplyEvent", "ReplyStream", "Telling", "reply_of"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


class ReplyEvent(NamedTuple):
    """A bit of a reply: text, or sound.

    Attributes
    ----------
    text : str
        What comes next; "" in an event that has sound.
    pcm : float32 [n] or None
        Samples that come next.
    """

    text: str = ""
    pcm: F32 | None = None


class Telling:
    """Bits of an answer to events: never half a character."""

    def __init__(self, texts: TokenTexts) -> None:
        self._characters = Detokenizer(texts)

    def tell(self, bit: Bit | None) -> ReplyEvent | None:
        """Return the event of a bit, if it makes one; None is the end."""
        if bit is not None and bit.pcm is not None:
            return ReplyEvent(pcm=bit.pcm)
        if bit is None or bit.token is None:
            text = self._characters.finish()
        else:
            text = self._characters.feed(bit.token)
        return ReplyEvent(text) if text else None


@dataclass(frozen=True)
class Reply:
    """An answer, and how it came to be.

    Attributes
    ----------
    text : str
    tokens : int32 [n]
        Of the text, without the one that ended it.
    speech : Speech or None
        Where it was spoken; None as well for an answer without a word.
    seed : int
        Of the text; gives the same tokens again.
    finish_reason : {"stop", "length"}
        The model ended the answer, or it was cut at the most tokens allowed.
    n_prompt, n_reused : int
        Tokens of the conversation before the answer, and how many of them the model had read before.
    timings : ThinkTimings
        Of the text.
    """

    text: str
    tokens: I32
    speech: Speech | None
    seed: int
    finish_reason: str
    n_prompt: int
    n_reused: int
    timings: ThinkTimings

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the text, and a player where it was spoken."""
        said = f'<p style="white-space: pre-wrap">{escape(self.text)}</p>'
        return said if self.speech is None else said + self.speech._repr_html_()


def reply_of(
    answering: Answering, answer: Answer, sound: F32 | None, texts: TokenTexts, sample_rate: int
) -> Reply:
    """Return an answer that is whole."""
    speech, plan = None, answering.spoken
    if sound is not None and plan is not None:
        codes, reason = answer.codes(), answer.speech_finish_reason or "stop"
        receipt = None if answering.issue is None else answering.issue(codes, reason)
        seed = plan.options.seed
        speech = Speech(
            sound, sample_rate, codes, seed, reason, answer.speaking, guard=answer.guard, receipt=receipt
        )
    return Reply(
        Detokenizer(texts).all(answer.tokens),
        np.array(answer.tokens, np.int32),
        speech,
        answering.request.options.seed,
        answer.finish_reason or "stop",
        len(answering.request.prompt),
        answer.thinking.n_reused,
        answer.thinking,
    )


class ReplyStream(Iterator[ReplyEvent]):
    """A reply as it comes: an iterator of `ReplyEvent`, and what is known of it so far.

    Read it to its end, close it, or use it as a context manager: it holds the model until then.

    Attributes
    ----------
    seed : int
        Of the text.
    sample_rate : int
        Hz; 0 where it is not spoken.
    """

    def __init__(
        self,
        engine: OmniEngine,
        answering: Answering,
        texts: TokenTexts,
        ended: Callable[[Reply], object] | None = None,
    ) -> None:
        self.seed: int = answering.request.options.seed
        self.sample_rate: int = 0 if answering.spoken is None else engine.meta.speech.sample_rate
        self._answering, self._texts, self._ended = answering, texts, ended
        self._answer = Answer()
        self._blocks: list[F32] = []
        self._read = False
        # the generator does not know this object: a stream that is dropped is freed at once
        self._events = _run(engine, answering, self._answer, texts)

    @property
    def text(self) -> str:
        """What was written so far."""
        return Detokenizer(self._texts).all(self._answer.tokens)

    @property
    def tokens(self) -> I32:
        """Its tokens, int32 [n]."""
        return np.array(self._answer.tokens, np.int32)

    @property
    def codes(self) -> I32:
        """Frames of speech so far, int32 [n_frames, n_groups]; a few may not be decoded yet."""
        return self._answer.codes()

    @property
    def finish_reason(self) -> str | None:
        """How the text ended, None until then."""
        return self._answer.finish_reason

    @property
    def receipt(self) -> Receipt | None:
        """What made the speech, as `Speech.receipt`; None until it ended, and where nothing was spoken."""
        issue, reason = self._answering.issue, self._answer.speech_finish_reason
        return None if issue is None or reason is None else issue(self.codes, reason)

    @property
    def timings(self) -> ThinkTimings:
        """Seconds spent on the text so far."""
        return self._answer.thinking

    def __iter__(self) -> ReplyStream:
        return self

    def __next__(self) -> ReplyEvent:
        try:
            event = next(self._events)
        except StopIteration:
            if self._ended is not None and self._answer.finish_reason is not None:
                ended, self._ended = self._ended, None
                ended(self._reply())
            raise
        if event.pcm is not None and self._read:
            self._blocks.append(event.pcm)
        return event

    def read(self) -> Reply:
        """Answer to the end and return it whole; samples taken before are not in its speech's audio."""
        self._read = True
        for _ in self:
            pass
        return self._reply()

    def _reply(self) -> Reply:
        sound = None
        if self._answer.frames.n:
            sound = np.concatenate([np.zeros(0, np.float32), *self._blocks])
        return reply_of(self._answering, self._answer, sound, self._texts, self.sample_rate)

    def close(self) -> None:
        """Stop answering and give the model back."""
        self._events.close()

    def __enter__(self) -> ReplyStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run(
    engine: OmniEngine, answering: Answering, answer: Answer, texts: TokenTexts
) -> Generator[ReplyEvent, None, None]:
    """Yield the events of one answer."""
    telling = Telling(texts)
    with engine.use():
        bits: Generator[Bit, None, None] = converse(engine, answering, answer)
        try:
            for bit in chain(bits, [None]):
                if (event := telling.tell(bit)) is not None:
                    yield event
        finally:
            bits.close()
