"""What stands before the routes: the key, who may ask, how much may be sent, and a name for each request."""

from __future__ import annotations

import hmac
import secrets
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyomni.server.failures import BadRequest, Denied, TooLarge, failure_of
from pyomni.server.settings import Settings, is_loopback

__all__ = ["Doors", "error_answer"]

#: Routes that say nothing worth a key, and are asked by those who have none.
OPEN = ("/health", "/ready")
#: Seconds after which a full queue is worth another try.
RETRY_AFTER = "2"


def error_answer(error: BaseException) -> Response:
    """Return an error in OpenAI's shape."""
    failure, words, param = failure_of(error)
    headers = {"Retry-After": RETRY_AFTER} if failure.status in (429, 503) else {}
    if failure.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = {"error": {"message": words, "type": failure.type, "code": failure.code, "param": param}}
    return JSONResponse(body, failure.status, headers)


class Doors:
    """ASGI around the routes."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = headers.get("x-request-id", "")
        if not (0 < len(name) <= 64 and name.isascii() and name.replace("-", "").isalnum()):
            name = secrets.token_hex(16)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = name
            await send(message)

        try:
            self._check(scope, headers)
        except (BadRequest, Denied) as error:
            await error_answer(error)(scope, receive, named)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._settings.max_upload:
                raise self._too_large()
            return message

        await self._app(scope, counted, named)

    def _check(self, scope: Scope, headers: Any) -> None:
        key = self._settings.api_key
        if key and scope["path"] not in OPEN:
            given = headers.get("authorization", "")
            scheme, _, token = given.partition(" ")
            right = hmac.compare_digest(token.strip().encode(), key.encode())
            if not right or scheme.lower() != "bearer":
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
        return TooLarge(f"the body has more than {self._settings.max_upload} bytes, expected at most so many")
