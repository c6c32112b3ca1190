"""The vision encoder against the official one, as recorded by `record_vision.py`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from parity import recordings

from pyomni.verify import toy_vision as vision

TINY = "vision_tiny"


@functools.cache
def recorded(name: str) -> Mapping[str, NDArray]:
    recording = recordings.load(name)
    assert vision.weights_hash(name) == str(recording["weights_sha256"]), "other weights from the seed"
    return recording


def check_rows(name: str, recording: Mapping[str, NDArray]) -> None:
    encoder = vision.encoder(name)
    for grid in vision.CASES[name].grids:
        official = recording[f"rows.{vision.text_of(grid)}"]
        seen = encoder.encode(vision.patches(name, grid), grid)
        ours = np.concatenate([seen.rows[None], seen.deepstack])
        assert ours.shape == official.shape == (1 + encoder.n_deepstack, np.prod(grid) // 4, encoder.n_hidden)
        np.testing.assert_allclose(ours, official, rtol=0, atol=vision.FEATURES, err_msg=f"{grid}")
        assert (np.sqrt((official**2).mean((1, 2))) > 0.3).all()  # an ordinary magnitude
        if len(official[0]) > 1:  # and another row at another place
            assert official.std(1).mean() > 1000 * vision.FEATURES


@pytest.mark.parametrize("name", vision.CASES)
def test_rows(name: str) -> None:
    check_rows(name, recorded(name))


@pytest.mark.parametrize("grid", [(3, 4, 6), (11, 20, 20)])  # the second goes through in two runs
def test_frames_do_not_see_each_other(grid: vision.Grid) -> None:
    encoder, patches = vision.encoder(TINY), vision.patches(TINY, grid)
    whole = encoder.encode(patches, grid)
    frames = encoder.encode_frames(patches.reshape(grid[0], grid[1] * grid[2], -1), grid[1:])
    np.testing.assert_allclose(whole.rows, frames.rows, rtol=0, atol=vision.FEATURES / 10)
    np.testing.assert_allclose(whole.deepstack, frames.deepstack, rtol=0, atol=vision.FEATURES / 10)


def test_places_matter() -> None:
    """The same patches, as another grid or in another order, are another picture."""
    encoder, patches = vision.encoder(TINY), vision.patches(TINY, (1, 4, 6))
    wide = encoder.encode(patches, (1, 4, 6)).rows
    assert np.abs(wide - encoder.encode(patches, (1, 6, 4)).rows).max() > 0.01
    swapped = patches.reshape(6, 4, -1)[::-1].reshape(24, -1)
    assert np.abs(wide[::-1] - encoder.encode(swapped, (1, 4, 6)).rows).max() > 0.01


def test_a_call_leaves_nothing_behind() -> None:
    encoder, grid = vision.encoder(TINY), (1, 4, 6)
    first = encoder.encode(vision.patches(TINY, grid), grid)
    encoder.encode(vision.patches(TINY, (3, 2, 4)), (3, 2, 4))
    np.testing.assert_array_equal(encoder.encode(vision.patches(TINY, grid), grid).rows, first.rows)


@pytest.mark.parametrize(("file_type", "atol"), [("bf16", 0.2), ("f16", 0.02), ("q8_0", 0.2), ("q4_k", 0.2)])
def test_other_types_stay_close(file_type: str, atol: float) -> None:
    """Rows of magnitude 3: what a type takes away, of weights and of what they are multiplied with."""
    grid = (1, 6, 8)
    exact = vision.encoder(TINY).encode(vision.patches(TINY, grid), grid)
    ours = vision.encoder(TINY, file_type).encode(vision.patches(TINY, grid), grid)
    away = np.abs(ours.rows - exact.rows).max(), np.abs(ours.deepstack - exact.deepstack).max()
    assert 1e-5 < max(away) < atol


def test_taps() -> None:
    encoder, grid = vision.encoder(TINY), (1, 4, 6)
    encoder.session.tap("patches")
    encoder.session.tap("blk.3.out")
    encoder.encode(vision.patches(TINY, grid), grid)
    stages = [encoder.session.read_tap(node).reshape(24, 72) for node in ("patches", "blk.3.out")]
    assert np.abs(stages[1] - stages[0]).max() > 0.1


@pytest.mark.reference
@pytest.mark.parametrize("name", vision.CASES)
def test_the_official_encoder_still_does_this(name: str) -> None:
    from parity import record_vision

    fresh, stored = record_vision.record(name), recorded(name)
    assert set(fresh) == set(stored)
    for key, value in fresh.items():
        if key != "weights_sha256":  # two machines' float noise in the official run
            np.testing.assert_allclose(value, stored[key], rtol=0, atol=vision.FEATURES / 4, err_msg=key)
    check_rows(name, fresh)
