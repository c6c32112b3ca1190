"""Sockets at the door: the key, who may ask, how much a message may hold."""

from __future__ import annotations

import contextlib

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from pyomni.errors import PyOmniError
from pyomni.server.doors import Doors
from pyomni.server.failures import BadRequest, Busy, TooLarge, close_code
from pyomni.server.settings import Settings

URL = "ws://127.0.0.1/echo"


def client(**settings) -> TestClient:
    """Return a client of an application that says what it hears, and which subprotocols it was offered."""

    async def echo(socket: WebSocket) -> None:
        offered = socket.scope["subprotocols"]
        await socket.accept(subprotocol=offered[0] if offered else None)
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        except WebSocketDisconnect:
            pass
        except PyOmniError as error:
            await socket.close(close_code(error))

    app = Starlette(routes=[WebSocketRoute("/echo", echo)])
    app.add_middleware(Doors, settings=Settings(**settings))
    return TestClient(app, base_url="http://127.0.0.1")


def refused(client: TestClient, **how) -> dict:
    with pytest.raises(WebSocketDenialResponse) as found, client.websocket_connect(URL, **how):
        pass
    assert found.value.status_code == 401
    return found.value.json()["error"]


@pytest.mark.parametrize(
    "how",
    [
        {"headers": {"Authorization": "Bearer secret"}},
        {"subprotocols": ["openai-insecure-api-key.secret"]},
        {"subprotocols": ["realtime", "openai-insecure-api-key.secret"]},
        {"subprotocols": ["openai-insecure-api-key.secret"], "headers": {"Origin": "https://app.example"}},
    ],
)
def test_a_key_opens_a_socket(how):
    with client(api_key="secret").websocket_connect(URL, **how) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello"
        assert socket.accepted_subprotocol == (
            "realtime" if "realtime" in how.get("subprotocols", ()) else None
        )
        assert b"x-request-id" in dict(socket.extra_headers)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"headers": {"Authorization": "Bearer other"}},
        {"headers": {"Authorization": "Basic secret"}},
        {"subprotocols": ["openai-insecure-api-key.other"]},
        {"subprotocols": ["secret"]},
        {"subprotocols": ["openai-insecure-api-key."]},
        {"headers": {"Authorization": "Bearer schlüssel".encode("latin-1")}},
    ],
)
def test_no_key_or_another_is_refused_before_it_opens(how):
    error = refused(client(api_key="secret"), **how)
    assert error["code"] == "invalid_api_key"
    assert "secret" not in error["message"]


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
def test_without_a_key_web_pages_of_others_are_refused(headers):
    assert "another host" in refused(client(), headers=headers)["message"]
    with client().websocket_connect(URL, headers={"Origin": "http://localhost:3000"}) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello"


def test_a_message_beyond_the_limit_closes_and_several_below_it_do_not():
    with client(max_upload=10).websocket_connect(URL) as socket:
        for _ in range(5):
            socket.send_text("12345678")
            assert socket.receive_text() == "12345678"
        socket.send_text("é" * 6)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        assert closed.value.code == 1009


def test_codes_of_closing():
    found = [close_code(e) for e in (BadRequest("x"), Busy("x"), TooLarge("x"), RuntimeError("x"))]
    assert found == [1008, 1013, 1009, 1011]


def test_what_has_no_answer_for_a_socket_is_closed():
    sent = []

    async def drive():
        async def send(message):
            sent.append(message)

        scope = {"type": "websocket", "path": "/x", "headers": [], "subprotocols": []}
        await Doors(None, Settings(api_key="k"))(scope, None, send)

    with contextlib.suppress(StopIteration):
        drive().send(None)
    assert sent == [{"type": "websocket.close", "code": 1008}]
