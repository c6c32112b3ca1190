"""A request on its way: what the model's thread gives, and an event loop reads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from pyomni.server.failures import TooLate

__all__ = ["Ticket", "ended"]

T = TypeVar("T")
#: Seconds until work that goes on is cancelled again: less than a frame takes to be heard.
AGAIN_S = 0.05


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait until they have ended, however they end."""
    left = {task for task in tasks if not task.done()}
    while left:  # before Python 3.12, wait_for may swallow a cancellation as a block comes
        for task in left:
            task.cancel()
        # not gather: cancelled as well, its error may lack the words by which a cancel scope knows its own
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen: nobody else asks


class Ticket(Generic[T]):
    """A request in a scheduler, read as an async iterator in the event loop it was made in.

    Iterating raises `TooLate` at the deadline, `Cancelled` where it was cancelled elsewhere, and whatever
    went wrong with the request. Leaving the iteration by an exception cancels it.

    Parameters
    ----------
    deadline : float
        On `time.monotonic`'s clock.
    wake : callable
        Called in any thread when something of it has changed.
    """

    def __init__(self, deadline: float, wake: Callable[[], None]) -> None:
        self.deadline = deadline
        self.gone = False
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[T | BaseException | None] = asyncio.Queue()
        self._unread, self._lock = 0, threading.Lock()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            left = self.deadline - time.monotonic()
            found = await asyncio.wait_for(self._items.get(), max(left, 0))
        except asyncio.TimeoutError:
            self.cancel()
            raise TooLate("the answer was not done by its deadline; a shorter one takes less time") from None
        except BaseException:
            self.cancel()
            raise
        if found is None:
            raise StopAsyncIteration
        if isinstance(found, BaseException):
            raise found
        with self._lock:
            self._unread -= self.weight(found)
        self._wake()
        return found

    def cancel(self) -> None:
        """Want it no more; its lane is free before the next frame or token."""
        self.gone = True
        self._wake()

    def is_gone(self) -> bool:
        """Whether nobody wants it."""
        return self.gone

    # -- the worker's side ------------------------------------------

    def weight(self, item: T) -> int:
        """Return how much of `unread` an item is."""
        return 1

    @property
    def unread(self) -> int:
        """What was made and not yet read."""
        with self._lock:
            return self._unread

    def give(self, item: T | BaseException | None) -> None:
        """Hand over an item, the error that ended it, or None for its end."""
        if item is not None and not isinstance(item, BaseException):
            with self._lock:
                self._unread += self.weight(item)
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:  # that loop is closed: nobody reads
            self.gone = True
