"""A conversation as bytes: messages, what was perceived, and the language model's lane.

`pyomni.pipelines.saved` has the frame; ``format`` is ``pyomni-chat``. ``about`` holds ``messages``, where a
medium is ``{"medium": n}``, ``media`` (kind, key, grid, seconds_per_step, and of a video that is heard the
number of its ``sound``) and ``next_position``. Tensors: ``media.n.rows`` F32 and, of what is seen,
``media.n.deepstack`` F32; where a lane held the conversation also ``lane`` U8, as its session saves it,
``ids`` I32, ``positions`` F64 [n, 3], ``marks`` I64 and ``thought`` F32.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.errors import ModelFormatError
from pyomni.pipelines.held import Held, Perceived
from pyomni.pipelines.saved import Kind, pack, unpack

__all__ = ["KIND", "SavedChat"]

KINDS = ("audio", "image", "video")
KIND = Kind("pyomni-chat", 1, "the saved conversation", "Conversation.save")


@dataclass(frozen=True, eq=False)
class SavedChat:
    """A conversation between two turns.

    Attributes
    ----------
    messages : list of dict
        Media in them are `Perceived`.
    lane : bytes or None
        Of the language model; None where it has to read the conversation again.
    held : Held
        What the lane holds.
    """

    messages: list[dict[str, Any]]
    lane: bytes | None
    held: Held

    def to_bytes(self) -> bytes:
        """Return the conversation as bytes, for `from_bytes`."""
        media: list[Perceived] = []
        messages = _without(self.messages, media)
        tensors: dict[str, npt.NDArray[Any]] = {}
        described = []
        for n, medium in enumerate(media):  # sounds of videos come behind, as this goes on
            sound = None
            if medium.sound is not None:
                sound = len(media)
                media.append(medium.sound)
            described.append(
                {
                    "kind": medium.kind,
                    "key": medium.key,
                    "grid": medium.grid,
                    "seconds_per_step": medium.seconds_per_step,
                    "sound": sound,
                }
            )
            tensors[f"media.{n}.rows"] = medium.rows
            if medium.deepstack is not None:
                tensors[f"media.{n}.deepstack"] = medium.deepstack
        about = {"messages": messages, "media": described, "next_position": self.held.next_position}
        if self.lane is not None:
            tensors |= {
                "lane": np.frombuffer(self.lane, np.uint8),
                "ids": np.array(self.held.ids, np.int32),
                "positions": self.held.positions,
                "marks": self.held.marks,
                "thought": self.held.thought,
            }
        return pack(KIND, about, tensors)

    @classmethod
    def from_bytes(cls, saved: bytes) -> SavedChat:
        """Read what `to_bytes` made.

        Raises
        ------
        ArgumentError, ModelFormatError, UnsupportedModel
            As `unpack`; the second also where something is missing.
        """
        about, tensors = unpack(KIND, saved)
        try:
            media: list[Perceived] = []
            for n, one in reversed(list(enumerate(about["media"]))):  # sounds first
                rows, deepstack = tensors[f"media.{n}.rows"], tensors.get(f"media.{n}.deepstack")
                sound = None if one["sound"] is None else media[len(about["media"]) - 1 - one["sound"]]
                if rows.dtype != np.float32 or rows.ndim != 2:
                    raise ValueError(f"rows of a medium are {rows.dtype} {list(rows.shape)}")
                grid = None
                if one["grid"] is not None:
                    steps, height, width = one["grid"]
                    grid = int(steps), int(height), int(width)
                kind, key, seconds = str(one["kind"]), str(one["key"]), float(one["seconds_per_step"])
                if kind not in KINDS or not re.fullmatch("[0-9a-f]{64}", key):
                    raise ValueError(f"a medium is {kind!r} with key {key[:70]!r}")
                media.append(Perceived(kind, rows, deepstack, key, grid, seconds, sound))
            messages = _with(about["messages"], media[::-1])
            if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
                raise ValueError("messages are no list of objects")
            held, lane = Held(), None
            if "lane" in tensors:
                held = _held(tensors, float(about["next_position"]))
                lane = tensors["lane"].tobytes()
            return cls(messages, lane, held)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise ModelFormatError(f"{KIND.what} does not hold what it should ({error})") from error


def _held(tensors: Mapping[str, npt.NDArray[Any]], next_position: float) -> Held:
    ids, positions, marks = tensors["ids"], tensors["positions"], tensors["marks"]
    n, thought = len(positions), tensors["thought"]
    if (
        ids.ndim != 1
        or ids.dtype != np.int32
        or positions.shape != (n, 3)
        or marks.shape != (n,)
        or n > len(ids)
    ):
        raise ValueError(f"{len(ids)} ids with {n} positions and {len(marks)} marks")
    n_media = int(np.count_nonzero(marks))
    if thought.dtype != np.float32 or thought.ndim != 2 or len(thought) not in (0, n_media):
        raise ValueError(f"{list(thought.shape)} hidden rows for {n_media} positions of media")
    return Held(ids.tolist(), positions, marks, next_position, thought)


def _without(value: Any, media: list[Perceived]) -> Any:
    """Return a value with numbers in place of what was perceived, which is collected."""
    if isinstance(value, Perceived):
        for n, known in enumerate(media):
            if known is value:
                return {"medium": n}
        media.append(value)
        return {"medium": len(media) - 1}
    if isinstance(value, Mapping):
        return {str(key): _without(item, media) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without(item, media) for item in value]
    return value


def _with(value: Any, media: Sequence[Perceived]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"medium"}:
            return media[value["medium"]]
        return {key: _with(item, media) for key, item in value.items()}
    if isinstance(value, list):
        return [_with(item, media) for item in value]
    return value
