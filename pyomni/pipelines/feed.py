"""Requests that come while others run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["Feed"]

T = TypeVar("T")


class Feed(Iterator[T], Generic[T]):
    """An iterator that may have a next one after it had none, as a generator never does.

    Parameters
    ----------
    take : callable
        Returns the next one, or None where there is none now.
    """

    def __init__(self, take: Callable[[], T | None]) -> None:
        self._take = take

    def __next__(self) -> T:
        if (found := self._take()) is None:
            raise StopIteration
        return found
