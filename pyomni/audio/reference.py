"""Reference clips: whatever a user has, as one channel at a model's sample rate.

audio = read_reference("ann.mp3", 24000)          # float32 [n]
audio = read_reference((samples, 48000), 24000)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pyomni.audio.clip import Clip, open_clip
from pyomni.audio.resample import resample
from pyomni.errors import AudioError

__all__ = ["Clip", "read_reference"]

MAX_SECONDS = 300.0  # a voice is known long before; an encoder's memory grows with the length
SILENCE = 1e-4  # half the range of the samples: -80 dB of full scale, three steps of 16 bits


def read_reference(
    source: Clip, sample_rate: int, *, min_samples: int = 1, max_seconds: float = MAX_SECONDS
) -> npt.NDArray[np.float32]:
    """Read a reference clip.

    Parameters
    ----------
    source : path, bytes, or (samples, rate)
        As `read_clip` takes it.
    sample_rate : int
        Of the result, Hz.
    min_samples : int
        The fewest samples the result may have.
    max_seconds : float
        The longest clip taken.

    Returns
    -------
    float32 [n]
        The mean of the channels, resampled by `resample`.

    Raises
    ------
    AudioError
        No such file, not audio, empty, silent, too short or too long, too many channels, a sample rate that
        cannot be, or samples that are not finite or not of full scale 1.
    """
    sound = open_clip(source, max_seconds, "the reference")
    samples = np.concatenate(list(sound.blocks))
    if np.ptp(samples) / 2 < SILENCE:
        peak = float(np.abs(samples).max())
        raise AudioError(f"{sound.name}: the clip is silent (peak {peak:.2g} of full scale), expected speech")
    out = resample(samples, sound.rate, sample_rate)
    if len(out) < min_samples:
        raise AudioError(
            f"{sound.name}: the clip is too short, {len(samples) / sound.rate:.3f} s, expected at least "
            f"{min_samples / sample_rate:.3f} s"
        )
    return out
