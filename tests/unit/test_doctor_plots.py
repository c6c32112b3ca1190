"""`pyomni doctor --plot`: what is drawn, and what is said where nothing can be."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from doctor_checks import by_name, make_speech
from toys import toy

from pyomni.cli import main
from pyomni.doctor import Findings, quantised, speech
from pyomni.metadata import SpeechMetadata


def test_pictures_without_matplotlib_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["doctor", str(toy()), "--plot", str(tmp_path / "p")]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert "pip install 'pyomni[plot]'" in err


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from pyomni.doctor import plots

    rng = np.random.default_rng(0)
    spoken = make_speech(rng.integers(0, 64, (20, 5)), rng.standard_normal(16000) / 9, rate=16000)
    drifts = [quantised.Drift("talker", "q8_0", (0.01, 0.02), 0.02, 0.02, True)]
    files = plots.draw(tmp_path / "new" / "p", Findings(spoken, 64, drifts))
    assert [path.name for path in files] == list(plots.FILES)
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in files)
    assert plots.draw(tmp_path, Findings()) == []
    clip = np.sin(np.arange(8000)).astype(np.float32)
    pair = plots.spectrogram_pair(
        tmp_path / "pair.png", [("a", clip, 16000), ("b", clip[:3000], 8000)], title="t"
    )
    assert pair.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="sounds has none"):
        plots.spectrogram_pair(tmp_path / "x.png", [])


def test_the_packaged_voice_is_drawn_above_the_one_it_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    import soundfile

    from pyomni.api import packaged_voice
    from pyomni.doctor import plots
    from pyomni.doctor.examine import _sentence
    from pyomni.folders import is_packaged, original_voice

    (tmp_path / "link.gguf").symlink_to(packaged_voice())
    assert is_packaged(packaged_voice())
    assert is_packaged(tmp_path / "link.gguf")
    assert not is_packaged(toy())
    recorded = soundfile.info(original_voice())
    words_a_second = len(speech.SENTENCE.split()) / recorded.duration
    assert 2 < words_a_second < 4  # the sentence, at the pace of speech

    drawn: list[list[str]] = []
    pair = plots.spectrogram_pair

    def seen(path: Path, sounds: list[tuple[str, np.ndarray, int]], **how: float) -> Path:
        drawn.append([title for title, samples, rate in sounds if samples.size > rate // 2])
        return pair(path, sounds, **how)

    monkeypatch.setattr(plots, "spectrogram_pair", seen)
    for path in (packaged_voice(), toy()):
        findings = Findings()
        by_name(_sentence(SpeechMetadata.read(path), "cpu", 1, findings))
        plots.draw(tmp_path, findings)
    assert [len(titles) for titles in drawn] == [2, 1]
    assert "flite" in drawn[0][1]


def test_a_tone_is_where_it_belongs_in_a_spectrogram() -> None:
    from pyomni.doctor.plots import spectrogram

    db, bin_hz = spectrogram(np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32), 16000)
    assert abs(db[:, 100].argmax() * bin_hz - 1000) < bin_hz
    assert db.max() == 0
    assert np.median(db) <= -60
