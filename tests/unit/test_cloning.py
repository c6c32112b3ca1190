"""Clips to voices on fake encoders: what is asked of them, and what is remembered."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fakes import FakeMetadata

from pyomni.errors import ArgumentError, AudioError, ReferenceWarning, UnsupportedModel
from pyomni.pipelines.cloning import Cloner
from pyomni.pipelines.keep import Kept

RATE = 24000
MEL = {
    "speaker_encoder.sample_rate": RATE, "speaker_encoder.mel.n_mels": 16, "speaker_encoder.mel.n_fft": 256,
    "speaker_encoder.mel.window": 256, "speaker_encoder.mel.hop": 64, "speaker_encoder.mel.pad": 96,
    "speaker_encoder.mel.fmin": 0.0, "speaker_encoder.mel.fmax": 12000.0,
    "speaker_encoder.mel.power_floor": 1e-9, "speaker_encoder.mel.floor": 1e-5,
}  # fmt: skip


class Header:
    def u32(self, key: str) -> int:
        return int(MEL[key])

    def f32(self, key: str) -> float:
        return float(MEL[key])


@dataclass
class BaseMetadata(FakeMetadata):
    model_type: str = "base"
    components: tuple[str, ...] = ("talker", "code_predictor", "speaker_encoder", "codec_encoder")
    meta: Any = field(default_factory=Header)


class FakeEncoder:
    """Gives the mean of its rows; a codec encoder gives codes from the samples of each 100."""

    n_rows_min = 5

    def __init__(self, kind: str) -> None:
        self.kind, self.calls, self.closed = kind, 0, False

    def encode(self, given: np.ndarray) -> np.ndarray:
        self.calls += 1
        if self.kind == "codec":
            return (np.abs(given[: len(given) // 100 * 100].reshape(-1, 100)[:, :16]) * 30).astype(np.int32)
        return given.mean(axis=0)[None, :6].astype(np.float32)

    def close(self) -> None:
        self.closed = True


def clip(seed: int = 0, seconds: float = 0.5) -> tuple[np.ndarray, int]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, int(RATE * seconds)).astype(np.float32), RATE


class Opened:
    def __init__(self, max_bytes: int = 10**6) -> None:
        self.encoders: list[FakeEncoder] = []
        self.cloner = Cloner(
            BaseMetadata(), lambda: self.open("speaker"), lambda: self.open("codec"), Kept(max_bytes)
        )

    def open(self, kind: str) -> FakeEncoder:
        self.encoders.append(FakeEncoder(kind))
        return self.encoders[-1]

    @property
    def calls(self) -> dict[str, int]:
        out = {"speaker": 0, "codec": 0}
        for one in self.encoders:
            out[one.kind] += one.calls
        return out


def test_a_clip_alone_is_an_embedding_and_opens_no_codec():
    opened = Opened()
    voice = opened.cloner.clone(clip(), name="ann")
    assert (voice.kind, voice.name, voice.codes, voice.transcript) == ("clone", "ann", None, None)
    assert voice.embedding.shape == (6,)
    assert [one.kind for one in opened.encoders] == ["speaker"]


def test_a_clip_and_its_words_are_codes_as_well():
    voice = Opened().cloner.clone(clip(), "What it says.")
    assert voice.in_context
    assert voice.codes.shape == (120, 16)
    assert voice.transcript == "What it says."


def test_a_clip_is_encoded_once_whatever_it_is_asked_for():
    opened = Opened()
    alone = opened.cloner.clone(clip())
    in_context = opened.cloner.clone(clip(), "One.")
    again = opened.cloner.clone(clip(), "Two.")
    assert opened.calls == {"speaker": 1, "codec": 1}
    assert np.array_equal(alone.embedding, in_context.embedding)
    assert np.array_equal(in_context.codes, again.codes)
    assert opened.cloner.clone(clip()).codes is None
    opened.cloner.clone(clip(1))
    assert opened.calls["speaker"] == 2


def test_what_is_remembered_is_bounded():
    one = 6 * 4 + 120 * 16 * 4
    opened = Opened(max_bytes=2 * one)
    for seed in (1, 2, 1, 3, 1):  # 2 is the one not used for longest when 3 comes
        opened.cloner.clone(clip(seed), "x")
    assert opened.calls["speaker"] == 3
    opened.cloner.clone(clip(2), "x")
    assert opened.calls["speaker"] == 4
    none = Opened(max_bytes=0)
    assert none.cloner.clone(clip(), "x") == none.cloner.clone(clip(), "x")
    assert none.calls["speaker"] == 2


def test_clips_and_words_that_are_refused():
    opened = Opened()
    for transcript in ("", " \n", 3):
        with pytest.raises(ArgumentError, match="expected what the clip says"):
            opened.cloner.clone(clip(), transcript)
    for bad, words in (
        ((np.zeros(RATE, np.float32), RATE), "silent"),
        (clip(seconds=0.01), "too short"),
        ((np.full(RATE, np.nan, np.float32), RATE), "not finite"),
        ("none.wav", "no such file"),
        (b"RIFF", "not an audio file"),
        (3, "expected a path"),
    ):
        with pytest.raises(AudioError, match=words):
            opened.cloner.clone(bad, "x")
    assert opened.calls == {"speaker": 0, "codec": 0}


def buzz(seconds: float) -> tuple[np.ndarray, int]:
    """Return bursts with pauses: as loud and as quiet as speech."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * 150 * t) * (t % 0.2 < 0.16)).astype(np.float32), RATE


SAID = "The market sells fresh fruit every day, and bread."  # a second at the very least


def test_a_clip_and_words_that_cannot_belong_together_are_refused_before_anything_is_encoded():
    opened = Opened()
    with pytest.raises(AudioError, match="at the very least"):
        opened.cloner.clone(buzz(0.7), SAID)
    assert opened.calls == {"speaker": 0, "codec": 0}
    with pytest.warns(ReferenceWarning, match="fast for its transcript"):
        opened.cloner.clone(buzz(1.5), SAID)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened.cloner.clone(buzz(4), SAID)


def test_the_words_are_compared_with_those_heard_where_that_is_asked_for():
    opened, heard = Opened(), []

    def hear(pcm: np.ndarray, rate: int) -> str:
        heard.append((len(pcm), rate))
        return "nothing like it"

    with pytest.warns(ReferenceWarning, match="is it the transcript of this clip"):
        opened.cloner.clone(buzz(4), SAID, check=hear)
    assert heard == [(4 * RATE, RATE)]
    with pytest.raises(ArgumentError, match="check was given without a transcript"):
        opened.cloner.clone(buzz(4), check=True)


def test_models_that_do_not_clone():
    for meta, error, words in (
        (FakeMetadata(), ArgumentError, "given to a custom_voice model, expected a base model"),
        (BaseMetadata(components=("talker",)), UnsupportedModel, "no speaker_encoder"),
        (BaseMetadata(components=("speaker_encoder",)), UnsupportedModel, "no codec_encoder"),
    ):
        cloner = Cloner(meta, lambda: FakeEncoder("speaker"), lambda: FakeEncoder("codec"), Kept(0))
        with pytest.raises(error, match=words):
            cloner.clone(clip(), "x")


def test_closed_encoders_open_again():
    opened = Opened(max_bytes=0)
    opened.cloner.clone(clip(), "x")
    opened.cloner.close()
    assert all(one.closed for one in opened.encoders)
    opened.cloner.clone(clip(), "x")
    assert len(opened.encoders) == 4
