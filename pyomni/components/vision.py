"""The vision encoder: patches of an image or a film in, rows for a language model out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyomni import errors
from pyomni._binding import Model, Session

__all__ = ["Seen", "VisionEncoder"]


class Seen(NamedTuple):
    """What the encoder makes of one image or video.

    Attributes
    ----------
    rows : float32 [n, n_hidden]
        What stands in the place of the image's placeholders.
    deepstack : float32 [n_deepstack, n, n_hidden]
        What a language model adds to its hidden rows at those places, a level after each of its first
        layers.
    """

    rows: NDArray[np.float32]
    deepstack: NDArray[np.float32]


class VisionEncoder:
    """Turns patches into rows, each call on its own.

    Parameters
    ----------
    model : Model
        A vision encoder.

    Attributes
    ----------
    n_patch : int
        Numbers of a patch.
    n_hidden : int
        Width of the rows that come out.
    n_deepstack : int
        Levels of further rows.
    merge : int
        ``merge * merge`` patches become one row.
    """

    def __init__(self, model: Model) -> None:
        if not model.info.grid_merge:
            raise errors.ArgumentError("this encoder's rows are no patches, expected a vision encoder")
        self.session = Session(model)
        self.n_patch = model.info.n_embd
        self.n_hidden = model.info.n_hidden
        self.n_deepstack = model.info.n_deepstack
        self.merge = model.info.grid_merge

    def encode(self, patches: ArrayLike, grid: Sequence[int]) -> Seen:
        """Encode the patches of one image or video.

        Frames do not see each other, and memory beside the arrays is bounded by a frame.

        Parameters
        ----------
        patches : float32 [t * h * w, n_patch]
            Frame by frame and, within one, block by block of ``merge * merge`` patches.
        grid : (t, h, w)
            Frames, rows and columns of patches.

        Raises
        ------
        ArgumentError
            Another width, another number of patches than the grid has places, rows or columns that are no
            multiple of `merge`, or a number that is not finite.
        OutOfMemory
            A frame is too large for the device.
        Cancelled
            `cancel` was called.
        """
        levels = self.session.encode_grid(patches, grid)
        return Seen(levels[0], levels[1:])

    def encode_frames(self, frames: Iterable[ArrayLike], sides: tuple[int, int]) -> Seen:
        """Encode a video frame by frame, so that the patches of one are in memory at a time.

        Parameters
        ----------
        frames : of float32 [h * w, n_patch]
        sides : (h, w)

        Raises
        ------
        ArgumentError
            No frames; else as `encode`.
        """
        levels = [self.session.encode_grid(frame, (1, *sides)) for frame in frames]
        if not levels:
            raise errors.ArgumentError("no frames were given, expected one or more")
        joined = levels[0] if len(levels) == 1 else np.concatenate(levels, axis=1)
        return Seen(joined[0], joined[1:])

    def cancel(self) -> None:
        """End the call in progress, from any thread."""
        self.session.cancel()

    def close(self) -> None:
        """Free the session."""
        self.session.close()
