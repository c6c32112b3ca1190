"""Tasks that are ended: however they end, and whoever else cancels meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from pyomni.server.ticket import ended


async def stubborn(times: int) -> None:
    """Swallow cancellations, as `asyncio.wait_for` may before Python 3.12."""
    while times:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            times -= 1


async def failing() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        raise OSError("gone")


def test_tasks_end_however_they_take_it():
    async def run() -> list[bool]:
        tasks = [asyncio.create_task(what) for what in (stubborn(3), failing(), asyncio.sleep(3600))]
        await asyncio.sleep(0)
        await ended(*tasks)
        return [task.cancelled() for task in tasks]

    assert asyncio.run(run()) == [False, False, True]


@pytest.mark.parametrize("work", [lambda: stubborn(2), lambda: asyncio.sleep(3600)])
def test_a_scope_that_cancels_meanwhile_takes_its_own(work: Callable[[], Coroutine[Any, Any, None]]):
    async def run() -> bool:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await ended(task)
        return scope.cancelled_caught

    assert asyncio.run(run())
