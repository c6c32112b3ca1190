"""A spoken sentence: codes in range and varied, samples in range, length against frames, an end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyomni.doctor.check import FAIL, OK, WARN, Check
from pyomni.doctor.codec import dbfs

if TYPE_CHECKING:
    from pyomni.api import Speech, SpeechModel

__all__ = ["SENTENCE", "entropy", "speak", "speech_checks"]

SENTENCE = "The harbour was quiet that morning, and the boats lay still on the water."
DESCRIPTION = "A calm voice, speaking clearly."
SEED = 1
#: A speech that has not ended by then will not: three times what the sentence takes.
MOST_SECONDS = 15.0
#: Seconds of speech per word that people take: hurried to very slow.
WORD_SECONDS = 0.15, 1.2
CLIPPED = 0.999
CLIPPED_SHARE, CLIPPED_MOST = 1e-3, 0.05
LOUD, FAINT = -6.0, -45.0  # dBFS of speech
#: Of the distinct codes that so many draws could at best show.
VARIED, BARELY_VARIED = 0.15, 0.03


def speak(model: SpeechModel) -> Speech:
    """Speak the sentence with the model's defaults and a fixed seed; raises as `SpeechModel.speak`."""
    from pyomni.options import SpeechOptions
    from pyomni.voices import Voice

    design = model.info["model_type"] == "voice_design"
    options = SpeechOptions(
        seed=SEED, max_frames=int(MOST_SECONDS * model.sample_rate / model.hop), split="never"
    )
    return model.speak(
        SENTENCE,
        voice=None if model.speakers or design else Voice.none(),
        instruct=DESCRIPTION if design else None,
        options=options,
    )


def speech_checks(speech: Speech, hop: int, n_codes: int) -> Iterator[Check]:
    """Yield the checks of a spoken sentence.

    Parameters
    ----------
    speech : what `speak` gave
    hop : samples of a frame
    n_codes : values a code may have
    """
    yield _codes(speech.codes, n_codes)
    yield _samples(speech.audio)
    yield _length(speech, hop)
    yield _ending(speech)


def entropy(codes: NDArray[np.integer]) -> float:
    """Return the bits of a list of codes: 0 for one code over and over, log2 n for n that all differ."""
    share = np.unique(codes, return_counts=True)[1] / codes.size
    return float(-(share * np.log2(share)).sum())


def _codes(codes: NDArray[np.int32], n_codes: int) -> Check:
    n_frames, n_groups = codes.shape
    normal = f"codes below {n_codes}, and {VARIED:.0%} or more of a group different; frames seldom repeat"
    means = "one code over and over: a broken code predictor or broken attention, or greedy sampling"
    advice = "the quantised checks below; another type; --temperature as the checkpoint has it"
    if n_frames < 2:
        return Check("codes", FAIL, f"{n_frames} frames: the speech ended at once", normal, means, advice)
    low, high = int(codes.min()), int(codes.max())
    possible = min(n_frames, n_codes)
    distinct = [len(np.unique(codes[:, g])) / possible for g in range(n_groups)]
    same = float((codes[1:] == codes[:-1]).all(1).mean())
    bits = [entropy(codes[:, g]) for g in range(n_groups)]
    worst = int(np.argmin(distinct))
    measured = (
        f"{n_frames} frames of {n_groups}: {low} to {high} of {n_codes}; different codes "
        f"{min(distinct):.0%} (group {worst}) to {max(distinct):.0%}, {min(bits):.1f} to {max(bits):.1f} bits"
        f"; {same:.0%} of frames repeat"
    )
    status = OK if min(distinct) >= VARIED and same < 0.5 else WARN
    if low < 0 or high >= n_codes or max(distinct) < BARELY_VARIED or same > 0.9:
        status = FAIL
    return Check("codes", status, measured, normal, means, advice)


def _samples(audio: NDArray[np.float32]) -> Check:
    normal = f"within -1 to 1, {FAINT:.0f} to {LOUD:.0f} dBFS, at most {CLIPPED_SHARE:.1%} at full scale"
    means = "noise or overdriven sound: a damaged codec, or weights that are random"
    advice = "listen to it (--plot draws it); convert the file again"
    if not audio.size or not np.isfinite(audio).all():
        found = "no samples" if not audio.size else "samples that are no numbers"
        return Check("samples", FAIL, found, normal, means, advice)
    peak, level, shift = float(np.abs(audio).max()), dbfs(audio), float(audio.mean())
    clipped = float((np.abs(audio) >= CLIPPED).mean())
    measured = f"peak {peak:.2f}, {level:.0f} dBFS, mean {shift:+.3f}, {clipped:.2%} at full scale"
    status = OK if FAINT <= level <= LOUD and clipped <= CLIPPED_SHARE and abs(shift) < 0.02 else WARN
    if peak > 1 or peak == 0 or clipped > CLIPPED_MOST:
        status = FAIL
    return Check("samples", status, measured, normal, means, advice)


def _length(speech: Speech, hop: int) -> Check:
    frames, expected = len(speech.codes), len(speech.codes) * hop
    measured = (
        f"{frames} frames, {speech.audio.size} samples at {speech.sample_rate} Hz: {speech.seconds:.2f} s, "
        f"{speech.sample_rate / hop:.2f} frames a second"
    )
    status = OK if speech.audio.size == expected else FAIL
    return Check(
        "length",
        status,
        measured,
        f"{hop} samples for each frame",
        "sound that is cut, or plays too fast or too slow: hop or sample rate of the file are wrong",
        "convert again from the original checkpoint",
    )


def _ending(speech: Speech) -> Check:
    n_words = len(SENTENCE.split())
    low, high = (n_words * seconds for seconds in WORD_SECONDS)
    measured = f"{n_words} words, {speech.seconds:.1f} s, finish_reason {speech.finish_reason!r}"
    normal = f"'stop' after {low:.1f} to {high:.1f} s"
    if speech.finish_reason in ("stop", "repaired"):
        status = OK if low <= speech.seconds <= high else WARN
        means = "ends early or late: a voice in a hurry, or words left out; random weights end anywhere"
    else:
        status = WARN
        means = "speech without an end: too small a type, or too high a temperature"
    return Check(
        "ending", status, measured, normal, means, "other seeds; a larger type; a lower --temperature"
    )
