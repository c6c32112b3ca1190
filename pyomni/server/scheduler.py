"""Speeches on the lanes of a model: they take lanes as these come free, and get their sound.

First come, first served. A text in parts takes a lane for one part at a time and waits its turn again for the
next, so that others get in between; the next part waits, too, while too much of the sound is still unread.
Whoever stops reading frees the lane before the next frame. A text that is still arriving waits in the queue
until its beginning is there; then it keeps its lane, and misses steps while what it needs next has not come.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from pyomni.api.live import Live
from pyomni.api.many import Prepared
from pyomni.errors import Cancelled
from pyomni.pipelines.engine import Plan
from pyomni.server.job import Job
from pyomni.server.worker import Worker

__all__ = ["Scheduler"]

LOG = logging.getLogger("pyomni.server")

#: Seconds of sound that may wait unread before the next part of a text is begun.
UNREAD_S = 60.0
#: Positions of a first session: short texts share it, and longer ones make it grow once all is quiet.
FIRST_POSITIONS = 1024


class Scheduler(Worker[Job]):
    """Speak jobs on the lanes of a model, in a thread of its own.

    Parameters
    ----------
    live : Live
    queue : int
        Requests that may wait for a lane.
    """

    def __init__(self, live: Live, queue: int = 32) -> None:
        super().__init__(live.lanes, queue)
        self.live = live
        self._paused: list[Job] = []  # whose next part waits for its reader
        self._admitted = 0
        self._room = FIRST_POSITIONS
        self._heard = 0  # of the news
        self._start("pyomni-speech")

    def submit(self, prepared: Prepared, seconds: float, *, goes_on: bool = False) -> Job:
        """Queue what `Live.prepare` returned; call it in the event loop that reads the job.

        Parameters
        ----------
        goes_on : bool
            It is a part of an answer that was begun: it is taken though the queue is full or the server
            stops.

        Raises
        ------
        Busy
            The queue is full.
        Draining
            The server is stopping.
        """
        job = Job(prepared, time.monotonic() + seconds, self._tell)
        with self._changed:
            self._check_place(goes_on)
            self._queue(job)
        return job

    def load(self) -> tuple[int, int]:
        """Return how many requests have a lane, and how many wait."""
        running, waiting = super().load()
        return running, waiting + len(self._paused)

    # -- the thread -------------------------------------------------

    def _hold(self) -> AbstractContextManager[None]:
        return self.live.use()

    def _shut(self) -> None:
        self.live.close()

    def _release(self, job: Job) -> None:
        if job.performance is not None:
            job.performance.close()

    def _jobs(self) -> list[Job]:
        return [*super()._jobs(), *self._paused]

    def _run(self) -> None:
        """Speak until no lane is live and no request fits, or something fails."""
        with self._changed:
            if (first := self._first()) is None:
                return
            self._room = max(self._room, first.plan.n_positions)
        self._admitted, self._running = 0, {}
        try:
            for event in self.live.run(self._next, self._room, self._idle):
                self._take(event)
                self._do_errands()
        except Exception as error:
            LOG.exception("speaking failed")
            self._fail(error)

    def _next(self) -> tuple[Plan, Callable[[], bool]] | None:
        """Return what a free lane takes, if it fits the sessions as they are."""
        with self._changed:
            self._tidy()
            job = self._first()
            if job is None or job.plan.n_positions > self._room:
                return None
            if job.plan.arriving is not None and self.live.defers():
                return None
            self._waiting.remove(job)
            self._running[self._admitted] = job
            self._admitted += 1
        if job.performance is None:
            job.performance = self.live.perform(job.prepared)
            job.performance.next_plan()
        return job.plan, job.is_gone

    def _first(self) -> Job | None:
        for job in list(self._waiting):
            try:
                if job.plan.arriving is None or job.plan.arriving.begins():
                    return job
            except Exception as error:
                self._waiting.remove(job)
                self.failed += 1
                self._end(job, error)
        return None

    def _idle(self) -> None:
        """Wait for news: all that have a lane wait for text."""
        with self._changed:
            if self._news == self._heard:
                self._changed.wait()
            self._heard = self._news
        self._do_errands()

    def _take(self, event: Any) -> None:
        job = self._running[event.request]
        performance = job.performance
        assert performance is not None, "a job with a lane performs"
        if event.finish_reason == "cancelled" or (job.gone and event.codes is None):
            self._leave(event.request)
            if performance.made.finish_reason is None:
                self.cancelled += 1
                self._end(job, Cancelled("the request was cancelled"))
            return
        if job.gone or performance.made.finish_reason is not None:
            return  # its last frame before the loop looks
        for block in performance.push(event):
            self.samples += len(block)
            job.give(block)
        self.frames += event.codes is not None
        if event.codes is None:
            self._leave(event.request)
        if performance.made.finish_reason is not None:
            job.receipt = performance.receipt()
            self.done += 1
            self._end(job, None)
            job.gone = True  # frees the lane where frames are still to come
        elif event.codes is None:
            with self._changed:
                self._paused.append(job)

    def _leave(self, request: int) -> None:
        with self._changed:
            del self._running[request]

    def _tidy(self) -> None:
        """Queue the next part of texts whose readers keep up."""
        for job in list(self._paused):
            if job.gone or job.unread <= UNREAD_S * self.live.sample_rate:
                self._paused.remove(job)
                assert job.performance is not None, "a job between parts performs"
                if job.gone:
                    self.cancelled += 1
                    self._end(job, Cancelled("the request was cancelled"))
                    continue
                try:
                    job.plan = job.performance.next_plan()
                    self._waiting.append(job)
                except Exception as error:  # no room for the voice it goes on with
                    self.failed += 1
                    self._end(job, error)
        super()._tidy()

    def _fail(self, error: BaseException, everything: bool = False) -> None:
        super()._fail(error, everything)
        if everything:
            self._paused.clear()
