"""Whether a reference clip is fit to be cloned, and can be what its transcript says.

A clone in context is as good as its clip and its transcript: the model goes on from both as if it had said
the one by reading the other. What cannot be is an error. What is doubtful is a `ReferenceWarning`, and
cloned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt

from pyomni.audio.measure import ClipMeasures, measure
from pyomni.errors import AudioError
from pyomni.text.length import spoken_time

__all__ = ["Hear", "doubts", "misheard"]

F32 = npt.NDArray[np.float32]

#: Samples, float32 [n], and their rate to the words heard in them.
Hear = Callable[[F32, int], str]

#: Doubtful is faint speech; a background so close to it; samples at full scale; silence before, inside,
#: after; a voice shorter or longer than this.
FAINT_DB, CLEAN_DB, CLIPPED, SILENCE_S, SHORT_S, LONG_S = -45.0, 15.0, 0.001, 2.0, 1.0, 60.0
#: The least time a text takes is for twice the letters a second that people reach. Beside the most, so many
#: seconds may pass; three times as long is no reading of that text.
FAST, BESIDE_S, FAR = 0.5, 3.0, 3.0
#: Share of the transcript's words that a recogniser should hear.
HEARD = 0.3


def doubts(pcm: F32, sample_rate: int, transcript: str | None) -> Iterator[str]:
    """Say what is doubtful about a reference.

    Parameters
    ----------
    pcm : float32 [n]
        Not silent.
    sample_rate : int
        Hz.
    transcript : str or None
        What it is supposed to say.

    Yields
    ------
    str
        One sentence each: what was found, what was expected, what to do.

    Raises
    ------
    AudioError
        The clip cannot be what the transcript says.
    """
    found = measure(pcm, sample_rate)
    if transcript is not None:
        yield from _length_against_text(found, transcript)
    yield from _sound(found)


def _length_against_text(found: ClipMeasures, transcript: str) -> Iterator[str]:
    time, speech = spoken_time(transcript), found.speech_s
    least, most = time.least / 1000, time.most / 1000 + BESIDE_S
    if speech < least:
        raise AudioError(
            f"the clip holds {speech:.1f} s of speech and its transcript takes {least:.1f} s at the very "
            "least, expected a transcript of what this clip says, and no more"
        )
    if speech > FAR * most:
        raise AudioError(
            f"the clip holds {speech:.1f} s of speech and its transcript takes {most:.1f} s at most, "
            "expected a transcript of all that this clip says"
        )
    if speech < least / FAST:
        yield (
            f"the clip holds {speech:.1f} s of speech, which is fast for its transcript, expected "
            f"{least / FAST:.1f} s or more: does the transcript say more than the clip?"
        )
    if speech > most:
        yield (
            f"the clip holds {speech:.1f} s of speech, which is slow for its transcript, expected at most "
            f"{most:.1f} s: does the clip say more than the transcript?"
        )


def _sound(found: ClipMeasures) -> Iterator[str]:
    if found.speech_s < SHORT_S:
        yield f"the clip holds {found.speech_s:.1f} s of speech, expected some 3 to 15 s for a likeness"
    if found.speech_s > LONG_S:
        yield f"the clip holds {found.speech_s:.0f} s of speech, expected some 3 to 15 s: more costs time"
    if found.loud_db < FAINT_DB:
        yield f"the clip is faint, {found.loud_db:.0f} dBFS where loud, expected {FAINT_DB:.0f} or more"
    if found.loud_db - found.quiet_db < CLEAN_DB:
        yield (
            f"the clip's quiet parts are {found.loud_db - found.quiet_db:.0f} dB below its loud ones, "
            f"expected {CLEAN_DB:.0f} or more: noise or music would be cloned with the voice"
        )
    if found.clipped > CLIPPED:
        yield (
            f"{found.clipped:.1%} of the clip's samples are clipped at full scale, expected none: "
            "record it less loud"
        )
    for where, seconds in (("begins", found.before_s), ("goes on", found.pause_s), ("ends", found.after_s)):
        if seconds > SILENCE_S:
            yield f"the clip {where} with {seconds:.1f} s of silence, expected less: the speech would copy it"


def misheard(pcm: F32, sample_rate: int, transcript: str, hear: Hear) -> str | None:
    """Compare what a recogniser hears with the transcript: a sentence where too little agrees, else None.

    Parameters
    ----------
    hear : callable (float32 [n], sample rate) -> str
        `pyomni.audio.recogniser.Recogniser`, or anything that hears.
    """
    said, heard = _words(transcript), _words(hear(pcm, sample_rate))
    if not said:
        return None
    agree = sum(
        block.size for block in SequenceMatcher(None, said, heard, autojunk=False).get_matching_blocks()
    )
    share = agree / len(said)
    if share >= HEARD:
        return None
    what = f"'{' '.join(heard)}'" if heard else "nothing"
    return (
        f"of the transcript's {len(said)} words {agree} were heard in the clip ({what}), expected "
        f"{HEARD:.0%} or more: is it the transcript of this clip?"
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())
