"""A request on its way: what the model's thread gives, and an event loop reads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import numpy.typing as npt

from pyomni.api.live import Performance
from pyomni.api.many import Prepared
from pyomni.receipt import Receipt
from pyomni.server.failures import TooLate

__all__ = ["Job"]

F32 = npt.NDArray[np.float32]


class Job:
    """A request in the scheduler, read as an async iterator of float32 [n] in the event loop it was made in.

    Attributes
    ----------
    prepared : Prepared
    deadline : float
        On `time.monotonic`'s clock.
    receipt : Receipt or None
        Once all was read.
    """

    def __init__(self, prepared: Prepared, deadline: float, wake: Callable[[], None]) -> None:
        self.prepared, self.deadline = prepared, deadline
        self.receipt: Receipt | None = None
        self.gone = False
        self.performance: Performance | None = None  # of the worker
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._blocks: asyncio.Queue[F32 | BaseException | None] = asyncio.Queue()
        self._unread, self._lock = 0, threading.Lock()

    def __aiter__(self) -> AsyncIterator[F32]:
        return self

    async def __anext__(self) -> F32:
        try:
            left = self.deadline - time.monotonic()
            found = await asyncio.wait_for(self._blocks.get(), max(left, 0))
        except asyncio.TimeoutError:
            self.cancel()
            raise TooLate("the speech was not done by its deadline; a shorter text takes less time") from None
        except BaseException:
            self.cancel()
            raise
        if found is None:
            raise StopAsyncIteration
        if isinstance(found, BaseException):
            raise found
        with self._lock:
            self._unread -= len(found)
        self._wake()
        return found

    def cancel(self) -> None:
        """Want it no more; its lane is free before the next frame."""
        self.gone = True
        self._wake()

    def tell(self) -> None:
        """Say that more of its text has come, or the end of it."""
        self._wake()

    def is_gone(self) -> bool:
        """Whether nobody wants it."""
        return self.gone

    # -- the worker's side ------------------------------------------

    @property
    def unread(self) -> int:
        """Samples made and not yet read."""
        with self._lock:
            return self._unread

    def give(self, item: F32 | BaseException | None) -> None:
        """Hand over a block, the error that ended it, or None for its end."""
        if isinstance(item, np.ndarray):
            with self._lock:
                self._unread += len(item)
        try:
            self._loop.call_soon_threadsafe(self._blocks.put_nowait, item)
        except RuntimeError:  # that loop is closed: nobody reads
            self.gone = True
