"""Long texts in parts: the same codes alone, in order, streamed and in lanes; pauses; limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from toys import toy, variant

import pyomni
from pyomni import SpeechModel, SpeechOptions, errors
from pyomni.pipelines.fading import FADE_S
from pyomni.pipelines.script import PART_TOKENS

TEXT = "One little sentence. Dr. Two says 3.14, twice! Is it three?\n\nA paragraph, the last."
PIECES = ["One little sentence.", "Dr. Two says 3.14, twice!", "Is it three?", "A paragraph, the last."]
OPTIONS = SpeechOptions(seed=11, split="sentences")


@pytest.fixture(scope="module")
def model() -> Iterator[SpeechModel]:
    with pyomni.load(toy(), device="cpu", threads=1) as m:
        yield m


@pytest.fixture(scope="module")
def spoken(model: SpeechModel) -> pyomni.Speech:
    return model.speak(TEXT, voice="ryan", options=OPTIONS)


def test_the_result_reports_its_pieces(model: SpeechModel, spoken: pyomni.Speech):
    assert [piece.text for piece in spoken.pieces] == PIECES
    assert spoken.pieces[0].seed == spoken.seed == 11
    assert len({piece.seed for piece in spoken.pieces}) == 4
    assert sum(piece.n_frames for piece in spoken.pieces) == len(spoken.codes)
    for piece in spoken.pieces:
        assert piece.n_samples == piece.n_frames * model.hop


def test_each_piece_is_what_it_is_alone_but_for_the_fades(model: SpeechModel, spoken: pyomni.Speech):
    n = round(FADE_S * model.sample_rate)
    for piece in spoken.pieces:
        alone = model.speak(piece.text, voice="ryan", options=SpeechOptions(seed=piece.seed, split="never"))
        codes = spoken.codes[piece.first_frame : piece.first_frame + piece.n_frames]
        assert np.array_equal(codes, alone.codes)
        audio = spoken.audio[piece.first_sample : piece.first_sample + piece.n_samples]
        assert np.array_equal(audio[n:-n], alone.audio[n:-n])
    first = spoken.pieces[0]
    alone = model.speak(first.text, voice="ryan", options=SpeechOptions(seed=11))
    assert np.array_equal(spoken.audio[: first.n_samples - n], alone.audio[:-n]), "it begins as it would"


def test_pauses_are_silent_and_as_long_as_asked_for(model: SpeechModel, spoken: pyomni.Speech):
    def gaps(speech: pyomni.Speech) -> list[float]:
        found = []
        for one, two in zip(speech.pieces, speech.pieces[1:], strict=False):
            a, b = one.first_sample + one.n_samples, two.first_sample
            assert not speech.audio[a:b].any()
            found.append((b - a) / speech.sample_rate)
        assert speech.pieces[-1].first_sample + speech.pieces[-1].n_samples == len(speech.audio)
        return found

    assert gaps(spoken) == pytest.approx([0.15, 0.15, 0.5])
    longer = model.speak(TEXT, voice="ryan", options=replace(OPTIONS, pause=0.3, paragraph_pause=1))
    assert gaps(longer) == pytest.approx([0.3, 0.3, 1.0])
    assert np.array_equal(longer.codes, spoken.codes)
    none = model.speak(TEXT, voice="ryan", options=replace(OPTIONS, pause=0, paragraph_pause=0))
    assert gaps(none) == [0, 0, 0]


def test_no_step_at_a_join_is_larger_than_inside(model: SpeechModel, spoken: pyomni.Speech):
    steps = np.abs(np.diff(spoken.audio))
    for piece in spoken.pieces[1:]:
        around = steps[piece.first_sample - 2 : piece.first_sample + 1]
        assert around.max() <= 0.01 * np.abs(spoken.audio).max()


def test_streamed_and_in_lanes_it_is_the_same(model: SpeechModel, spoken: pyomni.Speech):
    with model.stream(TEXT, voice="ryan", options=OPTIONS) as stream:
        blocks = list(stream)
    assert np.concatenate(blocks).tobytes() == spoken.audio.tobytes()
    assert stream.pieces == spoken.pieces
    assert np.array_equal(stream.codes, spoken.codes)
    assert stream.finish_reason == spoken.finish_reason
    frames = list(model.codes(TEXT, voice="ryan", options=OPTIONS))
    assert np.array_equal(np.stack(frames), spoken.codes)
    for lanes in (2, 3, 8):
        with pyomni.load(toy(), threads=1, lanes=lanes) as several:
            other = several.speak(TEXT, voice="ryan", options=OPTIONS)
            assert other.audio.tobytes() == spoken.audio.tobytes()
            assert (other.pieces, other.finish_reason) == (spoken.pieces, spoken.finish_reason)
            many = several.speak_many(["Short.", TEXT, "Short too."], voice="ryan", options=OPTIONS)
            assert many[1].audio.tobytes() == spoken.audio.tobytes()
            assert many[1].pieces == spoken.pieces
            for text, speech in zip(["Short.", "Short too."], many[::2], strict=True):
                alone = model.speak(text, voice="ryan", options=OPTIONS)
                assert speech.audio.tobytes() == alone.audio.tobytes()
                assert speech.pieces == ()


def test_short_texts_are_left_whole(model: SpeechModel):
    short = "One. Two. Three. Four."
    whole = model.speak(short, voice="ryan", options=SpeechOptions(seed=3, split="never"))
    auto = model.speak(short, voice="ryan", options=SpeechOptions(seed=3))
    assert auto.audio.tobytes() == whole.audio.tobytes()
    assert auto.pieces == whole.pieces == ()
    lone = model.speak("One sentence alone.", voice="ryan", options=SpeechOptions(seed=3, split="sentences"))
    assert lone.pieces == ()


def test_a_text_beyond_the_bound_is_split_by_itself(model: SpeechModel):
    sentence = "This is a sentence of the toy, which counts a token for each byte. "
    n = PART_TOKENS // 60 + 1
    speech = model.speak(sentence * n, voice="ryan", options=SpeechOptions(seed=3))
    assert len(speech.pieces) == 2
    assert "".join(p.text + " " for p in speech.pieces) == sentence * n
    whole = model.speak(sentence * n, voice="ryan", options=SpeechOptions(seed=3, split="never"))
    assert whole.pieces == ()


@pytest.mark.parametrize("lanes", [1, 3])
def test_the_limit_counts_all_pieces(lanes: int):
    with pyomni.load(variant("custom_voice"), threads=1, lanes=lanes) as endless:
        options = SpeechOptions(seed=5, split="sentences", max_frames=100, greedy=True)
        speech = endless.speak("Ab. Cd. Ef.", voice="ryan", options=options)
        assert (len(speech.codes), speech.finish_reason) == (100, "length")
        assert [p.n_frames for p in speech.pieces] == [60, 40]
        free = endless.speak("Ab. Cd. Ef.", voice="ryan", options=replace(options, max_frames=None))
        assert [p.n_frames for p in free.pieces] == [60, 60, 60], "each has a guard of its own"
        assert np.array_equal(free.codes[:100], speech.codes)
        one = endless.speak_many(["Ab. Cd. Ef.", "Gh."], voice="ryan", options=options)
        assert np.array_equal(one[0].codes, speech.codes)
        assert len(one[1].codes) == 100, "spoken in one, it has no guard beside the limit asked for"


def test_a_random_seed_gives_the_whole_text_again(model: SpeechModel):
    one = model.speak(TEXT, voice="ryan", options=SpeechOptions(split="sentences"))
    two = model.speak(TEXT, voice="ryan", options=SpeechOptions(split="sentences", seed=one.seed))
    assert np.array_equal(one.codes, two.codes)


def test_what_the_options_refuse():
    for bad in ({"split": "words"}, {"pause": -1}, {"pause": 61}, {"paragraph_pause": float("nan")}):
        with pytest.raises(errors.ArgumentError, match="expected"):
            SpeechOptions(**bad)


def test_a_stream_left_between_pieces_gives_the_model_back(model: SpeechModel, spoken: pyomni.Speech):
    with model.stream(TEXT, voice="ryan", options=OPTIONS) as stream:
        while not stream.pieces:
            next(stream)
    assert np.array_equal(model.speak(TEXT, voice="ryan", options=OPTIONS).codes, spoken.codes)
