"""An async iterator of text, read from a thread other than its event loop's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Iterator
from concurrent.futures import CancelledError, Future

from pyomni.errors import Cancelled

__all__ = ["AsyncPieces"]


class AsyncPieces(Iterator[str]):
    """The pieces of an async iterator, one `next` at a time; each runs in the event loop.

    Parameters
    ----------
    pieces : async iterable of str
        Pieces of text.
    loop : asyncio.AbstractEventLoop
        The one it belongs to. `next` must be called in another thread, since it waits.
    """

    def __init__(self, pieces: AsyncIterable[str], loop: asyncio.AbstractEventLoop) -> None:
        self._pieces, self._loop = aiter(pieces), loop
        self._lock = threading.Lock()
        self._waiting: Future[str | None] | None = None
        self._task: asyncio.Task[object] | None = None  # the step in the event loop
        self._cancelled = False

    def __next__(self) -> str:
        """Return the next piece, waiting for it.

        Raises
        ------
        Cancelled
            `cancel` was called.
        Exception
            Whatever the async iterator raises.
        """
        with self._lock:
            if self._cancelled:
                raise Cancelled("the text was cancelled")
            self._waiting = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        try:
            piece = self._waiting.result()
        except CancelledError:
            raise Cancelled("the text was cancelled") from None
        if piece is None:
            raise StopIteration
        return piece

    def cancel(self) -> None:
        """End the wait for a piece, in whichever thread, and every later one."""
        with self._lock:
            self._cancelled = True
            if self._waiting is not None:
                self._waiting.cancel()

    async def aclose(self) -> None:
        """Close the async iterator, in its event loop, once the step it is in has ended."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()

    async def _next(self) -> str | None:
        self._task = asyncio.current_task()
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:  # cannot pass through a future
            return None
