"""Conversations on the lanes of a model: as many are answered together, first come first served.

job = await scheduler.submit(ChatRequest(messages, speak=True, voice="ethan"), seconds=600)
async for event in job:
    match event:
        case TextDelta(): ...      # event.text
        case AudioBlock(): ...     # event.pcm, float32 [n] at model.sample_rate
        case Done(): ...           # finish_reason, usage, receipt; the last one
job.cancel()                       # from anywhere: no more events are made

A lane holds what it has read: a request that goes on with a conversation is read from where that ended.
Whoever stops reading frees the lane before the next token or frame.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

from pyomni.api import OmniModel
from pyomni.api.asking import How
from pyomni.errors import Cancelled
from pyomni.pipelines.conversing import Bit
from pyomni.pipelines.together import Turn
from pyomni.server.chat_job import AudioBlock, ChatJob, ChatRequest, Done, TextDelta
from pyomni.server.failures import TooLate
from pyomni.server.worker import Worker

__all__ = ["ChatScheduler"]

T = TypeVar("T")
LOG = logging.getLogger("pyomni.server")

#: Requests whose media are decoded at once: a large image takes hundreds of megabytes.
READERS = 2


class ChatScheduler(Worker[ChatJob]):
    """Answer conversations on the lanes of a model, in a thread of its own.

    Parameters
    ----------
    model : OmniModel
        Answers for this alone until `close`.
    queue : int
        Requests that may wait for a lane.
    """

    def __init__(self, model: OmniModel, queue: int = 32) -> None:
        self.live = model.live()
        super().__init__(self.live.lanes, queue)
        self.model = model
        self.tokens = 0
        self._readers = ThreadPoolExecutor(READERS, "pyomni-read")
        self._start("pyomni-chat")

    async def submit(self, request: ChatRequest, seconds: float) -> ChatJob:
        """Check a request, read its media and queue it; call it in the event loop that reads the job.

        Parameters
        ----------
        request : ChatRequest
        seconds : float
            Until its deadline, from now.

        Raises
        ------
        Busy
            The queue is full.
        Draining
            The server is stopping.
        TooLate
            The media were not read by the deadline.
        PyOmniError
            As `OmniModel.reply`.
        """
        job = ChatJob(request, time.monotonic() + seconds, self._tell)
        with self._changed:
            self._check_place()
            self._n_coming += 1
        how = How(
            request.speak,
            request.voice,
            request.options,
            request.speech_options,
            request.audio_in_video,
        )
        live, loop = self.live, asyncio.get_running_loop()
        try:
            unseen = await _by(
                job.deadline,
                loop.run_in_executor(
                    self._readers, live.prepare, request.messages, how, dict(request.template)
                ),
            )
            perceiving = self.between_frames(lambda: live.perceive(unseen), has_place=True)
            asked = await _by(job.deadline, perceiving)
            job.messages, job.reply = asked.messages, live.reply(asked.answering, job.is_gone)
        finally:
            with self._changed:
                self._n_coming -= 1
                if job.reply is not None:
                    job.gone = job.gone or self._closed
                    self._queue(job)
        return job

    def close(self) -> None:
        """Stop: cancel what is left, and wait for the thread."""
        super().close()
        self._readers.shutdown(wait=False, cancel_futures=True)

    # -- the thread -------------------------------------------------

    def _hold(self) -> AbstractContextManager[None]:
        return self.live.use()

    def _shut(self) -> None:
        self.live.close()

    def _run(self) -> None:
        try:
            for turn, bit in self.live.run(self._next):
                self._take(turn, bit)
                self._do_errands()
        except Exception as error:
            LOG.exception("answering failed")
            self._fail(error)

    def _next(self, has_room: Callable[[Turn], bool]) -> Turn | None:
        """Return what a free lane takes, if it fits the sessions as they are."""
        with self._changed:
            self._tidy()
            if (job := self._first()) is None:
                return None
            assert job.reply is not None, "what waits was read"
            turn = job.reply.turn
            if not has_room(turn):
                return None
            self._waiting.remove(job)
            self._running[turn] = job
            return turn

    def _take(self, turn: Turn, bit: Bit | None) -> None:
        job = self._running[turn]
        if bit is None:
            with self._changed:
                del self._running[turn]
        if job.over:
            return
        if bit is None and turn.cancelled:
            self.cancelled += 1
            job.over = True
            self._end(job, Cancelled("the request was cancelled"))
            return
        if job.gone:
            return  # its last bit before the loop looks
        assert job.reply is not None, "what runs was read"
        self.tokens += bit is not None and bit.token is not None
        event = job.reply.push(bit)
        if event is not None and event.pcm is not None:
            self.samples += len(event.pcm)
            job.give(AudioBlock(event.pcm))
        elif event is not None:
            self._show(job, job.stops.push(event.text))
        if bit is None or job.stops.hit:
            self._show(job, job.stops.finish())
            self._finish(job)

    def _show(self, job: ChatJob, text: str) -> None:
        if text:
            job.text += text
            job.give(TextDelta(text))

    def _finish(self, job: ChatJob) -> None:
        assert job.reply is not None, "what runs was read"
        reply, receipt = job.reply.summary()
        n_frames = job.reply.n_frames
        self.frames += n_frames
        self.done += 1
        job.over = True
        reason = "stop" if job.stops.hit else reply.finish_reason
        job.give(Done(reason, job.text, reply.n_prompt, reply.n_reused, len(reply.tokens), n_frames, receipt))
        self._end(job, None)
        job.gone = True  # frees the lane where tokens are still to come


async def _by(deadline: float, work: Awaitable[T]) -> T:
    try:
        return await asyncio.wait_for(work, max(0.0, deadline - time.monotonic()))
    except asyncio.TimeoutError:
        raise TooLate("the request was not read by its deadline; a shorter one takes less time") from None
