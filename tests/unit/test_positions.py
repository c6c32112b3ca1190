"""Media that are not those of the prompt are refused, with words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from parity.places import LAYOUT, TOKENS

from pyomni import errors
from pyomni.pipelines.positions import Medium

IMAGE = [TOKENS.vision_start, TOKENS.image, TOKENS.vision_end]
VIDEO = [TOKENS.vision_start, TOKENS.video, TOKENS.vision_end]
AUDIO = [TOKENS.audio_start, TOKENS.audio, TOKENS.audio_end]
CLIP, PICTURE = Medium("audio", 3), Medium("image", grid=(1, 4, 2))
FILM = Medium("video", grid=(2, 2, 2), seconds_per_step=1.0)
HEARD = Medium("video", 3, (2, 2, 2), 1.0)


@pytest.mark.parametrize(
    ("ids", "media", "words"),
    [
        ([1, *IMAGE], [], "0 media for 1 placeholders, expected one for each"),
        ([1, 2], [CLIP], "1 media for 0 placeholders"),
        ([*IMAGE, *AUDIO], [CLIP, PICTURE], "an audio clip was given where the prompt has an image"),
        (
            [TOKENS.image],
            [PICTURE],
            "placeholder of an image at token 0 is not between its start and its end",
        ),
        ([1, TOKENS.audio, TOKENS.audio_end], [CLIP], "of an audio clip at token 1 is not between"),
        ([*VIDEO[:2], 7], [FILM], "of a video at token 1 is not between"),
        (
            IMAGE,
            [Medium("image", grid=(1, 3, 2))],
            "cannot be, expected rows of sound or a grid of whole blocks",
        ),
        (IMAGE, [Medium("image", grid=(0, 2, 2))], "cannot be"),
        (IMAGE, [Medium("image", 3, (1, 2, 2))], "cannot be"),
        (IMAGE, [Medium("image")], "cannot be"),
        (AUDIO, [Medium("audio")], "cannot be"),
        (VIDEO, [Medium("video", grid=(1, 2, 2))], "cannot be"),
        (VIDEO, [Medium("video", grid=(1, 2, 2), seconds_per_step=float("nan"))], "cannot be"),
        (np.zeros((2, 2), np.int32), [], r"tokens have shape \[2, 2\]"),
        ([1.5], [], "type float64, expected int"),
    ],
)
def test_expand_refuses(ids: Any, media: list[Medium], words: str) -> None:
    with pytest.raises(errors.ArgumentError, match=words):
        LAYOUT.expand(ids, media)


@pytest.mark.parametrize(
    ("ids", "media", "words"),
    [
        (LAYOUT.expand(IMAGE, [PICTURE]).ids, [], "more than the 0 media given stand in the prompt"),
        ([1, 2, 3], [PICTURE], "medium 0 of 1 does not stand in the prompt"),
        ([1, TOKENS.vision_start], [PICTURE], "medium 0 of 1 does not stand in the prompt"),
        ([TOKENS.vision_start, 7, 7], [PICTURE], "medium 0 of 1 does not stand in the prompt"),
        (IMAGE, [PICTURE], "medium 0, an image, has 2 rows, expected that many placeholders from token 1 on"),
        (LAYOUT.expand(IMAGE, [PICTURE]).ids, [Medium("image", grid=(1, 2, 2))], "has 1 rows, expected that"),
        (
            LAYOUT.expand(AUDIO, [CLIP]).ids,
            [PICTURE],
            "an image was given where the prompt has an audio clip",
        ),
        (LAYOUT.expand(VIDEO, [HEARD]).ids, [FILM], "medium 0, a video, has 2 rows"),
        (LAYOUT.expand(VIDEO, [FILM]).ids, [HEARD], "medium 0, a video, has 5 rows"),
    ],
)
def test_positions_refuses(ids: Any, media: list[Medium], words: str) -> None:
    with pytest.raises(errors.ArgumentError, match=words):
        LAYOUT.positions(ids, media)


def test_a_refusal_names_what_was_given() -> None:
    with pytest.raises(errors.ArgumentError, match=re.escape("grid=(1, 3, 2)")):
        LAYOUT.expand(IMAGE, [Medium("image", grid=(1, 3, 2))])


def test_nothing() -> None:
    assert LAYOUT.expand([], []).ids.size == 0
    assert LAYOUT.positions([], []).shape == (0, 3)


def test_a_cut_prompt_has_positions() -> None:
    """What a lane already holds ends anywhere: a prompt that ends with its last medium is one."""
    ids = LAYOUT.expand([1, *AUDIO], [CLIP]).ids[:-1]
    np.testing.assert_array_equal(LAYOUT.positions(ids, [CLIP])[:, 0], np.arange(5))
