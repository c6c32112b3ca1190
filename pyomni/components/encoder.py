"""Encoders: rows in, rows out, nothing remembered."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyomni._binding import Model, Session


class Encoder:
    """Turns rows into rows, each call on its own.

    Parameters
    ----------
    model : Model
        An encoder.

    Attributes
    ----------
    n_embd, n_hidden : int
        Widths of the rows that go in and of those that come out.
    n_rows_min : int
        The fewest rows it takes.
    sample_rate : int
        Of the sound its rows are made of, Hz; 0 where they are not made of sound.
    """

    def __init__(self, model: Model) -> None:
        self.session = Session(model)
        self.n_embd = model.info.n_embd
        self.n_hidden = model.info.n_hidden
        self.n_rows_min = model.info.n_rows_min
        self.sample_rate = model.info.sample_rate

    def encode(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Encode ``rows`` (float32 [n, n_embd]) to float32 [n_out, n_hidden].

        A speaker encoder takes a log-mel spectrogram, a row per mel frame, and gives one row. An audio
        encoder takes one of any length, window by window, so that only the rows grow with it: `Hearing` in
        `pyomni.audio.hearing` makes its spectrograms and tells how many rows they become.

        Raises
        ------
        ArgumentError
            Another width or number of axes, fewer rows than `n_rows_min`, or a number that is not finite.
        OutOfMemory
            The rows are too many for the device.
        Cancelled
            `cancel` was called.
        """
        return self.session.encode(rows)

    def cancel(self) -> None:
        """End the call in progress, from any thread."""
        self.session.cancel()

    def close(self) -> None:
        """Free the session."""
        self.session.close()
