"""How speech is generated: the options a caller may set, and what they become next to a file's defaults.

Every field of `SpeechOptions` that is left at None takes the value the checkpoint recommends.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pyomni.errors import ArgumentError

__all__ = [
    "SPLITS",
    "Draw",
    "GenerationOptions",
    "Guarding",
    "Range",
    "SpeechOptions",
    "check_ranges",
    "drawable",
    "guard_frames",
]

#: `guard_frames`: eight seconds at 12.5 frames a second, plus 0.96 s for each text token.
GUARD_FRAMES = 100
GUARD_FRAMES_PER_TOKEN = 12

#: Values of `SpeechOptions.split`.
SPLITS = ("auto", "sentences", "never")

#: Most proposals of a pass: it then has four rows, which are the most that one sweep over the weights serves.
SPECULATE_MAX = 3

#: Seconds between parts: their defaults, and the longest there is.
PAUSE, PARAGRAPH_PAUSE, PAUSE_MAX = 0.15, 0.5, 60.0


class Range(NamedTuple):
    """What a number may be; `above` leaves out `low` itself, and `words` say it all."""

    low: float
    high: float
    words: str
    whole: bool = False
    above: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is such a number."""
        if self.whole:
            # numpy integers are welcome, booleans and 3.0 are more likely a slip
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                return False
            number = value.__index__()
        else:
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                return False
        inside = number <= self.high and (self.low < number if self.above else self.low <= number)
        return inside and math.isfinite(number)

    def check(self, name: str, value: Any) -> None:
        """Raise `ArgumentError` unless a value is None or such a number."""
        if value is not None and not self.holds(value):
            raise ArgumentError(f"{name} is {value!r}, expected {self.words}")


def whole(low: int, high: int) -> Range:
    """Return a range of whole numbers."""
    return Range(low, high, f"a whole number from {low} to {high}", whole=True)


#: Of the options that several kinds of model have.
SEED, COUNT, ONE_OR_MORE = whole(0, 2**64 - 1), whole(0, 2**31 - 1), whole(1, 2**31 - 1)
TEMPERATURE = Range(0, math.inf, "a number 0 (greedy) or more")
PENALTY = Range(1e-3, 1e6, "a number from 0.001 to 1000000")  # scores stay finite
SHARE = Range(0, 1, "a number above 0 and at most 1", above=True)
PAUSES = Range(0, PAUSE_MAX, f"a number of seconds from 0 to {PAUSE_MAX:g}")


#: What the numbers of `SpeechOptions` may be.
SPEECH_RANGES = {
    "seed": SEED,
    "temperature": TEMPERATURE,
    "top_k": COUNT,
    "top_p": SHARE,
    "repetition_penalty": PENALTY,
    "predictor_temperature": TEMPERATURE,
    "predictor_top_k": COUNT,
    "predictor_top_p": SHARE,
    "max_frames": ONE_OR_MORE,
    "min_frames": COUNT,
    "pause": PAUSES,
    "paragraph_pause": PAUSES,
    "speculate": whole(0, SPECULATE_MAX),
}


@dataclass(frozen=True)
class SpeechOptions:
    """Options of one generation; None takes the checkpoint's default.

    Attributes
    ----------
    seed : int or None
        0 <= seed < 2**64. None draws a random 63-bit seed, which the result reports. Equal arguments and seed
        give equal codes.
    greedy : bool
        Take the largest score instead of drawing, in the talker and in the code predictor.
    temperature, top_k, top_p : float, int, float or None
        Of the talker. Temperature 0 is greedy; top_k 0 and top_p 1 keep every id.
    repetition_penalty : float or None
        Of the talker, over the distinct ids of code group 0 generated so far; 1 is none.
    predictor_temperature, predictor_top_k, predictor_top_p : float, int, float or None
        The same for the code predictor.
    max_frames : int or None
        Frames returned, at most.
    min_frames : int or None
        Frames returned, at least.
    streaming_layout : bool or None
        Whether the text trails behind, one token per frame (True), or is all in the prompt (False).
    guard : bool
        Watch the speech for loops, near silence, and an end that comes too early or not at all; go back to
        the last good frame and draw afresh, or end there (docs/guard.md). With max_frames None the length of
        the text caps the frames. A greedy talker, which draws nothing, has the cap alone.
    split : {"auto", "sentences", "never"} or None
        Whether a text is spoken in parts, each a generation of its own. ``auto``, the default, leaves a text
        of up to 200 tokens whole, about a minute of speech; a longer one is cut at sentence ends into parts
        of up to that many tokens, and never across paragraphs. ``sentences`` makes a part of each sentence.
        A text that arrives in pieces is never split. With parts, `max_frames` counts the frames of all of
        them and `min_frames` those of each.
    pause, paragraph_pause : float or None
        Seconds of silence after a part that ends a sentence (default 0.15) or a paragraph (default 0.5),
        besides what the model itself leaves.
    speculate : int
        Code groups proposed in each pass of the code predictor, 0 (the default, none) to 3. The speech has
        the same distribution, but draws other numbers, so a seed gives other codes with each value; greedy
        codes are the same (docs/speculation.md).

    Raises
    ------
    ArgumentError
        A value out of its range.
    """

    seed: int | None = None
    greedy: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    predictor_temperature: float | None = None
    predictor_top_k: int | None = None
    predictor_top_p: float | None = None
    max_frames: int | None = None
    min_frames: int | None = None
    streaming_layout: bool | None = None
    guard: bool = True
    split: str | None = None
    pause: float | None = None
    paragraph_pause: float | None = None
    speculate: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, SPEECH_RANGES)
        if self.speculate is None:
            raise ArgumentError(f"speculate is None, expected {SPEECH_RANGES['speculate'].words}")
        if self.split not in (None, *SPLITS):
            raise ArgumentError(f"split is {self.split!r}, expected one of: {', '.join(SPLITS)}")
        if self.max_frames is not None and self.min_frames is not None and self.min_frames > self.max_frames:
            raise ArgumentError(
                f"min_frames is {self.min_frames}, expected at most max_frames, which is {self.max_frames}"
            )

    def pause_after(self, end: str) -> float:
        """Return the seconds of silence after a part that ends a paragraph, sentence, clause or word."""
        if end == "paragraph":
            return PARAGRAPH_PAUSE if self.paragraph_pause is None else float(self.paragraph_pause)
        if end == "sentence":
            return PAUSE if self.pause is None else float(self.pause)
        return 0.0

    def resolve(
        self,
        defaults: Mapping[str, Any],
        *,
        n_text: int,
        streaming_layout: bool,
        most: int | None = None,
        least: int = 0,
        frames_per_second: float = 0.0,
    ) -> GenerationOptions:
        """Fill in a file's defaults.

        Parameters
        ----------
        defaults : Mapping
            The ``tts.default.*`` values of docs/gguf.md without that prefix.
        n_text : int
            Text tokens to speak.
        streaming_layout : bool
            The model type's default layout.
        most : int or None
            The guard's cap of the frames; None is `guard_frames` of `n_text`.
        least : int
            Frames before which the guard takes an end for a failure.
        frames_per_second : float
            Of the codec; 0 leaves the guard no more than the cap.

        Returns
        -------
        GenerationOptions
            With every field set; a missing seed is drawn here.
        """
        max_frames, capped = self.max_frames, False
        if max_frames is None:
            # max_new_tokens counts sampled ids and the last one never becomes a frame: M ids, M - 1 frames.
            max_frames = max(int(defaults["max_new_tokens"]) - 1, 1)
            most = guard_frames(n_text) if most is None else most
            capped = self.guard and most < max_frames
            max_frames = most if capped else max_frames
        talker = _draw(self.greedy, defaults, "", self.temperature, self.top_k, self.top_p)
        guard = None
        if self.guard and frames_per_second > 0 and talker.temperature > 0:
            guard = Guarding(float(frames_per_second), min(least, max_frames), capped)
        min_frames = int(defaults["min_new_tokens"]) if self.min_frames is None else self.min_frames
        return GenerationOptions(
            seed=secrets.randbits(63) if self.seed is None else int(self.seed),
            talker=talker,
            predictor=_draw(
                self.greedy,
                defaults,
                "predictor_",
                self.predictor_temperature,
                self.predictor_top_k,
                self.predictor_top_p,
            ),
            repetition_penalty=float(_or(self.repetition_penalty, defaults["repetition_penalty"])),
            max_frames=max_frames,
            min_frames=min(min_frames, max_frames),
            streaming_layout=streaming_layout if self.streaming_layout is None else self.streaming_layout,
            guard=guard,
            speculate=int(self.speculate),
        )


@dataclass(frozen=True)
class Draw:
    """How one id is drawn from scores; temperature 0 takes the largest; top_k 0, top_p 1, min_p 0 keep all.

    `min_p` is for text; a code predictor draws inside its graph, without it.
    """

    temperature: float
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0


@dataclass(frozen=True)
class Guarding:
    """What the guard of one generation goes by.

    Attributes
    ----------
    frames_per_second : float
    least : int
        Frames before which an end is too early.
    capped : bool
        Whether `max_frames` are the guard's, so that a speech which reaches them has missed its end.
    """

    frames_per_second: float
    least: int = 0
    capped: bool = False


@dataclass(frozen=True)
class GenerationOptions:
    """`SpeechOptions` with a file's defaults filled in; every field is set, but for `guard` where none is."""

    seed: int
    talker: Draw
    predictor: Draw
    repetition_penalty: float
    max_frames: int
    min_frames: int
    streaming_layout: bool
    guard: Guarding | None = None
    speculate: int = 0


def guard_frames(n_text: int) -> int:
    """Return the guard's most frames for `n_text` tokens of which no text is known: ``100 + 12 * n_text``.

    Ordinary speech takes about four frames (0.32 s) per text token, so this is three times that and eight
    seconds for pauses. It ends the generations that miss their end id, which very short texts sometimes do.
    """
    return GUARD_FRAMES + GUARD_FRAMES_PER_TOKEN * n_text


def _draw(
    greedy: bool,
    defaults: Mapping[str, Any],
    prefix: str,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
) -> Draw:
    """Merge one sampler's options; a temperature asked for overrides a checkpoint that does not sample."""
    samples = bool(defaults[f"{prefix}do_sample"]) or temperature is not None
    if greedy or not samples:
        return Draw(temperature=0.0)
    return Draw(
        temperature=drawable(float(_or(temperature, defaults[f"{prefix}temperature"]))),
        top_k=int(_or(top_k, defaults[f"{prefix}top_k"])),
        top_p=float(_or(top_p, defaults[f"{prefix}top_p"])),
    )


def drawable(temperature: float) -> float:
    """Return a temperature, or 0 for one so small that dividing by it overflows: the same draws."""
    return temperature if temperature > 1e-9 else 0.0


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def check_ranges(options: Any, ranges: Mapping[str, Range]) -> None:
    """Raise `ArgumentError` for an attribute that is set and outside its range."""
    for name, known in ranges.items():
        known.check(name, getattr(options, name))
