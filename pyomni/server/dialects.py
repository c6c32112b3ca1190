"""What a socket for speech says and hears: the messages of vllm-omni, and those of nari.

A dialect belongs to one connection. It turns a message into what it means (`Said`), and what happens into
messages; sound goes as binary messages in both.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pyomni.server.failures import BadRequest, said_of
from pyomni.server.values import flag_of, text_of

__all__ = ["DIALECTS", "Dialect", "Done", "Said"]

#: How finely vllm-omni may be asked to cut a text; a text is not cut here.
GRANULARITIES = (None, "none", "sentence", "clause")


class Said(NamedTuple):
    """A message: ``config``, ``text``, ``done``, ``cancel`` or ``close``, with its text or its fields."""

    kind: str
    text: str = ""
    fields: Mapping[str, Any] = {}


class Done(NamedTuple):
    """How an utterance went: its number, binary messages, their bytes, frames, and how it ended."""

    number: int
    chunks: int
    n_bytes: int
    frames: int
    reason: str


class Dialect:
    """vllm-omni's: ``session.config``, ``input.text``, ``input.done``; one utterance after another."""

    #: The subprotocol that asks for it.
    protocol: str | None = None
    #: Whether the connection ends with its first utterance.
    once = False
    KINDS: Mapping[str, str] = {
        "session.config": "config",
        "input.text": "text",
        "input.done": "done",
        "input.cancel": "cancel",
        "session.close": "close",
    }

    def read(self, message: Any) -> Said:
        """Return what a message, parsed, means.

        Raises
        ------
        BadRequest
            It is none of the dialect's.
        """
        if not isinstance(message, dict):
            raise BadRequest("the message is not an object, expected a JSON object with a type")
        kind = self.KINDS.get(text_of(message, "type", needed=True) or "")
        if kind is None:
            known = ", ".join(self.KINDS)
            raise BadRequest(f"type is {str(message['type'])[:40]!r}, expected one of: {known}", "type")
        if kind == "text":
            return Said(kind, text_of(message, "text", needed=True) or "")
        return Said(kind, fields=self._fields(message) if kind == "config" else {})

    def _fields(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a request for speech."""
        cut = text_of(message, "split_granularity")
        if cut not in GRANULARITIES:
            raise BadRequest(f"split_granularity is {cut[:40]!r}, expected none", "split_granularity")
        given = {"response_format": "wav", "voice": message.get("speaker"), **message}
        return {**given, "stream": bool(flag_of(message, "stream_audio"))}

    def hello(self, sample_rate: int) -> Sequence[dict[str, Any]]:
        """Return what is said first."""
        return ()

    def heard(self, said: Said) -> Sequence[dict[str, Any]]:
        """Return what is said to a message."""
        return ()

    def begins(self, index: int, text: str, kind: str, sample_rate: int) -> Sequence[dict[str, Any]]:
        """Return what is said before the sound of an utterance; `text` is what has come of it."""
        place = {"utterance_index": index, "sentence_index": 0}
        sound = {"sentence_text": text, "format": kind, "sample_rate": sample_rate}
        return ({"type": "audio.start", **place, **sound},)

    def ends(self, done: Done) -> Sequence[dict[str, Any]]:
        """Return what is said after it; an utterance without a word has no sound either."""
        place = {"utterance_index": done.number, "sentence_index": 0}
        end = {
            "type": "session.done",
            "utterance_index": done.number,
            "total_sentences": int(done.reason != ""),
        }
        if not done.reason:
            return (end,)
        sound = {"total_bytes": done.n_bytes, "error": False, "finish_reason": done.reason}
        return ({"type": "audio.done", **place, **sound}, end)

    def error(self, error: BaseException) -> dict[str, Any]:
        """Return what is said of an error, after which the connection is closed."""
        found = said_of(error)
        return {"type": "error", "message": found["message"], "error": found}


class Nari(Dialect):
    """nari's: ``request.start``, ``input_text.append`` and ``.end`` with sequence numbers; one utterance."""

    protocol = "nari.speech.v1"
    once = True
    KINDS: Mapping[str, str] = {
        "request.start": "config",
        "input_text.append": "text",
        "input_text.end": "done",
        "response.cancel": "cancel",
    }

    def __init__(self) -> None:
        self._id, self._sequence = f"ws-{secrets.token_hex(16)}", 0

    def read(self, message: Any) -> Said:
        """Return what a message means, in its turn; see `Dialect.read`."""
        said = super().read(message)
        if said.kind in ("text", "done"):
            given = message.get("sequence")
            if isinstance(given, bool) or given != self._sequence:
                raise BadRequest(f"sequence is {str(given)[:40]}, expected {self._sequence}", "sequence")
            self._sequence += 1
        return said

    def _fields(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"instruct": message.get("instruction"), **message, "response_format": "pcm", "stream": True}

    def hello(self, sample_rate: int) -> Sequence[dict[str, Any]]:
        """Return what is said first."""
        audio = _pcm(sample_rate)
        return ({"type": "session.created", "protocol": self.protocol, "audio": audio},)

    def heard(self, said: Said) -> Sequence[dict[str, Any]]:
        """Return what is said to a message."""
        if said.kind == "config":
            return ({"type": "request.configured"},)
        if said.kind not in ("text", "done"):
            return ()
        event = "input_text.append" if said.kind == "text" else "input_text.end"
        number = self._sequence - 1
        return ({"type": "input_text.ack", "event": event, "sequence": number, "request_id": self._id},)

    def begins(self, index: int, text: str, kind: str, sample_rate: int) -> Sequence[dict[str, Any]]:
        """Return what is said before the sound."""
        return ({"type": "response.started", "request_id": self._id, "audio": _pcm(sample_rate)},)

    def ends(self, done: Done) -> Sequence[dict[str, Any]]:
        """Return what is said after it."""
        if not done.reason:
            raise BadRequest("the text is empty or white space, expected something to say", "text")
        said = {"stop_reason": done.reason, "audio_chunks": done.chunks}
        return ({"type": "response.done", "request_id": self._id, **said},)

    def error(self, error: BaseException) -> dict[str, Any]:
        """Return what is said of an error."""
        return {"type": "error", "request_id": self._id, "error": said_of(error)}


#: By subprotocol; the first is spoken with those who ask for none.
DIALECTS: Mapping[str | None, type[Dialect]] = {one.protocol: one for one in (Dialect, Nari)}


def _pcm(sample_rate: int) -> dict[str, Any]:
    return {"encoding": "pcm_s16le", "sample_rate": sample_rate, "channels": 1}
