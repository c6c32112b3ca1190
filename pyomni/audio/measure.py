"""What can be said of a clip by its levels alone: how much speech is in it, how loud, how clean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["ClipMeasures", "measure"]

F32 = npt.NDArray[np.float32]

FRAME_S = 0.02
#: Speech is within so many dB of a clip's loud parts, and above this level in any case.
RANGE_DB, LEAST_DB = 30.0, -65.0
#: Pauses up to this belong to the speech around them.
GAP_S = 0.4
#: A sample is at full scale from here on.
FULL = 0.99


class ClipMeasures(NamedTuple):
    """What was measured of a clip.

    Attributes
    ----------
    seconds : float
        Of all of it.
    speech_s : float
        Sound near the level of its loud parts, pauses of up to 0.4 s included.
    before_s, pause_s, after_s : float
        Silence before it, the longest inside, and after it; what is no speech counts as silence.
    loud_db, quiet_db : float
        Level of its loud and of its quiet parts (of 20 ms: the 95th and 5th percentile), dB of full scale.
    clipped : float
        Share of samples at full scale, one or two alone not counted.
    """

    seconds: float
    speech_s: float
    before_s: float
    pause_s: float
    after_s: float
    loud_db: float
    quiet_db: float
    clipped: float


def measure(pcm: F32, sample_rate: int) -> ClipMeasures:
    """Measure a clip, float32 [n] of at least one sample."""
    n = max(round(FRAME_S * sample_rate), 1)
    whole = pcm[: len(pcm) // n * n] if len(pcm) >= n else pcm
    frames = whole.reshape(-1, n) if len(pcm) >= n else whole[None]
    power = np.square(frames, dtype=np.float64).mean(1)
    levels = 10 * np.log10(np.maximum(power, 1e-12))
    loud, quiet = (float(x) for x in np.percentile(levels, [95, 5]))
    sounds = np.flatnonzero(levels >= max(loud - RANGE_DB, LEAST_DB))
    seconds = len(pcm) / sample_rate
    full = np.abs(pcm) >= FULL
    # a lone peak that happens to reach full scale is no clipping: that holds for some samples in a row
    runs = full[2:] & full[1:-1] & full[:-2]
    clipped = float(runs.mean()) if len(runs) else 0.0
    if not len(sounds):
        return ClipMeasures(seconds, 0.0, seconds, 0.0, 0.0, loud, quiet, clipped)
    gaps = (np.diff(sounds) - 1) * FRAME_S
    speech = len(sounds) * FRAME_S + float(gaps[gaps <= GAP_S].sum())
    before, after = float(sounds[0] * FRAME_S), float((len(levels) - 1 - sounds[-1]) * FRAME_S)
    return ClipMeasures(
        seconds, min(speech, seconds), before, float(gaps.max(initial=0.0)), after, loud, quiet, clipped
    )
