"""What a language model is given, position by position, and how much of it a lane holds already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["Held", "Perceived", "Prompt"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Perceived:
    """A clip, an image or a video as rows of the language model.

    Attributes
    ----------
    kind : {"audio", "image", "video"}
    rows : float32 [n, n_embd]
        One for each of its positions.
    deepstack : float32 [n_levels, n, n_embd] or None
        Added behind the first layers, for what is seen.
    key : str
        Tells contents apart (`pyomni.digests.content_key`).
    grid : (int, int, int) or None
        Patches of what is seen: steps in time, rows, columns.
    seconds_per_step : float
        Of a video.
    sound : Perceived or None
        The sound track of a video that is heard as well.
    """

    kind: str
    rows: F32
    deepstack: F32 | None
    key: str
    grid: tuple[int, int, int] | None = None
    seconds_per_step: float = 0.0
    sound: Perceived | None = None

    @property
    def mark(self) -> int:
        """A number for the content, never 0."""
        return int(self.key[:15], 16) + 1


@dataclass(frozen=True, eq=False)
class Prompt:
    """What a language model is to read.

    Attributes
    ----------
    ids : int32 [n]
        Tokens, placeholders where media stand.
    positions : float64 [n, 3]
        Time, height and width of each.
    media : tuple of Perceived
        Sounds of videos by themselves.
    medium : int32 [n]
        Which of `media` stands here; -1 for text.
    row : int32 [n]
        Which of its rows.
    """

    ids: I32
    positions: npt.NDArray[np.float64]
    media: tuple[Perceived, ...]
    medium: I32
    row: I32

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def marks(self) -> I64:
        """Content of each position beside its id, int64 [n]; 0 for text."""
        numbers = np.array([0, *(medium.mark for medium in self.media)], np.int64)
        return np.where(self.medium < 0, 0, numbers[self.medium + 1] + self.row)

    @property
    def next_position(self) -> float:
        """The position of what is written after it: one more than the largest."""
        return float(self.positions.max()) + 1 if len(self.ids) else 0.0

    def media_rows(self, begin: int, end: int) -> tuple[npt.NDArray[np.bool_], F32]:
        """Return where media stand, bool [n], and their rows there, float32 [m, n_embd]."""
        medium, row = self.medium[begin:end], self.row[begin:end]
        at = medium >= 0
        which, row = medium[at], row[at]
        out = np.zeros((len(which), self.media[0].rows.shape[1] if self.media else 0), np.float32)
        for m in np.unique(which):
            out[which == m] = self.media[m].rows[row[which == m]]
        return at, out

    def deepstack(self, begin: int, end: int, n_levels: int, width: int) -> F32 | None:
        """Return what is added behind the first layers, float32 [1, n_levels, n, width]; None for nothing."""
        medium, row = self.medium[begin:end], self.row[begin:end]
        out: F32 | None = None
        for m in np.unique(medium[medium >= 0]):
            given = self.media[m].deepstack
            if given is None:
                continue
            if out is None:
                out = np.zeros((n_levels, end - begin, width), np.float32)
            at = medium == m
            out[:, at] = given[:, row[at]]
        return None if out is None else out[None]


@dataclass(eq=False)
class Held:
    """What a lane holds: tokens, where they stand, what media they are, and what was thought of those.

    Attributes
    ----------
    ids : list of int
    positions : float64 [n_prompt, 3]
        Of the prompt; what was written after it counts on from `next_position`.
    marks : int64 [n_prompt]
        `Prompt.marks`.
    next_position : float
        Of the first token after the prompt.
    thought : float32 [n_media, n_embd]
        Hidden rows at the positions of media, in order; empty where no talker listens.
    """

    ids: list[int] = field(default_factory=list)
    positions: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    marks: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    next_position: float = 0.0
    thought: F32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.ids)

    def all_positions(self) -> npt.NDArray[np.float64]:
        """Return the positions of everything held, float64 [n, 3]."""
        n = len(self.ids) - len(self.positions)
        written = self.next_position + np.arange(n, dtype=np.float64)
        return np.concatenate([self.positions, np.broadcast_to(written[:, None], (n, 3))])

    def place(self) -> float:
        """Return the position of the next token that is written."""
        return self.next_position + len(self.ids) - len(self.positions)

    def common(self, prompt: Prompt) -> int:
        """Return how many first positions of a prompt this holds."""
        n = min(len(self), len(prompt))
        marks = np.zeros(len(self), np.int64)
        marks[: len(self.marks)] = self.marks
        same = np.array(self.ids[:n], np.int32) == prompt.ids[:n]
        same &= marks[:n] == prompt.marks[:n]
        same &= (self.all_positions()[:n] == prompt.positions[:n]).all(axis=1)
        return n if same.all() else int(same.argmin())

    def cut(self, n: int) -> Held:
        """Return what is left when all from position `n` on is forgotten, as a prompt without an answer."""
        marks = np.zeros(len(self), np.int64)
        marks[: len(self.marks)] = self.marks
        positions = self.all_positions()[:n]
        n_media = int(np.count_nonzero(marks[:n]))
        following = float(positions.max()) + 1 if n else 0.0
        return Held(self.ids[:n], positions, marks[:n], following, self.thought[:n_media])


def longest(held: Sequence[Held], prompt: Prompt, free: Sequence[int]) -> int:
    """Return the free lane that holds most of a prompt; among equals, the one that holds least else."""
    return max(free, key=lambda lane: (held[lane].common(prompt), -len(held[lane])))
