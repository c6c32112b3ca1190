"""What stands before the routes: the key, who may ask, how much may be sent, and a name for each request.

The same for requests and for sockets. A socket is refused before it opens, with the answer a request would
get. Web pages cannot set a header on a socket; they offer the key as a subprotocol, as OpenAI's clients do.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyomni.server.failures import BadRequest, Denied, TooLarge, failure_of, said_of
from pyomni.server.front import PATHS
from pyomni.server.settings import Settings, is_loopback

__all__ = ["OPEN", "Doors", "error_answer"]

#: Routes that say nothing worth a key, and are asked by those who have none; a page comes before its key.
OPEN = ("/health", "/ready", *PATHS)
#: What a subprotocol begins with that carries the key; it is never the one that is agreed on.
KEY_PROTOCOL = "openai-insecure-api-key."
#: Messages that begin an answer, or open a socket, and have headers.
WITH_HEADERS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
#: Seconds after which a full queue is worth another try.
RETRY_AFTER = "2"


def error_answer(error: BaseException) -> Response:
    """Return an error in OpenAI's shape."""
    failure = failure_of(error)[0]
    headers = {"Retry-After": RETRY_AFTER} if failure.status in (429, 503) else {}
    if failure.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": said_of(error)}, failure.status, headers)


class Doors:
    """ASGI around the routes."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request or a socket in, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = headers.get("x-request-id", "")
        if not (0 < len(name) <= 64 and name.isascii() and name.replace("-", "").isalnum()):
            name = secrets.token_hex(16)

        async def named(message: Message) -> None:
            if message["type"] in WITH_HEADERS:
                MutableHeaders(raw=message.setdefault("headers", []))["X-Request-ID"] = name
            await send(message)

        try:
            self._check(scope, headers)
        except (BadRequest, Denied) as error:
            await _refuse(error, scope, receive, named)
            return
        if scope["type"] == "websocket":
            offered = [one for one in scope.get("subprotocols", ()) if not one.startswith(KEY_PROTOCOL)]
            scope = {**scope, "subprotocols": offered}
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "websocket.receive":  # each message by itself
                size = len((message.get("text") or "").encode()) + len(message.get("bytes") or b"")
            else:
                size = taken = taken + len(message.get("body", b""))
            if size > self._settings.max_upload:
                raise self._too_large()
            return message

        await self._app(scope, counted, named)

    def _check(self, scope: Scope, headers: Any) -> None:
        key = self._settings.api_key
        if key and scope["path"] not in OPEN:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            given = [token.strip()] if scheme.lower() == "bearer" else []
            offered = [one for one in scope.get("subprotocols", ()) if one.startswith(KEY_PROTOCOL)]
            given += [one[len(KEY_PROTOCOL) :] for one in offered]
            if not any(hmac.compare_digest(one.encode(), key.encode()) for one in given):
                raise Denied("the API key is missing or wrong, expected 'Authorization: Bearer KEY'")
        if not key:
            self._check_origin(headers)
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._settings.max_upload:
            raise self._too_large()

    def _check_origin(self, headers: Any) -> None:
        """Without a key, refuse web pages of other hosts, and names that were made to point here."""
        for where in (headers.get("origin"), "//" + headers.get("host", "localhost")):
            try:
                host = urlsplit(where).hostname if where else "localhost"
            except ValueError:
                host = None
            if not host or not is_loopback(host):
                raise Denied("the request comes from a web page or by a name of another host, expected a key")

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body or message has more than {self._settings.max_upload} bytes, expected at most so many"
        )


async def _refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what is not let in."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})  # the server's own 403
        return
    await error_answer(error)(scope, receive, send)
