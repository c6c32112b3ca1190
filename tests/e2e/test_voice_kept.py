"""A clone's clip, prompt and codec state are paid for once; its codes do not depend on whether they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toys import variant

import pyomni
from pyomni import SpeechOptions

OPTIONS = SpeechOptions(seed=3, max_frames=12)


def clip() -> tuple[np.ndarray, int]:
    rng = np.random.default_rng(1)
    return (0.1 * rng.standard_normal(24000)).astype(np.float32), 24000


def speak(streaming: bool) -> tuple[np.ndarray, bytes]:
    """Clone and speak with a model opened for it, as another process would."""
    options = SpeechOptions(seed=3, max_frames=12, streaming_layout=streaming)
    with pyomni.load(variant("base"), device="cpu", threads=1) as model:
        voice = model.clone(clip(), transcript="These are the words that this very clip says.")
        speech = model.speak("Something else.", voice=voice, options=options)
        again = model.speak("Something else.", voice=voice, options=options)
    assert np.array_equal(speech.codes, again.codes)
    assert speech.audio.tobytes() == again.audio.tobytes()
    return speech.codes, speech.audio.tobytes()


@pytest.mark.parametrize("streaming", [False, True])
def test_kept_or_not_the_codes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    codes, audio = speak(streaming)
    monkeypatch.setenv("PYOMNI_CACHE", str(tmp_path))
    monkeypatch.setenv("PYOMNI_CACHE_MB", "16")
    made = speak(streaming)
    files = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "kept").iterdir()}
    assert len(files) == 4  # embedding, codes, the talker's positions, the codec's state
    found = speak(streaming)
    assert {p.name for p in (tmp_path / "kept").iterdir()} == set(files)
    for other_codes, other_audio in (made, found):
        assert np.array_equal(codes, other_codes)
        assert audio == other_audio


def test_another_text_of_the_voice_reads_less(monkeypatch: pytest.MonkeyPatch) -> None:
    with pyomni.load(variant("base"), device="cpu", threads=1) as model:
        voice = model.clone(clip(), transcript="These are the words that this very clip says.")
        model.speak("One.", voice=voice, options=OPTIONS)
        talker = model._engine._sessions._talker
        assert talker is not None
        decoded: list[int] = []
        decode = talker.decode
        monkeypatch.setattr(
            talker, "decode", lambda rows, **k: (decoded.append(rows.shape[1]), decode(rows, **k))[1]
        )
        kept = model.speak("Two.", voice=voice, options=OPTIONS)
    with pyomni.load(variant("base"), device="cpu", threads=1) as model:
        fresh = model.speak("Two.", voice=voice, options=OPTIONS)
    assert decoded[0] < 30  # the first decode is that of the rows after the voice's
    assert np.array_equal(kept.codes, fresh.codes)


def test_a_bound_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYOMNI_CACHE_MB", "plenty")
    with pytest.raises(pyomni.ArgumentError, match=r"\$PYOMNI_CACHE_MB is 'plenty', expected a whole number"):
        pyomni.load(variant("base"), device="cpu", threads=1)
