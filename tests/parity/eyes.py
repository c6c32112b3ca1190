"""The images and videos that the front end's parity is checked on. No torch here."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from parity import recordings

#: (height, width); 48 and 80 are halves of a multiple of 32, which go to the even one
IMAGES = ((64, 64), (48, 80), (80, 48), (31, 33), (240, 17), (5, 7), (400, 2), (37, 300))
VIDEOS = ((1, 60, 80), (4, 100, 80))  # frames, height, width
VIDEO_PIXELS = (1024, 8192)
#: sizes whose fitted ones are recorded, under the released bounds of an image and of a video's frame
SIZES = tuple(
    (h, w)
    for h in (2, 16, 47, 48, 49, 80, 112, 333, 1008, 4000)
    for w in (2, 16, 48, 144, 399, 640, 7000)
    if max(h, w) <= 200 * min(h, w)
)
BOUNDS = ((3136, 12845056), (131072, 786432))

#: How far values may be from those of the official (torchvision) processor: its weights have fewer bits.
LEVELS, SHARE = 2, 0.01  # levels of 256, and the share of values that differ at all


def picture(h: int, w: int, number: int = 0) -> NDArray[np.uint8]:
    """Return an image with slopes, edges and noise, uint8 [h, w, 3]."""
    rng = np.random.Generator(np.random.PCG64([h, w, number]))
    y, x = np.mgrid[:h, :w]
    waves = [100 * np.sin(x / 7 + y / 13 + c + number) + 40 * ((x + 2 * y) % 23 > 11) for c in range(3)]
    return np.clip(110 + np.stack(waves, -1) + rng.normal(0, 12, (h, w, 3)), 0, 255).astype(np.uint8)


def film(n: int, h: int, w: int) -> NDArray[np.uint8]:
    """Return frames, uint8 [n, h, w, 3]."""
    return np.stack([picture(h, w, number) for number in range(n)])


def load() -> Mapping[str, NDArray]:
    """Read the recording."""
    with np.load(recordings.FOLDER / "eyes.npz") as stored:
        return dict(stored)
