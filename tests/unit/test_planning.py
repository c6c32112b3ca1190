"""Which voice is meant, and whether it fits the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import FakeMetadata

from pyomni.api.planning import find_voice
from pyomni.errors import ArgumentError
from pyomni.voices import Voice, library

CUSTOM = FakeMetadata()
BASE = FakeMetadata(model_type="base", speakers={}, dialects={})
DESIGN = FakeMetadata(model_type="voice_design", speakers={}, dialects={})
ROW = np.ones(6, np.float32)
CODES = np.full((3, 16), 39, np.int32)


@pytest.fixture(autouse=True)
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYOMNI_VOICES", str(tmp_path / "voices"))
    return tmp_path / "voices"


def test_names_files_and_values(saved: Path):
    ann = Voice.clone(ROW, CODES, "Hello.", name="ann")
    path = library.save("ann", ann)
    for voice in ("ann", " Ann ", str(path), path, ann):
        assert find_voice(BASE, voice) == ann
    assert find_voice(CUSTOM, "Ryan") == find_voice(CUSTOM, Voice.preset("ryan")) == Voice.preset("ryan")
    assert find_voice(CUSTOM, None) == Voice.preset("ryan")
    assert find_voice(BASE, None) == find_voice(DESIGN, None) == Voice.none()
    assert find_voice(CUSTOM, Voice.none()) == Voice.none()
    assert find_voice(DESIGN, Voice.design("Deep.")).description == "Deep."


def test_a_speaker_of_the_model_goes_before_a_saved_voice(saved: Path):
    library.save("ryan", Voice.clone(ROW))
    assert find_voice(CUSTOM, "ryan").kind == "preset"
    assert find_voice(BASE, "ryan").kind == "clone"


def test_voices_that_are_not_there(saved: Path):
    with pytest.raises(
        ArgumentError, match=r"voice 'nobody' is not in this model, expected one of: ryan, eric$"
    ):
        find_voice(CUSTOM, "nobody")
    library.save("ann", Voice.clone(ROW))
    with pytest.raises(ArgumentError, match="expected one of: ryan, eric; saved voices: ann"):
        find_voice(CUSTOM, "nobody")
    with pytest.raises(ArgumentError, match="none, as this model has no preset speakers; saved voices: ann"):
        find_voice(BASE, Voice.preset("ryan"))
    with pytest.raises(ArgumentError, match="could not be read"):
        find_voice(BASE, "no/such.voice")
    for odd in (3, [], b"ryan"):
        with pytest.raises(ArgumentError, match="expected the name of a speaker"):
            find_voice(CUSTOM, odd)


@pytest.mark.parametrize("meta", [CUSTOM, DESIGN])
def test_a_clone_needs_a_base_model(meta: FakeMetadata):
    with pytest.raises(
        ArgumentError, match=f"clone 'ann' was given to a {meta.model_type} model, expected a base"
    ):
        find_voice(meta, Voice.clone(ROW, name="ann"))


@pytest.mark.parametrize("meta", [CUSTOM, BASE])
def test_a_description_needs_a_voice_design_model(meta: FakeMetadata):
    with pytest.raises(
        ArgumentError, match=f"given to a {meta.model_type} model, expected a voice_design model"
    ):
        find_voice(meta, Voice.design("Deep."))


@pytest.mark.parametrize(
    ("voice", "words"),
    [
        (
            Voice.clone(np.ones(8, np.float32)),
            "embedding of width 8, expected 6: it was made with a model of another",
        ),
        (Voice.clone(ROW, CODES[:, :5], "x"), "codes up to 39 in 5 groups, expected codes below 40 in 16"),
        (Voice.clone(ROW, CODES + 1, "x"), "codes up to 40 in 16 groups"),
        (Voice("clone", embedding=ROW, family="other-tts"), "is of 'other-tts', expected 'qwen3-tts'"),
    ],
)
def test_a_clone_that_does_not_fit(voice: Voice, words: str):
    with pytest.raises(ArgumentError, match=words):
        find_voice(BASE, voice)
