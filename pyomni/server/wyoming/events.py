"""Events as they come in: read within bounds, whatever a stranger sends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from wyoming.event import Event

from pyomni.server.failures import BadRequest, TooLarge

__all__ = ["LINE", "read_event"]

#: Bytes of a line, and of the data after it: more than the longest text takes.
LINE = 1 << 20
#: Bytes of sound after an event; none is wanted here, so it is dropped as it comes.
PAYLOAD = 16 << 20


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """Return the next event, without its payload; None once the client is gone.

    Parameters
    ----------
    reader : StreamReader
        Made with ``limit=LINE``.

    Raises
    ------
    BadRequest
        What comes is no event.
    TooLarge
        It is one beyond the bounds.
    """
    try:
        try:
            line = await reader.readline()
        except ValueError:
            raise TooLarge(f"the line is longer than {LINE} bytes, expected an event") from None
        if not line.endswith(b"\n"):
            return None
        head = _object(line, "the line")
        data = head.get("data") or {}
        if not isinstance(data, dict):
            raise BadRequest("data is not an object, expected the fields of an event")
        if n := _length(head, "data_length", LINE):
            data = {**data, **_object(await reader.readexactly(n), "the data")}
        left = _length(head, "payload_length", PAYLOAD)
        while left:
            got = await reader.read(min(left, 1 << 16))
            if not got:
                return None
            left -= len(got)
    except (EOFError, ConnectionError, TimeoutError):
        return None
    kind = head.get("type")
    if not isinstance(kind, str):
        raise BadRequest("the event has no type, expected one such as synthesize")
    return Event(kind, data)


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequest(f"{what} is not JSON, expected an event of Wyoming") from None
    if not isinstance(value, dict):
        raise BadRequest(f"{what} is not an object, expected an event of Wyoming")
    return value


def _length(head: dict[str, Any], name: str, most: int) -> int:
    n = head.get(name) or 0
    if type(n) is not int or n < 0:
        raise BadRequest(f"{name} is {str(n)[:40]!r}, expected a count of bytes")
    if n > most:
        raise TooLarge(f"{name} is {n}, expected at most {most}")
    return n
