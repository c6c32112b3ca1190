"""Hearing what a clip says, roughly: pocketsphinx with the US English model inside its package.

It is small, runs anywhere, and hears three words in four of clear speech: enough to tell whether a transcript
belongs to a clip, and no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.audio.resample import resample
from pyomni.errors import ArgumentError

__all__ = ["Recogniser"]

RATE = 16000
INSTALL = "pip install 'pyomni[check]'"


class Recogniser:
    """Tells what it hears in English.

    Raises
    ------
    ArgumentError
        pocketsphinx is not installed.
    """

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError:
            raise ArgumentError(
                f"checking a transcript needs the package pocketsphinx, which is not installed; {INSTALL}"
            ) from None
        self._decoder: Any = Decoder(samprate=RATE, loglevel="FATAL")

    def __call__(self, pcm: npt.NDArray[np.float32], sample_rate: int) -> str:
        """Return the words heard in float32 [n], in lower case; none in silence."""
        sound = resample(pcm, sample_rate, RATE)
        peak = float(np.abs(sound).max(initial=0.0))
        if peak == 0:
            return ""
        decoder = self._decoder
        decoder.start_utt()
        decoder.process_raw((sound / peak * (0.7 * 32767)).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return found.hypstr if found else ""
