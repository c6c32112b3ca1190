"""What tests of the doctor share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pyomni.api.result import Speech
from pyomni.doctor import Check
from pyomni.pipelines.speech import Timings

__all__ = ["by_name", "make_speech"]


def by_name(checks: Iterator[Check]) -> dict[str, Check]:
    found = list(checks)
    assert all(check.measured for check in found)
    return {check.name: check for check in found}


def make_speech(codes: np.ndarray, audio: np.ndarray, reason: str = "stop", rate: int = 1000) -> Speech:
    return Speech(audio.astype(np.float32), rate, codes.astype(np.int32), 1, reason, Timings())
