"""The codec decoder: codes to PCM, a stream per lane."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyomni._binding import Model, Session


class CodecDecoder:
    """Turns frames of codes into PCM; each lane is a stream that continues where it stopped.

    The decoder is causal and keeps its state between calls, so any way of cutting a sequence of frames into
    calls gives the same samples up to rounding (below 1e-6).

    Parameters
    ----------
    model : Model
        A codec decoder.
    n_lanes : int
        Independent streams.
    """

    def __init__(self, model: Model, n_lanes: int = 1) -> None:
        self.session = Session(model, n_lanes=n_lanes)
        self.n_groups = model.info.n_groups
        self.hop = model.info.hop
        self.sample_rate = model.info.sample_rate
        self.n_lanes = n_lanes

    def decode(self, codes: ArrayLike, lane: int = 0) -> NDArray[np.float32]:
        """Decode ``codes`` (int [n_frames, n_groups]) to float32 [n_frames * hop] in [-1, 1].

        Raises
        ------
        ArgumentError
            The wrong number of groups, or a code outside the codebook.
        """
        return self.session.codec_decode(codes, lane)

    def rewind(self, lane: int = 0) -> None:
        """Start the stream of ``lane`` afresh."""
        self.session.rewind(lane)

    def close(self) -> None:
        """Free the session."""
        self.session.close()
