"""Servers for tests: on toys, and real ones on loopback."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn
from chromium import Visit, chromium
from starlette.testclient import TestClient
from toys import omni, toy, variant

from pyomni.api import load
from pyomni.server.app import make_app
from pyomni.server.running import config_of, listen
from pyomni.server.settings import Settings


@pytest.fixture(scope="session")
def clip() -> bytes:
    """A second of something like a voice, as a WAV file."""
    t = np.arange(24000) / 24000
    pcm = 0.3 * np.sin(2 * np.pi * 150 * t) * (1 + np.sin(2 * np.pi * 3 * t)) / 2
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, 24000, format="WAV")
    return buffer.getvalue()


@pytest.fixture
def served() -> Iterator[Callable[..., TestClient]]:
    """Make a client of a toy's application: ``served(lanes=2, queue=1, kind="base")``."""
    with contextlib.ExitStack() as stack:

        def make(lanes: int = 2, kind: str | None = None, **settings: Any) -> TestClient:
            path = toy() if kind is None else omni() if kind == "omni" else variant(kind)
            model = stack.enter_context(load(path, device="cpu", threads=1, lanes=lanes))
            app = make_app(model, Settings(**settings))
            stack.callback(app.state.pyomni.scheduler.close)
            return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)

        yield make


@pytest.fixture
def running(served: Callable[..., TestClient]) -> Iterator[Callable[..., tuple[str, int, Any]]]:
    """Start a real server on loopback: host, port and its `State`."""
    with contextlib.ExitStack() as stack:

        def make(**given: Any) -> tuple[str, int, Any]:
            app = served(**given).app
            sock = stack.enter_context(listen("127.0.0.1", 0))
            server = uvicorn.Server(config_of(app, app.state.pyomni.settings))
            thread = threading.Thread(target=server.run, args=([sock],))
            thread.start()

            def stop() -> None:
                server.should_exit = server.force_exit = True
                thread.join()

            stack.callback(stop)
            return (*sock.getsockname()[:2], app.state.pyomni)

        yield make


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a Chromium, once for a file of tests."""
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Any, running: Callable[..., tuple[str, int, Any]]) -> Iterator[Callable[..., Any]]:
    """Open the page of a server of its own: ``visit(kind="base")`` gives the visit and its `State`."""
    opened: list[Visit] = []

    def make(expected: tuple[str, ...] = (), context: dict | None = None, **given: Any) -> tuple[Visit, Any]:
        host, port, state = running(**given)
        opened.append(Visit(browser, f"http://{host}:{port}", expected=expected, **(context or {})))
        return opened[-1], state

    yield make
    for one in opened:
        one.leave()
