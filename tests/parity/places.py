"""Prompts with media whose placeholders and positions parity is checked on. No torch here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from parity import recordings

from pyomni.metadata.omni import MediaIds
from pyomni.pipelines.positions import MediaLayout, Medium

TOKENS = MediaIds(
    audio=151675,
    image=151655,
    video=151656,
    audio_start=151669,
    audio_end=151670,
    vision_start=151652,
    vision_end=151653,
)
LAYOUT = MediaLayout(TOKENS, merge=2, per_second=13)
PIECES = {
    "A": (TOKENS.audio_start, TOKENS.audio, TOKENS.audio_end),
    "I": (TOKENS.vision_start, TOKENS.image, TOKENS.vision_end),
    "V": (TOKENS.vision_start, TOKENS.video, TOKENS.vision_end),
}
NAMES = {"A": "audio", "I": "image", "V": "video"}
FILE = recordings.FOLDER / "places.json"


@dataclass(frozen=True)
class Case:
    """One prompt.

    Attributes
    ----------
    text : a letter a token of text, ``A``, ``I`` and ``V`` for media; ``[`` and ``]`` around a turn that the
        talker does not read
    media : in order; a clip as its mel frames, an image as its grid, a video as grid, seconds a step and the
        mel frames of its sound track (0: silent)
    """

    text: str
    media: tuple[Any, ...] = ()


CASES = {
    "text": Case("[abc]abcdefg"),
    "audio": Case("abAcd", (250,)),
    "two_clips": Case("A[x]Abc", (100, 63)),
    "image": Case("abIcde", ((1, 4, 6),)),
    "tall_image": Case("Ix", ((1, 40, 2),)),
    "two_images": Case("[sys]abIIcd", ((1, 2, 8), (1, 6, 6))),
    "image_and_clip": Case("aIbAc", ((1, 4, 4), 230)),
    "clip_and_image": Case("aAbIc", (230, (1, 4, 4))),
    "video": Case("abVcd", (((3, 4, 6), 1.0, 0),)),
    "video_of_one_step": Case("aVb", (((1, 4, 4), 2.0, 0),)),
    "fractions": Case(
        "abVcdVeIfVgh", (((4, 4, 2), 2 / 3, 0), ((3, 2, 2), 0.7, 0), (1, 6, 2), ((9, 2, 2), 0.1, 0))
    ),
    "many_fractions": Case("aVbVcVdVe", tuple(((7, 2, 2), 1 / (3 + i), 0) for i in range(4))),
    "film_with_a_long_sound": Case("abVcd", (((2, 4, 4), 1.0, 520),)),
    "film_with_a_short_sound": Case("abVcd", (((5, 4, 4), 1.0, 120),)),
    "tall_film_with_a_short_sound": Case("abVcd", (((2, 60, 4), 0.5, 20),)),
    # what follows is numbered behind the rest of the sound, below the film's largest height
    "tall_film_that_ends_first": Case("abVcd", (((1, 60, 2), 1.0, 30),)),
    "film_that_ends_with_its_sound": Case("aVb", (((3, 2, 4), 1.0, 300),)),
    "films_of_fractions_with_sound": Case("aVbVc", (((5, 4, 4), 1 / 3, 210), ((6, 2, 2), 0.9, 333))),
    "steps_on_the_beat": Case("aVb", (((14, 2, 2), 1 / 13, 160),)),
    "film_with_sound_and_more": Case(
        "aIbVcAdVe", ((1, 6, 4), ((2, 4, 4), 1.0, 260), 90, ((2, 2, 4), 2.0, 400))
    ),
    "turns": Case(
        "[system]hearA[answer]seeI[more]watchVthenI", (430, (1, 8, 6), ((4, 4, 6), 0.5, 0), (1, 2, 2))
    ),
    "nothing_between": Case("IVAI", ((1, 2, 2), ((2, 2, 2), 1.0, 0), 10, (1, 4, 2))),
}  # fmt: skip


def n_rows(n_mel: int) -> int:
    """Return how many rows the audio encoder makes of mel frames."""
    rest = n_mel % 100
    for _ in range(3):
        rest = (rest + 1) // 2
    return 13 * (n_mel // 100) + rest


def media(name: str) -> list[Medium]:
    """Return a case's media."""
    out, given = [], iter(CASES[name].media)
    for letter in CASES[name].text:
        if letter == "A":
            out.append(Medium("audio", n_rows(next(given))))
        elif letter == "I":
            out.append(Medium("image", grid=next(given)))
        elif letter == "V":
            grid, step, n_mel = next(given)
            out.append(Medium("video", n_rows(n_mel), grid, step))
    return out


def ids(name: str) -> list[int]:
    """Return a case's tokens, a placeholder a medium."""
    letters = [letter for letter in CASES[name].text if letter not in "[]"]
    return [token for letter in letters for token in PIECES.get(letter, (ord(letter),))]


def talker_ids(name: str, expanded: list[int]) -> list[int]:
    """Return what the talker reads of an expanded prompt: no text of some turns, and an answer."""
    hidden = {ord(letter) for part in CASES[name].text.split("[")[1:] for letter in part.split("]")[0]}
    return [token for token in expanded if token not in hidden] + [151671] * 9


def load() -> dict[str, dict[str, Any]]:
    """Read what was recorded of each case."""
    return json.loads(FILE.read_text(encoding="utf-8"))
