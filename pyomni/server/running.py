"""A server from its first socket to its last answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from pyomni.api import OmniModel, SpeechModel
from pyomni.errors import ArgumentError
from pyomni.server.app import make_app
from pyomni.server.settings import Settings

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
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what runs, for `Settings.drain` seconds at most.

    Parameters
    ----------
    on_ready : callable
        Called once requests are taken.
    """
    app = make_app(model, settings)
    scheduler = app.state.pyomni.scheduler
    try:
        config = config_of(app, settings)
        asyncio.run(_Server(config, scheduler.drain, on_ready).serve([sock]))
    except KeyboardInterrupt:
        pass  # uvicorn raises the signal that stopped it again, once all is done
    finally:
        scheduler.close()


class _Server(uvicorn.Server):
    """One that says when it begins and refuses new work as soon as it is told to stop."""

    def __init__(
        self, config: uvicorn.Config, drain: Callable[[], None], on_ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._drain, self._on_ready = drain, on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin."""
        await super().startup(sockets)
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._drain()
        super().handle_exit(sig, frame)
