"""Real speech as a reference, where flite is installed to make some: it and its words belong together."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pyomni.audio.recogniser import Recogniser
from pyomni.audio.reference import read_reference
from pyomni.errors import AudioError
from pyomni.pipelines.hygiene import doubts, misheard

pytestmark = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")

RATE = 24000
SAID = "The children walked home after school, and it was raining all the way."
OTHER = "Please put the kettle on for tea, and then tell me what you heard."


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path: Path = tmp_path_factory.mktemp("flite") / "said.wav"
    subprocess.run(["flite", "-voice", "rms", "-t", SAID, "-o", str(path)], check=True, timeout=60)
    return read_reference(path, RATE)


def test_a_clip_with_its_transcript_raises_no_doubt(clip: np.ndarray):
    assert list(doubts(clip, RATE, SAID)) == []


def test_transcripts_of_another_length_do(clip: np.ndarray):
    [sentence] = doubts(clip, RATE, f"{SAID} {OTHER}")
    assert "does the transcript say more than the clip?" in sentence
    with pytest.raises(AudioError, match="at the very least"):
        list(doubts(clip, RATE, 4 * f"{SAID} {OTHER} "))
    [sentence] = doubts(np.tile(clip, 2), RATE, "Yes.")
    assert "does the clip say more than the transcript?" in sentence


def test_the_recogniser_tells_its_transcript_from_another_of_its_length(clip: np.ndarray):
    hear = Recogniser()
    assert misheard(clip, RATE, SAID, hear) is None
    assert "is it the transcript of this clip?" in (misheard(clip, RATE, OTHER, hear) or "")
