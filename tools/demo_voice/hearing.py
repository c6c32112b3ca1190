"""Word errors, as a speech recogniser hears them."""

import re
from collections.abc import Iterable

import numpy as np
from pocketsphinx import Decoder
from soxr import resample

RECOGNISER_RATE = 16000


class Listener:
    """Pocketsphinx with the US model inside its wheel."""

    def __init__(self) -> None:
        self.decoder = Decoder(samprate=RECOGNISER_RATE, loglevel="FATAL")

    def hear(self, samples: np.ndarray, rate: int) -> str:
        """What it hears in float samples of any level."""
        if len(samples) < rate // 20 or not np.abs(samples).max() > 0:
            return ""
        sound = samples if rate == RECOGNISER_RATE else resample(samples, rate, RECOGNISER_RATE)
        sound = sound / np.abs(sound).max() * (0.7 * 32767)
        self.decoder.start_utt()
        self.decoder.process_raw(sound.astype(np.int16).tobytes(), full_utt=True)
        self.decoder.end_utt()
        found = self.decoder.hyp()
        return found.hypstr if found else ""


def words(text: str) -> list[str]:
    """The words of a text as the recogniser writes them: lower case, apostrophes kept, no other marks."""
    return re.findall(r"[a-z']+", re.sub(r"\(\d+\)|<[^>]*>|\[[^\]]*\]", "", text.lower()))


def errors(said: list[str], heard: list[str]) -> int:
    """Fewest insertions, deletions and substitutions from one to the other."""
    row = list(range(len(heard) + 1))
    for i, one in enumerate(said, 1):
        before, row[0] = row[:], i
        for j, other in enumerate(heard, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (one != other))
    return row[-1]


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Errors per word said, in percent, of (said, heard) pairs."""
    wrong = total = 0
    for said, heard in pairs:
        wrong += errors(words(said), words(heard))
        total += len(words(said))
    return 100 * wrong / total
