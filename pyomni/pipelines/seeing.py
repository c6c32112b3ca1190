"""An image or a video as rows of a language model: cut up, encoded, and the place it takes in a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.components.vision import Seen
from pyomni.pipelines.positions import Medium
from pyomni.vision.frontend import VisionFrontEnd
from pyomni.vision.images import ImageSource
from pyomni.vision.video import VideoSource

__all__ = ["Sight", "see_image", "see_video"]


class Encoder(Protocol):
    """What is asked of `pyomni.components.vision.VisionEncoder`."""

    def encode(self, patches: npt.ArrayLike, grid: tuple[int, int, int]) -> Seen:
        """Encode an image."""

    def encode_frames(self, frames: Any, sides: tuple[int, int]) -> Seen:
        """Encode a video, a step in time at once."""


@dataclass(frozen=True, eq=False)
class Sight:
    """Something seen.

    Attributes
    ----------
    rows : float32 [n, n_embd]
        What stands in the place of its placeholders.
    deepstack : float32 [n_levels, n, n_embd]
        What is added there behind the first layers.
    medium : Medium
        The place it takes in a prompt; a sound track is not counted.
    """

    rows: npt.NDArray[np.float32]
    deepstack: npt.NDArray[np.float32]
    medium: Medium


def see_image(eyes: VisionFrontEnd, encoder: Encoder, source: ImageSource, **bounds: int | None) -> Sight:
    """Look at an image; `bounds` and errors are those of `VisionFrontEnd.image` and of the encoder."""
    patches = eyes.image(source, **bounds)
    seen = encoder.encode(patches.rows, patches.grid)
    return Sight(seen.rows, seen.deepstack, Medium("image", grid=patches.grid))


def see_video(eyes: VisionFrontEnd, encoder: Encoder, source: VideoSource, **wanted: Any) -> Sight:
    """Watch a video; `wanted` and errors are those of `VisionFrontEnd.video` and of the encoder."""
    film = eyes.video(source, **wanted)
    seen = encoder.encode_frames(film.steps(), film.grid[1:])
    return Sight(seen.rows, seen.deepstack, Medium("video", 0, film.grid, film.seconds_per_step))
