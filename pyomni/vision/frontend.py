"""From images and videos to the patches a vision encoder takes.

    eyes = VisionFrontEnd.read(metadata)
    patches = eyes.image("cat.jpg")           # patches.rows float32 [n, n_patch], patches.grid (1, h, w)
    film = eyes.video("cat.mp4", fps=2.0)     # film.steps(): the rows of two frames at a time

Sizes, bounds and colours come from the keys ``vision_encoder.*`` of the GGUF.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.errors import ImageError, ModelFormatError
from pyomni.vision.images import ImageSource, Pixels, fitting_size, read_image, resized
from pyomni.vision.video import DEFAULT_FPS, MAX_FRAMES, VideoSource, read_video

__all__ = ["Film", "Patches", "VisionFrontEnd"]

F32 = npt.NDArray[np.float32]
PREFIX = "vision_encoder."


class Header(Protocol):
    """What is asked of a GGUF header; ``pyomni.metadata.Metadata`` is one."""

    def u32(self, key: str) -> int:
        """Return a count."""

    def floats(self, key: str) -> list[float]:
        """Return numbers."""


class Patches(NamedTuple):
    """An image, cut up.

    Attributes
    ----------
    rows : float32 [h * w, n_patch]
        Block by block of ``merge * merge`` patches.
    grid : (1, h, w)
        Steps in time, rows and columns of patches.
    """

    rows: F32
    grid: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Film:
    """A video, its frames in their size, to be cut up a step in time at once.

    Attributes
    ----------
    frames : list of uint8 [h, w, 3]
    fps : float
        Frames a second, of those that are here.
    grid : (t, h, w)
        Steps in time, each of ``temporal_patch`` frames; rows and columns of patches.
    seconds_per_step : float
    """

    frames: list[Pixels]
    fps: float
    grid: tuple[int, int, int]
    seconds_per_step: float
    front_end: VisionFrontEnd

    def steps(self) -> Iterator[F32]:
        """Yield the patches of each step in time, float32 [h * w, n_patch]."""
        size = self.front_end.temporal_patch
        for first in range(0, len(self.frames), size):
            yield self.front_end.rows(self.frames[first : first + size])


@dataclass(frozen=True)
class VisionFrontEnd:
    """What is done to a picture before the network; the fields are keys of the GGUF.

    Attributes
    ----------
    patch_size, temporal_patch, merge : int
        A patch is `patch_size` pixels square of `temporal_patch` frames; ``merge * merge`` make a row.
    mean, std : of each channel, of values from 0 to 1
    image_pixels, video_pixels : (int, int)
        The fewest and the most pixels of an image, and of a frame of a video.
    """

    patch_size: int
    temporal_patch: int
    merge: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_pixels: tuple[int, int]
    video_pixels: tuple[int, int]

    @classmethod
    def read(cls, meta: Header) -> VisionFrontEnd:
        """Take the front end from a file's header.

        Raises
        ------
        ModelFormatError
            A key is missing, of another type, or cannot be.
        """
        patch, temporal, merge = (meta.u32(PREFIX + key) for key in ("patch_size", "temporal_patch", "merge"))
        mean, std = meta.floats(PREFIX + "image.mean"), meta.floats(PREFIX + "image.std")
        if (
            len(mean) != 3
            or len(std) != 3
            or not all(value > 0 for value in std)
            or min(patch, temporal, merge) < 1
        ):
            raise ModelFormatError(
                f"{PREFIX}image.mean and .std are {mean} and {std}, the sizes of a patch {patch}, {temporal} "
                f"and {merge}, expected three numbers of each, a positive .std, and no size of 0"
            )
        image, video = (
            (meta.u32(f"{PREFIX}{kind}.min_pixels"), meta.u32(f"{PREFIX}{kind}.max_pixels"))
            for kind in ("image", "video")
        )
        return cls(patch, temporal, merge, tuple(mean), tuple(std), image, video)

    @property
    def n_patch(self) -> int:
        """Numbers of a patch."""
        return 3 * self.temporal_patch * self.patch_size**2

    def image(
        self, source: ImageSource, *, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> Patches:
        """Cut up an image.

        Parameters
        ----------
        source : path, bytes, PIL.Image.Image, or uint8 [h, w, 3]
        min_pixels, max_pixels : int, optional
            Other bounds than the file's for its size; a row takes ``(merge * patch_size)**2`` pixels.

        Raises
        ------
        ImageError
            It cannot be read, is too large, too small or too long (`read_image`, `fitting_size`).
        ArgumentError
            Bounds that cannot be.
        """
        image = read_image(source)
        bounds = _bounds(self.image_pixels, min_pixels, max_pixels)
        try:
            h, w = fitting_size(image.height, image.width, self.patch_size * self.merge, *bounds)
        except ImageError as error:
            name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else "the image"
            raise ImageError(f"{name}: {error}") from None
        return Patches(self.rows([resized(image, h, w)]), (1, h // self.patch_size, w // self.patch_size))

    def video(
        self,
        source: VideoSource,
        *,
        fps: float = DEFAULT_FPS,
        max_frames: int = MAX_FRAMES,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> Film:
        """Take frames out of a video and bring them to their size.

        Parameters
        ----------
        source : path, bytes, or (frames, rate)
            A file is looked at `fps` times a second; frames, uint8 [n, h, w, 3] or a list of images, are
            all taken, and are `rate` a second.
        fps : float
            No more than the file has are taken; `Film.fps` says how many there are.
        max_frames : int
            Of a longer file fewer are taken a second.
        min_pixels, max_pixels : int, optional
            Other bounds than the file's for the size of a frame.

        Raises
        ------
        VideoError
            It cannot be read, has no frames, or frames that are too large, too small or too long.
        ArgumentError
            A rate or bounds that cannot be.
        """
        factor = self.patch_size * self.merge
        bounds = _bounds(self.video_pixels, min_pixels, max_pixels)
        frames, rate = read_video(
            source, lambda h, w: fitting_size(h, w, factor, *bounds), fps=fps, max_frames=max_frames
        )
        h, w, _ = frames[0].shape
        grid = -(-len(frames) // self.temporal_patch), h // self.patch_size, w // self.patch_size
        return Film(frames, rate, grid, self.temporal_patch / rate, self)

    def rows(self, frames: Sequence[Pixels]) -> F32:
        """Cut up the frames of a step in time, uint8 [h, w, 3] each; the last one fills it up.

        Returns
        -------
        float32 [h / patch_size * w / patch_size, n_patch]
        """
        h, w, _ = frames[0].shape
        p, m = self.patch_size, self.merge
        # blocks by row and column, patches of a block by row and column, then a patch
        out = np.empty((h // (m * p), w // (m * p), m, m, 3, self.temporal_patch, p, p), np.float32)
        shades = self._shades()
        for number in range(self.temporal_patch):
            tiles = frames[min(number, len(frames) - 1)].reshape(h // (m * p), m, p, w // (m * p), m, p, 3)
            tiles = tiles.transpose(0, 3, 1, 4, 6, 2, 5)
            for channel, shade in enumerate(shades):
                out[:, :, :, :, channel, number] = shade[tiles[:, :, :, :, channel]]
        return out.reshape(-1, self.n_patch)

    def _shades(self) -> list[F32]:
        """Return what each of the 256 levels becomes, by channel, rounded as in the official processor."""
        levels, scale = np.arange(256, dtype=np.float32), np.float32(255)
        pairs = zip(self.mean, self.std, strict=True)
        return [(levels - np.float32(mean) * scale) / (np.float32(std) * scale) for mean, std in pairs]


def _bounds(own: tuple[int, int], low: int | None, high: int | None) -> tuple[int, int]:
    return own[0] if low is None else low, own[1] if high is None else high
