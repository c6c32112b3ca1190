"""What is spoken in parts, and what was made of it: the values that `pyomni.pipelines.long` works on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.engine import Plan
from pyomni.pipelines.guard import UNTOUCHED, GuardCounts
from pyomni.pipelines.speech import Event

__all__ = ["PART_TOKENS", "WORST_FIRST", "Frames", "Made", "Part", "Script", "SpokenPiece", "part_seed"]

I32 = npt.NDArray[np.int32]

#: Tokens one generation handles well: about a minute of speech. Texts beyond it are split at sentence ends.
PART_TOKENS = 200

#: How parts end, from the worst: a text ends as its worst part.
WORST_FIRST = ("runaway", "silence", "length", "repaired", "stop")


@dataclass(frozen=True)
class Part:
    """A part of a text to speak.

    Attributes
    ----------
    plan : Plan
        How.
    text : str
        What.
    pause : float
        Seconds of silence after it, if another part follows.
    follows : callable (int32 [n_frames, n_groups]) -> Plan, or None
        Makes the plan from the codes of the first part, whose voice this one goes on with; None: its voice
        is in `plan`.
    """

    plan: Plan
    text: str = ""
    pause: float = 0.0
    follows: Callable[[I32], Plan] | None = None


@dataclass(frozen=True)
class Script:
    """Parts to speak in order.

    Attributes
    ----------
    parts : tuple of Part
        At least one.
    seed : int
        What those of the parts come from (`part_seed`).
    max_frames : int or None
        Frames of all parts together, at most; None leaves each to its plan.
    """

    parts: tuple[Part, ...]
    seed: int
    max_frames: int | None = None

    def close(self) -> None:
        """Close the iterators that text comes from."""
        for part in self.parts:
            if part.plan.arriving is not None:
                part.plan.arriving.text.close()


@dataclass(frozen=True)
class SpokenPiece:
    """One part of a longer speech.

    Attributes
    ----------
    text : str
        What it says.
    seed : int
        Gives this piece the same codes when it is spoken alone; after the first one, not so for a described
        voice or none, which goes on with the voice of the first (`pyomni.pipelines.carry`).
    first_frame, n_frames : int
        Where its codes lie among those of the speech.
    first_sample, n_samples : int
        Where its samples lie; pauses belong to none.
    """

    text: str
    seed: int
    first_frame: int
    n_frames: int
    first_sample: int
    n_samples: int


class Frames:
    """Frames of codes, 4 bytes a code however many there are."""

    def __init__(self) -> None:
        self._bytes, self.n = bytearray(), 0

    def append(self, codes: I32) -> None:
        """Append a frame, int32 [n_groups]."""
        self._bytes += codes.astype(np.int32, copy=False).tobytes()
        self.n += 1

    def array(self, n_groups: int) -> I32:
        """Return them all: int32 [n, n_groups], a copy."""
        return np.frombuffer(bytes(self._bytes), np.int32).reshape(self.n, n_groups)


@dataclass
class Made:
    """What was made so far of one script; `last` made its last frame, `n_blocks` are of its last part."""

    timings: Timings = field(default_factory=Timings)
    frames: Frames = field(default_factory=Frames)
    pieces: list[SpokenPiece] = field(default_factory=list)
    finish_reason: str | None = None
    n_samples: int = 0
    n_blocks: int = 0
    last: Event | None = None
    guard: GuardCounts = UNTOUCHED
    reasons: set[str | None] = field(default_factory=set)

    def end_part(self, reason: str | None, last: bool, full: bool) -> None:
        """Say how a part ended, whether it is the last, and whether no more frames are allowed.

        The text ends with it, if so, as the part that ended worst.
        """
        self.reasons.add("length" if full and not last else reason)
        if last or full:
            self.finish_reason = next((one for one in WORST_FIRST if one in self.reasons), reason)


def part_seed(seed: int, index: int) -> int:
    """Return the seed of a part: that of the text itself for part 0, then 64 bits of BLAKE2b of both."""
    if index == 0:
        return seed
    key = seed.to_bytes(8, "little") + index.to_bytes(8, "little")
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
