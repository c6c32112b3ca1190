"""Values out of JSON: what each has to be, and what is said of those that are not."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from pyomni.server.failures import BadRequest

__all__ = ["decoded", "flag_of", "kind_of", "text_of"]


def text_of(body: Mapping[str, Any], name: str, needed: bool = False) -> str | None:
    """Return a field that is a text; None where it is missing or null.

    Raises
    ------
    BadRequest
        Something else, or nothing where it is needed.
    """
    value = body.get(name)
    if value is None:
        if needed:
            raise BadRequest(f"{name} is missing, expected a text", name)
        return None
    if not isinstance(value, str):
        raise BadRequest(f"{name} is {kind_of(value)}, expected a text", name)
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise BadRequest(f"{name} has half of a surrogate pair, expected text", name)
    return value


def flag_of(body: Mapping[str, Any], name: str) -> bool | None:
    """Return a field that is true or false; None where it is missing or null.

    Raises
    ------
    BadRequest
        Something else.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} is {kind_of(value)}, expected true or false", name)
    return value


def decoded(value: Any, name: str) -> bytes:
    """Return the bytes of base64, or of a data URL; no other URL is ever fetched.

    Raises
    ------
    BadRequest
        Something else.
    """
    if not isinstance(value, str):
        raise BadRequest(f"{name} is {kind_of(value)}, expected base64 or a data URL", name)
    if value[:5].lower() == "data:":
        head, comma, value = value.partition(",")
        if not comma or not head.endswith(";base64"):
            raise BadRequest(f"{name} is a data URL without ;base64, expected one with it", name)
    elif "://" in value[:64]:
        raise BadRequest(f"{name} is a URL, expected base64 or a data URL: nothing is fetched", name)
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"{name} is not base64, expected base64 or a data URL", name) from None


def kind_of(value: Any) -> str:
    """Return what a value out of JSON is, in words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
