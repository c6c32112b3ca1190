"""Texts of any length: parts spoken one by one or on several lanes, joined in order, at flat memory.

Each part is a generation of its own, with the codes it has alone; where the voice is in no prompt, the
parts after the first go on with its voice (`pyomni.pipelines.carry`). Between two parts the sound goes to
silence within `FADE_S`, stays there for the pause, and comes back as fast: nothing is cut away, and no step
is left that could click. Before the first part and after the last nothing is changed, so a text of one part
sounds as if there were no parts.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError, InternalError
from pyomni.options import SpeechOptions
from pyomni.pipelines import carry
from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.pipelines.guard import UNTOUCHED, GuardCounts
from pyomni.pipelines.prompt import PromptLayout
from pyomni.pipelines.resume import SavedSpeech
from pyomni.pipelines.speech import Event

__all__ = [
    "FADE_S",
    "PART_TOKENS",
    "WORST_FIRST",
    "Fader",
    "Frames",
    "Made",
    "Part",
    "Script",
    "SpokenPiece",
    "part_seed",
    "perform",
    "perform_codes",
    "resumed",
    "save",
    "start",
]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

#: Tokens one generation handles well: about a minute of speech. Texts beyond it are split at sentence ends.
PART_TOKENS = 200

#: How parts end, from the worst: a text ends as its worst part.
WORST_FIRST = ("runaway", "silence", "length", "repaired", "stop")

#: Seconds of each fade.
FADE_S = 0.005


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


def part_seed(seed: int, index: int) -> int:
    """Return the seed of a part: that of the text itself for part 0, then 64 bits of BLAKE2b of both."""
    if index == 0:
        return seed
    key = seed.to_bytes(8, "little") + index.to_bytes(8, "little")
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


class InOrder:
    """The events of several requests, one request after the other; those of later ones wait as codes."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._waiting: dict[int, deque[Event]] = {}
        self._done = -1  # requests up to here are of no interest any more

    def next(self, request: int) -> Event:
        """Return the next event of a request, running the others as far as they come along."""
        waiting = self._waiting.get(request)
        if waiting:
            return waiting.popleft()
        for event in self._events:
            if event.request == request:
                return event
            if event.request > self._done:
                self._waiting.setdefault(event.request, deque()).append(event)
        raise InternalError(f"request {request} has no events left, expected one that ends it")

    def drop(self, request: int) -> None:
        """Forget a request, and all before it."""
        self._done = request
        for old in [index for index in self._waiting if index <= request]:
            del self._waiting[old]


def perform_codes(
    script: Script, events: InOrder, made: Made, offset: int = 0
) -> Iterator[tuple[Part, Iterator[I32]]]:
    """Yield each part with an iterator over its frames, int32 [n_groups], which is to be read to its end.

    Parameters
    ----------
    script : Script
        Its parts are the requests from `offset` on.
    events : InOrder
        Of these and maybe other requests.
    made : Made
        Gets the frames and, at the end, how it ended: as the part that ended worst (`WORST_FIRST`).
    """
    last = len(script.parts) - 1
    reasons: set[str | None] = set()
    before = UNTOUCHED  # of the parts that have ended

    def frames(index: int) -> Iterator[I32]:
        nonlocal before
        while (event := events.next(offset + index)).codes is not None:
            if made.frames.n == script.max_frames:
                made.finish_reason = "length"
                return
            made.frames.append(event.codes)
            made.last, made.guard = event, before.plus(event.guard)
            yield event.codes
        made.guard = before = before.plus(event.guard)
        reasons.add(event.finish_reason if index == last or made.frames.n != script.max_frames else "length")
        if index == last or made.frames.n == script.max_frames:
            made.finish_reason = next(reason for reason in WORST_FIRST if reason in reasons)

    for index, part in enumerate(script.parts):
        yield part, frames(index)
        if made.finish_reason is not None:
            break
    events.drop(offset + last)


def perform(
    engine: SpeechEngine, script: Script, events: InOrder, made: Made, offset: int = 0
) -> Iterator[F32]:
    """Speak a script inside `SpeechEngine.use`; arguments are those of `perform_codes`.

    Yields
    ------
    float32 [n]
        The parts and the pauses between them.
    """
    rate = engine.meta.sample_rate
    pause, n_leading = 0.0, 0
    for part, frames in perform_codes(script, events, made, offset):
        first = part is script.parts[0]
        if pause > 0:
            silence = np.zeros(round(pause * rate), np.float32)
            made.n_samples += len(silence)
            yield silence
        first_frame, first_sample = made.frames.n, made.n_samples
        made.n_blocks = 0 if part.plan.saved is None else part.plan.saved.n_blocks
        reference = part.plan.reference
        if part.follows is not None and n_leading:
            reference = made.frames.array(engine.meta.n_groups)[:n_leading]
        blocks = engine.pcm(frames, made.timings, reference, part.plan.saved)
        edges = round(FADE_S * rate)
        for block in faded(blocks, 0 if first else edges, 0 if part is script.parts[-1] else edges):
            made.n_samples += len(block)
            made.n_blocks += 1
            yield block
        if len(script.parts) > 1:
            made.pieces.append(
                SpokenPiece(
                    part.text,
                    part.plan.options.seed,
                    first_frame,
                    made.frames.n - first_frame,
                    first_sample,
                    made.n_samples - first_sample,
                )
            )
        pause = part.pause
        if first:
            n_leading = made.frames.n


def faded(blocks: Iterable[F32], n_in: int, n_out: int) -> Iterator[F32]:
    """Fade the first `n_in` samples in and the last `n_out` out, by half a cosine; the rest is untouched.

    The last `n_out` samples so far are held back until it is known whether they are the last.
    """
    fader = Fader(n_in, n_out)
    for given in blocks:
        if len(block := fader.push(given)):
            yield block
    if len(held := fader.finish()):
        yield held


class Fader:
    """`faded` for a caller who pushes blocks."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self._n_in, self._n_out = n_in, n_out
        self._rise = _rise(n_in)
        self._held = np.zeros(0, np.float32)
        self._at = 0

    def push(self, given: F32) -> F32:
        """Return what is ready, float32 [n], which may be nothing."""
        block, n_out = given, self._n_out
        if self._at < self._n_in:
            block = block.copy()
            n = min(self._n_in - self._at, len(block))
            block[:n] *= self._rise[self._at : self._at + n]
        self._at += len(given)
        if n_out:
            block = np.concatenate([self._held, block])
            self._held = block[max(len(block) - n_out, 0) :].copy()  # a view would keep the block alive
            block = block[: len(block) - len(self._held)]
        return block

    def finish(self) -> F32:
        """Return what was held back, faded out."""
        self._held *= _rise(self._n_out)[::-1][self._n_out - len(self._held) :]
        return self._held


def _rise(n: int) -> F32:
    """Half a cosine from just above 0 to just below 1, float32 [n]."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))).astype(np.float32)


def start(engine: SpeechEngine, scripts: Sequence[Script], timings: Timings) -> InOrder:
    """Start the parts of all scripts on the lanes of a model; call it inside `SpeechEngine.use`."""
    plans: list[Plan] = []
    followers: dict[int, carry.Follower] = {}
    for script in scripts:
        leader = len(plans)
        for part in script.parts:
            if part.follows is not None:
                followers[len(plans)] = carry.Follower(leader, part.follows)
            plans.append(part.plan)
    return InOrder(carry.run(engine, plans, followers, timings))


def save(engine: SpeechEngine, script: Script, made: Made) -> SavedSpeech:
    """Return where a script is; call it inside `SpeechEngine.use`, between two blocks of `perform`.

    Raises
    ------
    ArgumentError
        It has several parts, its text is still arriving, or it has ended.
    """
    if len(script.parts) > 1:
        raise ArgumentError(
            f"the stream speaks a text in {len(script.parts)} parts, expected one part to save: "
            'say split="never"'
        )
    plan, last = script.parts[0].plan, made.last
    if plan.arriving is not None:
        raise ArgumentError(
            "a stream of arriving text cannot be saved yet, expected a text that is all there"
        )
    if made.finish_reason is not None or last is None or last.row_sum is None or last.pad_row is None:
        raise ArgumentError("the stream is at its end, expected to save it between two of its blocks")
    talker, codec = engine.save_lanes(last.n_past)
    return SavedSpeech(
        np.frombuffer(talker, np.uint8),
        np.frombuffer(codec, np.uint8),
        made.frames.array(engine.meta.n_groups),
        last.row_sum,
        last.pad_row,
        np.array(plan.layout.trailing, np.int32),
        plan.n_prompt,
        made.n_blocks,
        plan.options,
        last.guard,
    )


def resumed(saved: SavedSpeech, seed: int | None) -> tuple[Script, Made]:
    """Return the script that goes on where a speech was saved, and what was made of it before.

    Raises
    ------
    ArgumentError
        The seed is out of its range.
    """
    options = saved.options
    if seed is not None:
        SpeechOptions(seed=seed)  # checks it
        options = replace(options, seed=int(seed))
    layout = PromptLayout((), tuple(saved.trailing.tolist()), pad=-1, n_text=0)
    made = Made(guard=saved.guard)
    for frame in saved.codes:
        made.frames.append(frame)
    return Script((Part(Plan(layout, options, saved=saved)),), options.seed), made
