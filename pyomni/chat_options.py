"""How an answer is written: the options a caller may set, and what they become next to a file's defaults."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyomni.options import (
    COUNT,
    ONE_OR_MORE,
    PENALTY,
    SEED,
    SHARE,
    TEMPERATURE,
    Draw,
    Range,
    check_ranges,
    drawable,
)

__all__ = ["ChatOptions", "TextGeneration"]


#: What the numbers of `ChatOptions` may be.
CHAT_RANGES = {
    "seed": SEED,
    "max_tokens": ONE_OR_MORE,
    "temperature": TEMPERATURE,
    "top_k": COUNT,
    "top_p": SHARE,
    "min_p": Range(0, 1, "a number from 0 to 1"),
    "repetition_penalty": PENALTY,
    "presence_penalty": Range(-100, 100, "a number from -100 to 100"),
}


@dataclass(frozen=True)
class ChatOptions:
    """Options of one answer; None takes the checkpoint's default.

    Attributes
    ----------
    seed : int or None
        0 <= seed < 2**64. None draws a random 63-bit seed, which the reply reports. Equal arguments and seed
        give equal tokens.
    greedy : bool
        Take the largest score instead of drawing.
    max_tokens : int or None
        Tokens of the answer, at most; the one that ends it does not count.
    temperature, top_k, top_p : float, int, float or None
        Temperature 0 is greedy; top_k 0 and top_p 1 keep every token.
    min_p : float or None
        Drop tokens less likely than this share of the likeliest; 0 keeps every token.
    repetition_penalty : float or None
        Over the distinct tokens of prompt and answer: positive scores are divided by it, negative ones
        multiplied; 1 is none.
    presence_penalty : float or None
        Taken off the score of each token the answer already has; 0 is none.

    Raises
    ------
    ArgumentError
        A value out of its range.
    """

    seed: int | None = None
    greedy: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None

    def __post_init__(self) -> None:
        check_ranges(self, CHAT_RANGES)

    def resolve(self, defaults: Mapping[str, Any]) -> TextGeneration:
        """Fill in a file's defaults.

        Parameters
        ----------
        defaults : Mapping
            ``do_sample``, ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``repetition_penalty``,
            ``presence_penalty`` and ``max_new_tokens``; what is missing is neutral.

        Returns
        -------
        TextGeneration
            With every field set; a missing seed is drawn here.
        """

        def given(name: str, neutral: Any) -> Any:
            value = getattr(self, name)
            return defaults.get(name, neutral) if value is None else value

        # a temperature asked for overrides a checkpoint that does not sample
        samples = bool(defaults.get("do_sample", False)) or self.temperature is not None
        draw = Draw(0.0)
        if samples and not self.greedy:
            draw = Draw(
                drawable(float(given("temperature", 1.0))),
                int(given("top_k", 0)),
                float(given("top_p", 1.0)),
                float(given("min_p", 0.0)),
            )
        most = defaults["max_new_tokens"] if self.max_tokens is None else self.max_tokens
        return TextGeneration(
            seed=secrets.randbits(63) if self.seed is None else int(self.seed),
            draw=draw,
            repetition_penalty=float(given("repetition_penalty", 1.0)),
            presence_penalty=float(given("presence_penalty", 0.0)),
            max_tokens=int(most),
            max_tokens_asked=self.max_tokens is not None,
        )


@dataclass(frozen=True)
class TextGeneration:
    """`ChatOptions` with a file's defaults filled in; every field is set.

    Attributes
    ----------
    max_tokens_asked : bool
        The caller set `max_tokens`; otherwise it may be cut to the room there is.
    """

    seed: int
    draw: Draw
    repetition_penalty: float
    presence_penalty: float
    max_tokens: int
    max_tokens_asked: bool = False
