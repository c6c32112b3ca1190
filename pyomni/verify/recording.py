"""What the official packages did with the toys, as the package carries it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyomni.errors import InternalError

__all__ = ["FOLDER", "Recording", "load"]

#: Arrays by name; `tests/parity/record*.py` say what is in them, and made them.
Recording = Mapping[str, NDArray[Any]]

FOLDER = Path(__file__).parent / "recorded"


def load(name: str) -> Recording:
    """Read the recording of a toy.

    Raises
    ------
    InternalError
        The package was installed without it.
    """
    path = FOLDER / f"{name}.npz"
    if not path.is_file():
        raise InternalError(
            f"{path}: not found, expected what the official package did; install pyomni again"
        )
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)
