"""The socket that Wyoming's clients come in by."""

from __future__ import annotations

import asyncio
import logging
import socket

from pyomni.server.state import State
from pyomni.server.ticket import ended
from pyomni.server.wyoming.events import LINE
from pyomni.server.wyoming.talk import Talk

__all__ = ["Door"]

LOG = logging.getLogger("pyomni.server")
#: Connections at once.
MOST = 256


class Door:
    """Answers clients on a socket that listens, from `open` to `close`."""

    def __init__(self, state: State, sock: socket.socket) -> None:
        self._state, self._sock = state, sock
        self._server: asyncio.Server | None = None
        self._talks: dict[asyncio.Task[None], Talk] = {}

    async def open(self) -> None:
        """Begin to take clients."""
        self._server = await asyncio.start_server(self._come_in, sock=self._sock, limit=LINE)

    async def close(self, seconds: float) -> None:
        """Take no more clients, let what is spoken end within some seconds, and hang up."""
        if self._server is not None:
            self._server.close()
        left = list(self._talks)
        for task, talk in self._talks.items():
            if talk.idle:
                task.cancel()
        if left:
            await asyncio.wait(left, timeout=seconds)
        await ended(*left)

    def _come_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._talks) >= MOST:
            writer.close()
            return
        talk = Talk(self._state, reader, writer)
        task = asyncio.ensure_future(talk.run())
        self._talks[task] = talk
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        del self._talks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("a Wyoming client was failed", exc_info=error)
