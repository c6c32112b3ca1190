"""One thread per model, and what its schedulers share: a bounded queue, and errands between two frames."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from pyomni.errors import Cancelled
from pyomni.server.failures import Busy, Draining
from pyomni.server.ticket import Ticket

__all__ = ["Worker"]

J = TypeVar("J", bound=Ticket[Any])
LOG = logging.getLogger("pyomni.server")


class Worker(ABC, Generic[J]):
    """The thread of one model, first come first served; what is done with a job is a subclass's.

    A subclass calls `_start` at the end of its ``__init__``.

    Parameters
    ----------
    lanes : int
        Jobs that run together.
    queue : int
        Jobs that may wait for a lane.
    """

    def __init__(self, lanes: int, queue: int) -> None:
        self._lanes, self._most = lanes, queue
        self._changed = threading.Condition()
        self._waiting: deque[J] = deque()
        self._running: dict[Any, J] = {}
        self._n_coming = 0  # jobs that have a place in the queue and are not ready for it
        self._errands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._draining = self._closed = False
        self._news = 0  # how often something changed
        self.frames = self.samples = self.done = self.failed = self.cancelled = 0

    # -- for everyone -----------------------------------------------

    async def between_frames(self, errand: Callable[[], Any], *, has_place: bool = False) -> Any:
        """Run something on the model's thread, between two frames, and return what it returns.

        Parameters
        ----------
        errand : callable
        has_place : bool
            It is for a job that has a place in the queue.

        Raises
        ------
        Busy
            As many wait for this as may wait for a lane.
        Draining
            The server is stopping.
        """
        future: Future[Any] = Future()
        with self._changed:
            if not has_place:
                self._check_open()
                if len(self._errands) >= self._most:
                    raise Busy(f"{len(self._errands)} clips wait already, expected fewer; try again later")
            else:
                self._check_open(goes_on=True)
            self._errands.append((errand, future))
            self._tell()
        return await asyncio.wrap_future(future)

    def check_place(self) -> None:
        """Raise `Busy` or `Draining` where a new job would have no place, before work is put into it."""
        with self._changed:
            self._check_place()

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return self._thread.is_alive() and not self._draining

    def load(self) -> tuple[int, int]:
        """Return how many requests have a lane, and how many wait."""
        with self._changed:
            return len(self._running), len(self._waiting) + self._n_coming

    def drain(self) -> None:
        """Take no new requests; those that are here are finished."""
        with self._changed:
            self._draining = True
            self._tell()

    def close(self) -> None:
        """Stop: cancel what is left, and wait for the thread."""
        with self._changed:
            self._draining = self._closed = True
            for job in self._jobs():
                job.gone = True
            self._tell()
        self._thread.join()

    # -- the queue --------------------------------------------------

    def _check_open(self, goes_on: bool = False) -> None:
        if self._closed or not self._thread.is_alive() or (self._draining and not goes_on):
            raise Draining("the server is stopping, expected another to be asked")

    def _check_place(self, goes_on: bool = False) -> None:
        """Raise where a new job has no place; call it with `_changed` held.

        What goes on with an answer that was begun has one though the queue is full or the server stops.
        """
        self._check_open(goes_on)
        n = len(self._waiting) + self._n_coming
        if n >= self._most + self._lanes - len(self._running) and not goes_on:
            raise Busy(f"{n} requests wait already, expected fewer; try again later")

    def _queue(self, job: J) -> None:
        """Append a job; call it with `_changed` held."""
        self._waiting.append(job)
        self._tell()

    def _tell(self) -> None:
        """Wake the thread, or keep it from going to sleep."""
        with self._changed:
            self._news += 1
            self._changed.notify_all()

    def _first(self) -> J | None:
        """Return the first of the queue that can be begun; `_changed` is held."""
        return self._waiting[0] if self._waiting else None

    # -- the thread -------------------------------------------------

    def _start(self, name: str) -> None:
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            with self._hold():
                while self._wait():
                    self._run()
        except BaseException as error:  # the model is held by another, say
            LOG.exception("the model's thread has ended")
            self._fail(error, everything=True)
        finally:
            self._shut()

    @abstractmethod
    def _hold(self) -> AbstractContextManager[None]:
        """Hold the model."""

    @abstractmethod
    def _run(self) -> None:
        """Run jobs until none runs and none fits."""

    @abstractmethod
    def _shut(self) -> None:
        """Free what the thread had."""

    def _release(self, job: J) -> None:
        """Free what an ended job had."""

    def _tidy(self) -> None:
        """Do what is due before a job is taken; `_changed` is held."""
        for job in [job for job in self._waiting if job.gone]:  # that nobody wants
            self._waiting.remove(job)
            self.cancelled += 1
            self._end(job, Cancelled("the request was cancelled"))

    def _jobs(self) -> list[J]:
        """Return all jobs that have not ended."""
        return [*self._running.values(), *self._waiting]

    def _wait(self) -> bool:
        """Wait for something to do; False at the end."""
        while True:
            self._do_errands()
            with self._changed:
                self._tidy()
                if self._first() is not None:
                    return True
                if self._errands:
                    continue
                if self._closed:
                    return False
                self._changed.wait()

    def _do_errands(self) -> None:
        while self._errands:
            errand, future = self._errands.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(errand())
            except BaseException as error:
                future.set_exception(error)

    def _end(self, job: J, error: BaseException | None) -> None:
        job.give(error)
        self._release(job)

    def _fail(self, error: BaseException, everything: bool = False) -> None:
        """End what was running with an error; the rest as well, where nothing can be done any more."""
        with self._changed:
            jobs = list(dict.fromkeys(self._jobs() if everything else self._running.values()))
            if everything:
                self._waiting.clear()
                for _, future in self._errands:
                    future.set_exception(error)
                self._errands.clear()
            self._running = {}
        for job in jobs:
            self.failed += 1
            self._end(job, error)
            job.gone = True
