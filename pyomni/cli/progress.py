"""A line that says how much was spoken and how fast."""

from __future__ import annotations

import sys
from typing import Any


class Progress:
    """Seconds spoken and real-time factor on stderr, where that is a terminal; otherwise nothing."""

    def __init__(self, *, show: bool) -> None:
        self._bar: Any = None
        if show and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                bar_format="{desc} [{elapsed}]", desc="0.0 s spoken", file=sys.stderr, leave=False
            )

    def update(self, seconds: float, rtf: float | None) -> None:
        """Show a new state."""
        if self._bar is not None:
            self._bar.set_description_str(f"{seconds:.1f} s spoken, RTF {rtf or 0:.2f}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
