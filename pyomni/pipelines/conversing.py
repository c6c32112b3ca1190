"""An answer as it comes: tokens and, where it is spoken, sound, made on demand and in turns.

Speech begins while the text is still being written: a frame waits only for the token it stands beside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyomni.pipelines.blocks import Blocks, Timings
from pyomni.pipelines.bridge import Writer
from pyomni.pipelines.guard import UNTOUCHED, GuardCounts
from pyomni.pipelines.omni import Answering, OmniEngine
from pyomni.pipelines.script import Frames
from pyomni.pipelines.thinking import ThinkTimings

__all__ = ["Answer", "Bit", "converse", "converse_many"]

F32 = npt.NDArray[np.float32]


class Bit(NamedTuple):
    """A bit of an answer: a token, or samples."""

    token: int | None
    pcm: F32 | None


@dataclass
class Answer:
    """What was made so far of one answer.

    Attributes
    ----------
    tokens : list of int
    finish_reason : {"stop", "length"} or None
        Of the text; None until it ended.
    frames : Frames
        Of the speech.
    speech_finish_reason : str or None
        As of `pyomni.pipelines.lane.Event`; None until the speech ended, and where there is none.
    guard : GuardCounts
        Of the speech.
    thinking, speaking : timings
    n_groups : int
        Of a frame; 0 before the first.
    """

    tokens: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    frames: Frames = field(default_factory=Frames)
    speech_finish_reason: str | None = None
    guard: GuardCounts = UNTOUCHED
    thinking: ThinkTimings = field(default_factory=ThinkTimings)
    speaking: Timings = field(default_factory=Timings)
    n_groups: int = 0

    def codes(self) -> npt.NDArray[np.int32]:
        """Return the frames so far, int32 [n_frames, n_groups]."""
        return self.frames.array(self.n_groups)


def converse(engine: OmniEngine, answering: Answering, answer: Answer) -> Generator[Bit, None, None]:
    """Answer one prompt inside `OmniEngine.use`.

    Yields
    ------
    Bit
        Tokens in order, samples in order; a token always before the samples that say it.
    """
    shown: deque[int] = deque()
    lane = 0

    def tokens() -> Generator[int, None, None]:
        nonlocal lane
        for event in engine.write([answering], answer.thinking):
            lane = event.lane
            if event.token is None:
                answer.finish_reason = event.finish_reason
                return
            answer.tokens.append(event.token)
            shown.append(event.token)
            yield event.token

    def bits() -> Iterator[Bit]:
        while shown:
            yield Bit(shown.popleft(), None)

    writing = tokens()
    try:
        writer = engine.writer(answering, writing)
        speaks = answering.spoken is not None
        while writer.step():
            yield from bits()
            if speaks and writer.ids:  # from here on, a frame asks for the token it stands beside
                break
        if speaks and writer.ids:
            # the hidden rows of the prompt are the lane's as long as this answer is written in it
            request = engine.speech_request(answering, writer, engine.held[lane].thought)
            blocks = Blocks(engine.codec(), answer.speaking)
            for event in engine.speak([answering], [request], answer.speaking):
                yield from bits()
                answer.guard = event.guard
                if event.codes is None:
                    answer.speech_finish_reason = event.finish_reason
                    break
                answer.n_groups = event.codes.size
                answer.frames.append(event.codes)
                if (pcm := blocks.push(event.codes)) is not None:
                    yield Bit(None, pcm)
            if (pcm := blocks.finish()) is not None:
                yield Bit(None, pcm)
        while writer.step():  # speech may end before the text does
            yield from bits()
        yield from bits()
    finally:
        writing.close()


def converse_many(
    engine: OmniEngine, answerings: Sequence[Answering]
) -> tuple[list[Answer], list[F32 | None]]:
    """Answer several prompts on the lanes inside `OmniEngine.use`: texts together, then speech together.

    Returns
    -------
    answers : list of Answer
        With the timings of the whole run.
    sounds : list of float32 [n] or None
        None for answers that are not spoken.
    """
    thinking, speaking = ThinkTimings(), Timings()
    answers = [Answer(thinking=thinking, speaking=speaking) for _ in answerings]
    thoughts: dict[int, F32] = {}
    for event in engine.write(answerings, thinking):
        answer = answers[event.request]
        thoughts.setdefault(event.request, engine.held[event.lane].thought)
        if event.token is None:
            answer.finish_reason = event.finish_reason
        else:
            answer.tokens.append(event.token)
    sounds: list[F32 | None] = [None] * len(answers)
    spoken: list[tuple[int, Writer]] = []
    for index, (answering, answer) in enumerate(zip(answerings, answers, strict=True)):
        if answering.spoken is not None:
            writer = engine.writer(answering, iter(answer.tokens))
            if writer.wait(1):
                spoken.append((index, writer))
    if not spoken:
        return answers, sounds
    speaking_answers = [answerings[index] for index, _ in spoken]
    engine.speakers(speaking_answers)  # opened with room for all of them before the first row is made
    requests = [engine.speech_request(answerings[index], writer, thoughts[index]) for index, writer in spoken]
    for spoke in engine.speak(speaking_answers, requests, speaking):
        answer = answers[spoken[spoke.request][0]]
        answer.guard = spoke.guard
        if spoke.codes is None:
            answer.speech_finish_reason = spoke.finish_reason
        else:
            answer.n_groups = spoke.codes.size
            answer.frames.append(spoke.codes)
    for index, _ in spoken:
        blocks = Blocks(engine.codec(), speaking)
        made = [blocks.push(frame) for frame in answers[index].codes()]
        parts = [pcm for pcm in [*made, blocks.finish()] if pcm is not None]
        sounds[index] = np.concatenate([np.zeros(0, np.float32), *parts])
    return answers, sounds
