"""The codec in a thread of its own, beside the talker, where that waits for memory.

A consumer asks for a block of samples. `Beside.run` decodes it in the worker's thread, and meanwhile the
consumer's thread makes the events that come next and queues them (`Ahead`). They are looked at when they are
asked for, once the block has been handed out. So whoever reads sees frames and samples in the order that one
thread makes them in, and nothing works in the codec's session between two blocks: a stream is saved, closed
and primed as ever. Only the guard, which listens while frames are made, has to wait (`Beside.wait`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from pyomni.pipelines.lane import Event

__all__ = ["Ahead", "Beside"]

T = TypeVar("T")


class Beside:
    """A thread that works while its caller does something else; it begins with the first work.

    Parameters
    ----------
    share : callable (bool), optional
        Told before both work, and when only one does again: who shares the threads of the CPU.
    """

    def __init__(self, share: Callable[[bool], None] = lambda both: None) -> None:
        self._worker, self._share = ThreadPoolExecutor(1, "pyomni-codec"), share
        self._latest: Future[Any] | None = None

    def run(self, meanwhile: Callable[[], bool], work: Callable[[], T]) -> T:
        """Return what `work` returns or raises, done in the thread.

        Parameters
        ----------
        meanwhile : callable
            Called here again and again until the work is done, or it returns False. What it raises comes out
            once the work is done.
        """
        self._share(True)
        future = self._worker.submit(work)
        self._latest = future
        try:
            while not future.done() and meanwhile():
                pass
            return future.result()
        finally:
            self.wait()
            self._share(False)

    def wait(self) -> None:
        """Wait until nothing is being done."""
        if self._latest is not None:
            wait([self._latest])

    def close(self) -> None:
        """End the thread."""
        self._worker.shutdown()


class Ahead(Iterator[Event]):
    """Events that can be made before they are asked for.

    Parameters
    ----------
    events : iterator of Event
        Makes them.
    most : int
        Events of one request that may wait.

    Attributes
    ----------
    stepping : bool
        Whether one is being made that nobody asked for.
    """

    def __init__(self, events: Iterator[Event], most: int) -> None:
        self._events, self._most = events, most
        self._made: deque[Event] = deque()
        self._error: Exception | None = None
        self.stepping = False

    def step(self) -> bool:
        """Make one more event; return whether there was room and one to make.

        An error is raised where the event would have come.
        """
        # requests come along together, so the latest event's has as many as any
        n = sum(event.request == self._made[-1].request for event in self._made)
        if self._error is not None or n >= self._most:
            return False
        self.stepping = True
        try:
            self._made.append(next(self._events))
        except StopIteration:
            return False
        except Exception as error:
            self._error = error
            return False
        finally:
            self.stepping = False
        return True

    def __next__(self) -> Event:
        if self._made:
            return self._made.popleft()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return next(self._events)
