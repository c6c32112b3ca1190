"""A stream read in a thread of its own, for ``async for``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

__all__ = ["Closing", "aside"]

T = TypeVar("T")
Yielded = TypeVar("Yielded", covariant=True)


class Closing(Protocol[Yielded]):
    """An iterator that is closed when it is left."""

    def __iter__(self) -> Iterator[Yielded]:
        """Return itself."""

    def __next__(self) -> Yielded:
        """Return what comes next."""

    def close(self) -> None:
        """Stop, and free what was held."""


async def aside(
    start: Callable[[], Closing[T]], wake: Callable[[], object] = lambda: None
) -> AsyncGenerator[T, None]:
    """Yield what a stream yields, which is started, read and closed in a thread: the event loop stays free.

    Parameters
    ----------
    start : makes the stream
    wake : called in the event loop before the stream is closed, to end what the thread may be waiting for
    """
    loop = asyncio.get_running_loop()
    started: list[Closing[T]] = []

    def close() -> None:
        for stream in started:
            stream.close()

    with ThreadPoolExecutor(1, "pyomni-stream") as pool:
        try:
            await loop.run_in_executor(pool, lambda: started.append(start()))
            while (item := await loop.run_in_executor(pool, next, started[0], None)) is not None:
                yield item
        finally:
            wake()
            # in the same thread, so after what is still being made there
            await asyncio.shield(loop.run_in_executor(pool, close))
