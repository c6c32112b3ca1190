"""A server from its first socket to its last answer."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette

from pyomni.api import OmniModel, SpeechModel
from pyomni.errors import ArgumentError, UnsupportedModel
from pyomni.server.app import make_app
from pyomni.server.settings import Settings
from pyomni.server.state import AnyState, State

if TYPE_CHECKING:
    from pyomni.server.wyoming.door import Door

__all__ = ["config_of", "listen", "serve"]


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises
    ------
    ArgumentError
        The address cannot be had.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ArgumentError(f"host {host!r}, port {port} cannot be listened on: {error}") from None
    try:
        # on Windows SO_REUSEADDR would let two servers have one port
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen()
    except OSError as error:
        sock.close()
        raise ArgumentError(f"host {host!r}, port {port} cannot be listened on: {error.strerror}") from None
    return sock


def config_of(app: Starlette, settings: Settings) -> uvicorn.Config:
    """Return how an application is served."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=settings.max_upload,
        ws_per_message_deflate=False,  # sound does not get smaller by it
        timeout_graceful_shutdown=max(1, round(settings.drain)),
    )


def serve(
    model: SpeechModel | OmniModel,
    settings: Settings,
    sock: socket.socket,
    on_ready: Callable[[], None] = lambda: None,
    wyoming: socket.socket | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what runs, for `Settings.drain` seconds at most.

    Parameters
    ----------
    on_ready : callable
        Called once requests are taken.
    wyoming : socket, optional
        Where clients that speak Wyoming come in; needs the package of that name.
    """
    app = make_app(model, settings)
    state: AnyState = app.state.pyomni
    scheduler, door = state.scheduler, None
    try:
        if wyoming is not None:
            from pyomni.server.wyoming.door import Door

            if not isinstance(state, State):
                raise UnsupportedModel("the model converses, expected one that speaks texts for Wyoming")
            door = Door(state, wyoming)
        asyncio.run(_Server(config_of(app, settings), state, on_ready, door).serve([sock]))
    except KeyboardInterrupt:
        pass  # uvicorn raises the signal that stopped it again, once all is done
    finally:
        scheduler.close()


class _Server(uvicorn.Server):
    """One that says when it begins and refuses new work as soon as it is told to stop."""

    def __init__(
        self, config: uvicorn.Config, state: AnyState, on_ready: Callable[[], None], door: Door | None
    ) -> None:
        super().__init__(config)
        self._state, self._on_ready, self._door = state, on_ready, door

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin."""
        await super().startup(sockets)
        if self._door is not None:
            await self._door.open()
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what runs."""
        ends = [super().shutdown(sockets)]
        if self._door is not None:
            ends.append(self._door.close(self._state.settings.drain))
        await asyncio.gather(*ends)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._state.scheduler.drain()
        super().handle_exit(sig, frame)
