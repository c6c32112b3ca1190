"""One thread per model: requests wait in a queue, take lanes as they come free, and get their sound.

First come, first served. A text in parts takes a lane for one part at a time and waits its turn again for the
next, so that others get in between; the next part waits, too, while too much of the sound is still unread.
Whoever stops reading frees the lane before the next frame. A text that is still arriving waits in the queue
until its beginning is there; then it keeps its lane, and misses steps while what it needs next has not come.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pyomni.api.live import Live
from pyomni.api.many import Prepared
from pyomni.errors import Cancelled
from pyomni.pipelines.engine import Plan
from pyomni.server.failures import Busy, Draining
from pyomni.server.job import Job

__all__ = ["Scheduler"]

LOG = logging.getLogger("pyomni.server")

#: Seconds of sound that may wait unread before the next part of a text is begun.
UNREAD_S = 60.0
#: Positions of a first session: short texts share it, and longer ones make it grow once all is quiet.
FIRST_POSITIONS = 1024


class Scheduler:
    """Speak jobs on the lanes of a model, in a thread of its own.

    Parameters
    ----------
    live : Live
    queue : int
        Requests that may wait for a lane.
    """

    def __init__(self, live: Live, queue: int = 32) -> None:
        self.live, self._most = live, queue
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Job, Plan]] = deque()
        self._paused: list[Job] = []  # whose next part waits for its reader
        self._errands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._running: dict[int, Job] = {}
        self._admitted = 0
        self._draining = self._closed = False
        self._room = FIRST_POSITIONS
        self._news = self._heard = 0
        self.frames = self.samples = self.done = self.failed = self.cancelled = 0
        self._thread = threading.Thread(target=self._work, name="pyomni-speech", daemon=True)
        self._thread.start()

    # -- for everyone -----------------------------------------------

    def submit(self, prepared: Prepared, seconds: float) -> Job:
        """Queue what `Live.prepare` returned; call it in the event loop that reads the job.

        Raises
        ------
        Busy
            The queue is full.
        Draining
            The server is stopping.
        """
        job = Job(prepared, time.monotonic() + seconds, self._tell)
        with self._changed:
            if self._draining or not self._thread.is_alive():
                raise Draining("the server is stopping, expected another to be asked")
            if len(self._waiting) >= self._most + self.live.lanes - len(self._running):
                raise Busy(f"{len(self._waiting)} requests wait already, expected fewer; try again later")
            self._waiting.append((job, prepared.script.parts[0].plan))
            self._tell()
        return job

    async def between_frames(self, errand: Callable[[], Any]) -> Any:
        """Run something on the model's thread, between two frames, and return what it returns.

        Raises
        ------
        Busy
            As many wait for this as may wait for a lane.
        Draining
            The server is stopping.
        """
        future: Future[Any] = Future()
        with self._changed:
            if self._draining or not self._thread.is_alive():
                raise Draining("the server is stopping, expected another to be asked")
            if len(self._errands) >= self._most:
                raise Busy(f"{len(self._errands)} clips wait already, expected fewer; try again later")
            self._errands.append((errand, future))
            self._tell()
        return await asyncio.wrap_future(future)

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return self._thread.is_alive() and not self._draining

    def load(self) -> tuple[int, int]:
        """Return how many requests have a lane, and how many wait."""
        with self._changed:
            return len(self._running), len(self._waiting) + len(self._paused)

    def drain(self) -> None:
        """Take no new requests; those that are here are finished."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop: cancel what is left, and wait for the thread."""
        with self._changed:
            self._draining = self._closed = True
            for job in [*self._running.values(), *self._paused, *(job for job, _ in self._waiting)]:
                job.gone = True
            self._tell()
        self._thread.join()

    def _tell(self) -> None:
        """Wake the thread, or keep it from going to sleep."""
        with self._changed:
            self._news += 1
            self._changed.notify_all()

    # -- the thread -------------------------------------------------

    def _work(self) -> None:
        try:
            with self.live.use():
                while self._wait():
                    self._run()
        except BaseException as error:  # the model is held by another, say
            LOG.exception("the model's thread has ended")
            self._fail(error, everything=True)
        finally:
            self.live.close()

    def _wait(self) -> bool:
        """Wait for something to do; False at the end."""
        while True:
            self._do_errands()
            with self._changed:
                self._resume_paused()
                self._sweep()
                if self._first() is not None:
                    return True
                if self._errands:
                    continue
                if self._closed:
                    return False
                self._changed.wait()

    def _run(self) -> None:
        """Speak until no lane is live and no request fits, or something fails."""
        with self._changed:
            if (first := self._first()) is None:
                return
            self._room = max(self._room, first[1].n_positions)
        self._admitted, self._running = 0, {}
        try:
            for event in self.live.run(self._next, self._room, self._idle):
                self._take(event)
        except Exception as error:
            LOG.exception("speaking failed")
            self._fail(error)

    def _next(self) -> tuple[Plan, Callable[[], bool]] | None:
        """Return what a free lane takes, if it fits the sessions as they are."""
        self._do_errands()
        with self._changed:
            self._resume_paused()
            self._sweep()
            first = self._first()
            if first is None or first[1].n_positions > self._room:
                return None
            self._waiting.remove(first)
            job, plan = first
            self._running[self._admitted] = job
            self._admitted += 1
        if job.performance is None:
            job.performance = self.live.perform(job.prepared)
            job.performance.next_plan()
        return plan, job.is_gone

    def _first(self) -> tuple[Job, Plan] | None:
        """Return the first of the queue that can be begun; with the lock."""
        for entry in list(self._waiting):
            job, plan = entry
            try:
                if plan.arriving is None or plan.arriving.begins():
                    return entry
            except Exception as error:
                self._waiting.remove(entry)
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

    def _resume_paused(self) -> None:
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
                    self._waiting.append((job, job.performance.next_plan()))
                except Exception as error:  # no room for the voice it goes on with
                    self.failed += 1
                    self._end(job, error)

    def _sweep(self) -> None:
        """Forget those in the queue that nobody wants."""
        for entry in [entry for entry in self._waiting if entry[0].gone]:
            self._waiting.remove(entry)
            self.cancelled += 1
            self._end(entry[0], Cancelled("the request was cancelled"))

    def _do_errands(self) -> None:
        while self._errands:
            errand, future = self._errands.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(errand())
            except BaseException as error:
                future.set_exception(error)

    def _end(self, job: Job, error: BaseException | None) -> None:
        job.give(error)
        if job.performance is not None:
            job.performance.close()

    def _fail(self, error: BaseException, everything: bool = False) -> None:
        """End what was running with an error; the rest as well, where nothing can be spoken any more."""
        with self._changed:
            jobs = list(dict.fromkeys(self._running.values()))
            if everything:
                jobs += [*self._paused, *(job for job, _ in self._waiting)]
                self._waiting.clear()
                self._paused.clear()
                for _, future in self._errands:
                    future.set_exception(error)
                self._errands.clear()
            self._running = {}
        for job in jobs:
            self.failed += 1
            self._end(job, error)
            job.gone = True
