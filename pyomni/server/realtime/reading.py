"""The client's events, read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyomni.server.failures import BadRequest
from pyomni.server.parts import Reader
from pyomni.server.realtime.config import Offered
from pyomni.server.realtime.events import Refused, new_id
from pyomni.server.realtime.history import History
from pyomni.server.realtime.items import PARTS, Item, checked_text
from pyomni.server.realtime.sound import pcm_of

__all__ = ["belongs", "items_of", "metadata_of", "parsed", "read_item"]

#: Characters of one event.
MOST_MESSAGE = 15 << 20
#: The beta's names of parts.
GENERAL = {"text": "output_text", "audio": "output_audio"}
#: Items an answer may be asked for with.
MOST_INPUT = 200


def parsed(text: str | None) -> dict[str, Any]:
    """Return an event of the client."""
    if text is None:
        raise Refused("invalid_event", "the message is binary, expected JSON as text")
    if len(text) > MOST_MESSAGE:
        words = f"the message has {len(text)} characters, expected at most {MOST_MESSAGE}"
        raise Refused("event_too_large", words)
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused("invalid_event", "the message is not JSON, expected an object") from None
    if not isinstance(event, dict):
        raise Refused("invalid_event", "the message is not an object, expected one")
    return event


def belongs(given: Mapping[str, Any]) -> bool:
    """Whether an answer becomes part of the conversation."""
    where = given.get("conversation")
    if where not in (None, "auto", "none"):
        words = f"response.conversation is {str(where)[:40]!r}, expected auto or none"
        raise BadRequest(words, "response.conversation")
    return where != "none"


def metadata_of(given: Mapping[str, Any]) -> dict[str, str] | None:
    """Return what a client wants shown again."""
    found = given.get("metadata")
    if found is None:
        return None
    if not isinstance(found, dict) or len(found) > 16 or not all(_short(*pair) for pair in found.items()):
        words = "response.metadata is no object of up to 16 short texts, expected one"
        raise BadRequest(words, "response.metadata")
    return found


def _short(key: str, value: Any) -> bool:
    return len(key) <= 64 and isinstance(value, str) and len(value) <= 512


def items_of(asked: Mapping[str, Any], history: History, offered: Offered) -> Sequence[Item]:
    """Return what is to be answered: the conversation, unless an event brings its own."""
    given = asked.get("input")
    if given is None:
        return history.items
    if not isinstance(given, list):
        raise BadRequest("response.input is no list, expected items", "response.input")
    if len(given) > MOST_INPUT:
        words = f"response.input has {len(given)} items, expected at most {MOST_INPUT}"
        raise BadRequest(words, "response.input")
    found = []
    for n, one in enumerate(given):
        where = f"response.input[{n}]"
        if isinstance(one, Mapping) and one.get("type") == "item_reference":
            found.append(history.get(one.get("id"), f"{where}.id"))
        else:
            found.append(read_item(one, offered, where))
    return found


def read_item(given: Any, offered: Offered, where: str = "item") -> Item:
    """Check the item of an event.

    Raises
    ------
    BadRequest
        A field that is not what it has to be; `param` names it.
    """
    if not isinstance(given, Mapping):
        raise BadRequest(f"{where} is not an object, expected one", where)
    if (kind := given.get("type")) != "message":
        raise BadRequest(f"{where}.type is {str(kind)[:40]!r}, expected message", f"{where}.type")
    role = given.get("role")
    if not isinstance(role, str) or role not in PARTS:
        raise BadRequest(
            f"{where}.role is {str(role)[:40]!r}, expected one of: {', '.join(PARTS)}", f"{where}.role"
        )
    name = given.get("id")
    if name is not None and not (isinstance(name, str) and 0 < len(name) <= 64):
        raise BadRequest(f"{where}.id is no name of up to 64 characters, expected one", f"{where}.id")
    content = given.get("content")
    if not isinstance(content, list) or not content:
        raise BadRequest(f"{where}.content is no list of parts, expected at least one", f"{where}.content")
    parts = [_part(part, role, offered, f"{where}.content[{n}]") for n, part in enumerate(content)]
    if role == "assistant":
        parts = [(parts[0][0], "".join(text for _, text in parts))]
    return Item(role, parts, name or new_id("item"))


def _part(part: Any, role: str, offered: Offered, where: str) -> tuple[str, Any]:
    known = PARTS[role]
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(kind, str) or kind not in known:
        raise BadRequest(
            f"{where}.type is {str(kind)[:40]!r}, expected one of: {', '.join(known)}", f"{where}.type"
        )
    path = f"{where}.{known[kind]}"
    value = part.get(known[kind])
    if kind == "input_audio":
        pcm = pcm_of(value, path)
        if not len(pcm):
            raise BadRequest(f"{path} is empty, expected some sound", path)
        return kind, pcm
    if not isinstance(value, str):
        raise BadRequest(f"{path} is missing or not a text, expected one", path)
    if kind == "input_image":
        if not (value[:5].lower() == "data:" and ";base64," in value[:200]):
            raise BadRequest(f"{path} is no data URL with ;base64, expected one: nothing is fetched", path)
        given = [{"type": "image_url", "image_url": {"url": value}}]
        content: Any = Reader(offered.settings, offered.takes).content(given, path)
        return kind, content[0]["image"]
    return GENERAL.get(kind, kind), checked_text(value, path, offered.settings.max_chars)
