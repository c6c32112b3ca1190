"""Items of a conversation: what was said, as events show it and as the model is given it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.pipelines.held import Perceived
from pyomni.server.failures import BadRequest, TooLarge
from pyomni.server.realtime.events import Refused, new_id
from pyomni.server.realtime.heard import said
from pyomni.server.realtime.sound import RATE, milliseconds

__all__ = ["PARTS", "Item", "Spoken", "checked_text", "user_item"]

I16 = npt.NDArray[np.int16]

#: Parts of each role's messages, and the field that holds what they are.
PARTS: Mapping[str, Mapping[str, str]] = {
    "user": {"input_text": "text", "input_audio": "audio", "input_image": "image_url"},
    "assistant": {"output_text": "text", "output_audio": "transcript", "text": "text", "audio": "transcript"},
    "system": {"input_text": "text"},
}


@dataclass
class Spoken:
    """The sound of an answer.

    Attributes
    ----------
    n_made : int
        Samples sent.
    heard_ms : int or None
        How much of it counts as heard; None is all of it.
    whole : bool
        Whether the sound was made to its end.
    """

    n_made: int = 0
    heard_ms: int | None = None
    whole: bool = False


@dataclass(eq=False)
class Item:
    """A message of the conversation.

    Attributes
    ----------
    role : {"user", "assistant", "system"}
    parts : list of (type, content)
        Content is a text; the bytes of ``input_image``; samples, int16 [n], of ``input_audio``, or what was
        perceived of them.
    status : {"in_progress", "completed", "incomplete"}
    spoken : Spoken or None
        Of an answer that was spoken here.
    transcript : str or None
        Of a user's sound, where it was written down.
    """

    role: str
    parts: list[tuple[str, Any]]
    id: str = field(default_factory=lambda: new_id("item"))
    status: str = "completed"
    spoken: Spoken | None = None
    transcript: str | None = None

    @property
    def n_bytes(self) -> int:
        """What it takes to keep it."""
        return sum(map(_n_bytes, (content for _, content in self.parts)))

    @property
    def text(self) -> str:
        """What of an answer's text was heard, or all of it where it was not spoken."""
        text = "".join(content for _, content in self.parts)
        if (spoken := self.spoken) is None:
            return text
        made_ms = milliseconds(spoken.n_made)
        return said(text, made_ms if spoken.heard_ms is None else spoken.heard_ms, made_ms, spoken.whole)

    def truncate(self, heard_ms: Any) -> None:
        """Let only the beginning of its sound have been heard; may be told again, and better.

        Raises
        ------
        BadRequest
            It was not spoken here, or it is not so long.
        """
        if self.spoken is None:
            words = f"item {self.id!r} was not spoken here, expected an answer by voice"
            raise Refused("invalid_value", words, "item_id")
        made_ms = milliseconds(self.spoken.n_made)
        if isinstance(heard_ms, bool) or not isinstance(heard_ms, int) or not 0 <= heard_ms <= made_ms:
            words = f"audio_end_ms is {str(heard_ms)[:40]}, expected a whole number from 0 to {made_ms}"
            raise Refused("invalid_value", words, "audio_end_ms")
        self.spoken.heard_ms = heard_ms

    def perceived(self, message: Mapping[str, Any]) -> None:
        """Take what the model heard in place of the sound; `message` is of `message`, perceived."""
        if self.role == "user":
            for n, (kind, _) in enumerate(self.parts):
                if kind == "input_audio":
                    self.parts[n] = (kind, message["content"][n]["audio"])

    def to_dict(self) -> dict[str, Any]:
        """Return it as events show it: without its sound."""
        content: list[dict[str, Any]] = []
        for kind, value in self.parts:
            if kind == "input_audio":
                content.append({"type": kind, "transcript": self.transcript})
            elif kind == "input_image":
                content.append({"type": kind})
            else:
                shown = self.text if self.role == "assistant" else value
                content.append({"type": kind, PARTS[self.role][kind]: shown})
        return {
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "status": self.status,
            "role": self.role,
            "content": content,
        }

    def message(self) -> dict[str, Any]:
        """Return it as `OmniModel.reply` takes it."""
        if self.role != "user":
            return {"role": self.role, "content": self.text}
        content: list[dict[str, Any]] = []
        for kind, value in self.parts:
            if kind == "input_audio":
                heard = (value.astype(np.float32) / 32768, RATE) if isinstance(value, np.ndarray) else value
                content.append({"type": "audio", "audio": heard})
            elif kind == "input_image":
                content.append({"type": "image", "image": value})
            else:
                content.append({"type": "text", "text": value})
        return {"role": "user", "content": content}


def _n_bytes(content: Any) -> int:
    if isinstance(content, Perceived):
        return content.rows.nbytes
    return content.nbytes if isinstance(content, np.ndarray) else len(content)


def user_item(pcm: I16, name: str | None = None) -> Item:
    """Return the turn of somebody who spoke."""
    return Item("user", [("input_audio", pcm)], name or new_id("item"))


def checked_text(text: str, path: str, max_chars: int) -> str:
    """Return a text that a model can be given.

    Raises
    ------
    BadRequest
        It is too long, or holds what is no character.
    """
    if len(text) > max_chars:
        raise TooLarge(f"{path} has {len(text)} characters, expected at most {max_chars}", path)
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise BadRequest(f"{path} has half of a surrogate pair, expected text", path)
    return text
