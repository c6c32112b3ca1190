"""Images and videos against the official processors, as recorded by `record_eyes.py`."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from parity import eyes

from pyomni.metadata import Metadata
from pyomni.verify import toy_vision as vision
from pyomni.vision.frontend import VisionFrontEnd
from pyomni.vision.images import fitting_size

pytest.importorskip("PIL")
recorded = functools.cache(eyes.load)


@functools.cache
def front_end() -> VisionFrontEnd:
    return VisionFrontEnd.read(Metadata.read(vision.gguf("vision_tiny")))


def check_levels(ours: NDArray, official: NDArray, name: str) -> None:
    """Check patches, float32 [n, 1536], against levels, uint8 [n, 3, 1 or 2, 16, 16]."""
    levels = (ours.reshape(-1, 3, 2, 16, 16) * 0.5 + 0.5) * 255
    np.testing.assert_allclose(levels, np.rint(levels), rtol=0, atol=1e-3)
    away = np.abs(np.rint(levels) - official)
    assert away.max() <= eyes.LEVELS, name
    assert (away > 0).mean() <= eyes.SHARE, name
    assert official.std() > 30, name


def check_all(recording: Mapping[str, NDArray]) -> None:
    low, high = eyes.VIDEO_PIXELS
    for h, w in eyes.IMAGES:
        patches, name = front_end().image(eyes.picture(h, w)), f"{h}x{w}"
        assert patches.grid == tuple(recording[f"grid.{name}"])
        check_levels(patches.rows, recording[f"image.{name}"], name)
    for n, h, w in eyes.VIDEOS:
        name = f"{n}x{h}x{w}"
        film = front_end().video((eyes.film(n, h, w), 4), min_pixels=low, max_pixels=high)
        assert film.grid == tuple(recording[f"grid.{name}"])
        assert film.seconds_per_step == 0.5
        check_levels(np.concatenate(list(film.steps())), recording[f"video.{name}"], name)
    for i, bounds in enumerate(eyes.BOUNDS):
        ours = [fitting_size(h, w, 32, *bounds) for h, w in eyes.SIZES]
        np.testing.assert_array_equal(ours, recording[f"sizes.{i}"])
    ramp = np.arange(256, dtype=np.uint8).repeat(256).reshape(256, 256, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(np.unique(front_end().image(ramp).rows), recording["levels"])


def test_pictures() -> None:
    check_all(recorded())


def test_a_video_is_seen() -> None:
    """A step in time at once, or all of it; an image is a video of one frame, shown twice."""
    encoder, frames = vision.encoder("vision_tiny"), eyes.film(5, 64, 96)
    film = front_end().video((frames, 4), min_pixels=1024)
    assert (film.grid, film.seconds_per_step) == ((3, 4, 6), 0.5)
    seen = encoder.encode_frames(film.steps(), film.grid[1:])
    whole = encoder.encode(np.concatenate(list(film.steps())), film.grid)
    np.testing.assert_allclose(seen.rows, whole.rows, rtol=0, atol=1e-6)
    np.testing.assert_allclose(seen.deepstack, whole.deepstack, rtol=0, atol=1e-6)
    still = encoder.encode(*front_end().image(frames[4]))
    np.testing.assert_allclose(still.rows, seen.rows[-6:], rtol=0, atol=1e-6)


@pytest.mark.reference
def test_the_official_processors_still_do_this() -> None:
    if not importlib.util.find_spec("torchvision"):
        pytest.skip("the official processors need torchvision")
    from parity import record_eyes

    fresh, stored = record_eyes.record(), recorded()
    assert set(fresh) == set(stored)
    for key, value in fresh.items():
        # another CPU takes other instructions, which may round otherwise
        np.testing.assert_allclose(value, stored[key], rtol=0, atol=0 if key[0] in "gsl" else 1, err_msg=key)
    check_all(fresh)
