"""Conversations as callers write them: messages in the shape of the OpenAI API or of Hugging Face, checked.

    [{"role": "system", "content": "Be brief."},
     {"role": "user", "content": [{"type": "audio", "audio": "q.wav"}, {"text": "What?"}]}]

A part with media may also be written ``{"audio": ...}``, ``{"type": "input_audio", "input_audio": {"data":
BASE64}}`` or ``{"type": "image_url", "image_url": {"url": "data:..."}}``. Nothing is fetched from a network.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from pyomni.errors import ArgumentError

__all__ = ["MediaPart", "Message", "parse_messages"]

KINDS = ("audio", "image", "video")
ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, eq=False)
class MediaPart:
    """Something to hear or see.

    Attributes
    ----------
    kind : {"audio", "image", "video"}
    source : object
        What the caller gave: a path, bytes, samples with their rate, an image.
    where : str
        For messages: which part of which message.
    extra : dict
        Other keys of the part, such as ``fps``.
    """

    kind: str
    source: Any
    where: str
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """One turn.

    Attributes
    ----------
    role : {"system", "user", "assistant", "tool"}
    parts : tuple of str or MediaPart
        In order.
    plain : bool
        The content was one string.
    extra : dict
        Other keys, such as ``tool_calls``, for the template.
    """

    role: str
    parts: tuple[str | MediaPart, ...]
    plain: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def media(self) -> tuple[MediaPart, ...]:
        """What there is to hear and see, in order."""
        return tuple(part for part in self.parts if isinstance(part, MediaPart))

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part for part in self.parts if isinstance(part, str))


def parse_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Check a conversation that is to be answered.

    A system message may only come first; then a user speaks, and users and the assistant take turns. Several
    messages of a user may follow each other. What a tool answered follows the assistant that asked it. The
    last message is a user's or a tool's.

    Raises
    ------
    ArgumentError
        No messages, a message or part of another shape, an unknown role, or roles in another order.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise ArgumentError(f"messages is {type(messages).__name__}, expected a list of messages")
    if not messages:
        raise ArgumentError("messages is empty, expected at least one message of a user")
    found = tuple(_message(message, index) for index, message in enumerate(messages))
    _check_order([message.role for message in found])
    return found


def _check_order(roles: Sequence[str]) -> None:
    before = ""
    for index, role in enumerate(roles):
        if role == "system" and index:
            expected = "a system message only as the first"
        elif role == "assistant" and before not in ("user", "tool"):
            expected = "the assistant to answer a user or a tool"
        elif role == "tool" and before not in ("assistant", "tool"):
            expected = "a tool to answer the assistant"
        else:
            before = role
            continue
        after = f"follows a message of role {before!r}" if before else "is the first"
        raise ArgumentError(f"messages[{index}] of role {role!r} {after}, expected {expected}")
    if before not in ("user", "tool"):
        raise ArgumentError(
            f"the last message has role {before!r}, expected a message of a user, to be answered"
        )


def _message(message: Mapping[str, Any], index: int) -> Message:
    where = f"messages[{index}]"
    if not isinstance(message, Mapping):
        raise ArgumentError(f"{where} is {type(message).__name__}, expected a mapping with role and content")
    role = message.get("role")
    role = "system" if role == "developer" else role
    if role not in ROLES:
        raise ArgumentError(f"{where} has role {role!r}, expected one of: {', '.join(ROLES)}")
    extra = {key: value for key, value in message.items() if key not in ("role", "content")}
    content = message.get("content")
    if content is None and role == "assistant" and extra.get("tool_calls"):
        content = ""
    if isinstance(content, str):
        return Message(role, (content,), True, extra)
    if isinstance(content, Mapping) or not isinstance(content, Sequence) or isinstance(content, bytes):
        raise ArgumentError(
            f"{where} has content of type {type(content).__name__}, expected a string or a list of parts"
        )
    if not content:
        raise ArgumentError(f"{where} has no content, expected a string or at least one part")
    parts = tuple(_part(part, f"{where}, part {n}") for n, part in enumerate(content))
    return Message(role, parts, False, extra)


def _part(part: Any, where: str) -> str | MediaPart:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise ArgumentError(f"{where} is {type(part).__name__}, expected a mapping with a type")
    kind = part.get("type")
    if kind in ("text", "input_text") or (kind is None and "text" in part):
        text = part.get("text")
        if not isinstance(text, str):
            raise ArgumentError(f"{where} has text of type {type(text).__name__}, expected a string")
        return text
    for medium in KINDS:
        for key in (medium, f"{medium}_url", f"input_{medium}"):
            if kind == key or (kind is None and key in part):
                # {"type": "image", "image_url": ...} is seen as well as {"type": "image", "image": ...}
                names = [
                    n for n in (key, medium, f"{medium}_url", f"input_{medium}", "url", "path") if n in part
                ]
                if not names:
                    raise ArgumentError(f"{where} of type {kind!r} has nothing to open, expected {medium!r}")
                extra = {k: v for k, v in part.items() if k not in ("type", names[0])}
                return MediaPart(medium, _source(part[names[0]], medium, where), where, extra)
    raise ArgumentError(f"{where} has type {kind!r}, expected one of: text, {', '.join(KINDS)}")


def _source(given: Any, medium: str, where: str) -> Any:
    """Return what can be opened: data and file URLs become bytes and paths."""
    if isinstance(given, Mapping):  # as the OpenAI API wraps them
        if "data" in given:
            data = given["data"]
            return data if isinstance(data, bytes) else _decoded(str(data), where)
        given = given.get("url")
    if given is None:
        raise ArgumentError(f"{where} has no {medium}, expected a path or bytes")
    if not isinstance(given, str):
        return given
    head, _, rest = given[:64].partition(":")
    if head == "data" and "," in given:
        about, _, data = given.partition(",")
        return _decoded(data, where) if about.endswith(";base64") else unquote_to_bytes(data)
    if head in ("http", "https", "ftp") and rest.startswith("//"):
        raise ArgumentError(
            f"{where} is at {given[:80]!r}, expected a file, bytes or a data: URL: nothing is fetched"
        )
    if head == "file" and rest.startswith("//"):
        return unquote(urlsplit(given).path)
    return given


def _decoded(data: str, where: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ArgumentError(f"{where} holds damaged base64 ({error}), expected whole data") from None
