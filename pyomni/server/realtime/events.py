"""The events of a session: their names and numbers, and OpenAI's older names for them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from pyomni.server.failures import BadRequest, failure_of

__all__ = ["Gone", "Refused", "error_of", "in_beta", "new_id"]

#: Events of 2025's general release under the names they had in the beta; None were not sent then.
BETA_NAMES: Mapping[str, str | None] = {
    "conversation.item.added": "conversation.item.created",
    "conversation.item.done": None,
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
}
BETA_PARTS = {"output_audio": "audio", "output_text": "text"}


class Gone(Exception):
    """Nobody is at the other end any more."""


class Refused(BadRequest):
    """An event of the client that cannot be done; `code` is OpenAI's name of the reason."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.code = code


def new_id(kind: str) -> str:
    """Return a name nobody has: ``item_...``, ``resp_...``, ``event_...``."""
    return f"{kind}_{secrets.token_hex(10)}"


def error_of(error: BaseException, event_id: str | None = None) -> dict[str, Any]:
    """Return the `error` of an event: what failed, and which of the client's events asked for it."""
    failure, words, param = failure_of(error)
    code = error.code if isinstance(error, Refused) else failure.code
    return {"type": failure.type, "code": code, "message": words, "param": param, "event_id": event_id}


def in_beta(event: dict[str, Any]) -> dict[str, Any] | None:
    """Return an event as it was in the beta; None where there was none."""
    name = BETA_NAMES.get(event["type"], event["type"])
    if name is None:
        return None
    found: dict[str, Any] = {**_parts(event), "type": name}
    if (answer := found.get("response")) is not None:
        kinds, output = answer.pop("output_modalities"), answer.pop("audio")["output"]
        answer["modalities"] = ["audio", "text"] if "audio" in kinds else kinds
        answer |= {"voice": output["voice"], "output_audio_format": "pcm16"}
    return found


def _parts(value: Any) -> Any:
    """Give content parts their older types, wherever they stand."""
    if isinstance(value, dict):
        if value.get("type") in BETA_PARTS:
            value = {**value, "type": BETA_PARTS[value["type"]]}
        return {key: _parts(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_parts(one) for one in value]
    return value
