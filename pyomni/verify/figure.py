"""How far ours is from the official output: one comparison as a value."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyomni.verify.tolerances import TOLERANCES

__all__ = ["Figure", "figure", "share_apart"]


class Figure(NamedTuple):
    """One comparison.

    Attributes
    ----------
    quantity : key of `TOLERANCES`
    detail : which array, and what is wrong with it where it cannot be compared
    reached : largest absolute difference; infinite where ours has another shape or holds no numbers
    rms, peak : root mean square and largest absolute value of the official output
    apart : root mean square of the difference, as a share of `rms`
    """

    quantity: str
    detail: str
    reached: float
    rms: float
    peak: float
    apart: float = np.inf

    @property
    def tolerance(self) -> float:
        """What is allowed in float32 on the CPU."""
        return TOLERANCES[self.quantity].value

    def __str__(self) -> str:
        return (
            f"{self.quantity}, {self.detail}: {self.reached:.2e} (at most {self.tolerance:.0e}; "
            f"official rms {self.rms:.2g}, peak {self.peak:.2g})"
        )


def figure(quantity: str, detail: str, ours: NDArray[Any], official: NDArray[Any]) -> Figure:
    """Compare two arrays of numbers, which should have one shape."""
    b = official.astype(np.float64)
    rms, peak = float(np.sqrt((b * b).mean())), float(abs(b).max())
    if ours.shape != official.shape:
        return Figure(
            quantity, f"{detail}: shape {ours.shape}, the official one is {official.shape}", np.inf, rms, peak
        )
    a = ours.astype(np.float64)
    if not np.isfinite(a).all():
        return Figure(quantity, f"{detail}: not every number is finite", np.inf, rms, peak)
    apart = float(np.sqrt(((a - b) ** 2).mean())) / max(rms, 1e-30)
    return Figure(quantity, detail, float(abs(a - b).max()), rms, peak, apart)


def share_apart(quantity: str, detail: str, ours: NDArray[Any], official: NDArray[Any]) -> Figure:
    """Compare codes: what is reached is the share of rows of the last axis but one that differ."""
    if ours.shape != official.shape:
        return figure(quantity, detail, ours, official)
    share = float((ours != official).any(-1).mean())
    return Figure(quantity, detail, share, 0.0, 0.0, share)
