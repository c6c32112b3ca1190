"""Placeholders and positions of media against the official ones, as recorded by `record_places.py`: equal."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from parity import places

recorded = functools.cache(places.load)


def check(name: str, recording: Mapping[str, Any]) -> None:
    media = places.media(name)
    place = places.LAYOUT.expand(places.ids(name), media)
    assert place.ids.tolist() == recording["ids"]
    read = {"thinker": place.ids.tolist(), "talker": places.talker_ids(name, place.ids.tolist())}
    for model, ids in read.items():
        ours, official = places.LAYOUT.positions(ids, media), recording[model]
        np.testing.assert_array_equal(ours.T, np.array(official["positions"], np.float32), err_msg=model)
        assert ours.dtype == np.float32
        assert ours.max() + np.float32(1) - len(ids) == official["delta"]


@pytest.mark.parametrize("name", places.CASES)
def test_places(name: str) -> None:
    check(name, recorded()[name])


@pytest.mark.parametrize("name", places.CASES)
def test_rows_are_in_order(name: str) -> None:
    """Every row of every medium stands where its placeholder is, once and in order."""
    media = places.media(name)
    place = places.LAYOUT.expand(places.ids(name), media)
    tokens, expected = places.TOKENS, []
    for medium in media:
        if medium.grid:
            expected.append((getattr(tokens, medium.kind), int(np.prod(medium.grid)) // 4))
        if medium.n_audio:
            expected.append((tokens.audio, medium.n_audio))
    for number, (token, n) in enumerate(expected):
        at = place.medium == number
        assert set(place.ids[at]) == {token}
        np.testing.assert_array_equal(place.row[at], np.arange(n))
    assert place.medium.max(initial=-1) == len(expected) - 1
    pads = np.isin(place.ids, [tokens.audio, tokens.image, tokens.video])
    np.testing.assert_array_equal(pads, place.medium >= 0)


def test_the_recording_has_what_is_rare() -> None:
    """Positions that are not whole, and text that goes on below the largest position."""
    xyz = {name: np.array(made["thinker"]["positions"]) for name, made in recorded().items()}
    assert sum((p % 1 != 0).any() for p in xyz.values()) >= 3
    assert xyz["tall_film_that_ends_first"][0, -1] < xyz["tall_film_that_ends_first"].max()


@pytest.mark.reference
def test_the_official_code_still_does_this() -> None:
    from parity import record_places

    fresh = record_places.record()
    assert fresh == recorded()
    for name, made in fresh.items():
        check(name, made)
