"""The codec forced beside the talker, which is as far ahead as it may be whenever a block is handed out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pyomni.pipelines.beside import Beside

__all__ = ["codec_beside", "codec_between_frames"]


def codec_between_frames(patch: pytest.MonkeyPatch) -> None:
    """Let models that are opened from now on decode between two frames."""
    patch.setenv("PYOMNI_CODEC_BESIDE", "0")


def codec_beside(patch: pytest.MonkeyPatch) -> None:
    """Let models that are opened from now on decode beside the talker.

    How far ahead that is depends on who is faster, so here all is made that may be.
    """

    def run(self: Beside, meanwhile: Callable[[], bool], work: Callable[[], Any]) -> Any:
        self._latest = self._worker.submit(work)
        while meanwhile():
            pass
        return self._latest.result()

    patch.setenv("PYOMNI_CODEC_BESIDE", "1")
    patch.setattr(Beside, "run", run)
