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


class ByteBar:
    """Bytes of one stage after another on stderr, where that is a terminal; otherwise nothing."""

    def __init__(self, *, show: bool) -> None:
        self._show = show and sys.stderr.isatty()
        self._bar: Any = None
        self._stage = ""

    def stage(self, stage: str, what: str, done: int, total: int) -> None:
        """Show how far a stage is; a new one gets a bar of its own."""
        if not self._show:
            return
        if stage != self._stage:
            self._close()
            from tqdm import tqdm

            self._stage = stage
            # what an earlier run did is no speed of this one
            self._bar = tqdm(
                total=total, initial=done, unit="B", unit_scale=True, desc=stage, file=sys.stderr, leave=False
            )
        self._bar.set_postfix_str(what, refresh=False)
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> ByteBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
