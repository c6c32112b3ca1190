"""A voice that no prompt holds: the parts of a long text go on with the voice of the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from toys import variant

import pyomni
from pyomni import SpeechModel, SpeechOptions, Voice
from pyomni.pipelines import prompt
from pyomni.pipelines.carry import CARRIED_TOKENS

TEXT = "Here is the first part. And a second one! Is it the third?"
OPTIONS = SpeechOptions(seed=5, split="sentences")
DESIGN = Voice.design("A calm old voice.")


@pytest.fixture(scope="module")
def model() -> Iterator[SpeechModel]:
    with pyomni.load(variant("voice_design"), device="cpu", threads=1) as m:
        yield m


@pytest.fixture(scope="module")
def spoken(model: SpeechModel) -> pyomni.Speech:
    return model.speak(TEXT, voice=DESIGN, options=OPTIONS)


def pieces_of(speech: pyomni.Speech) -> list[np.ndarray]:
    return [speech.codes[p.first_frame : p.first_frame + p.n_frames] for p in speech.pieces]


def test_the_first_part_is_what_it_is_alone(model: SpeechModel, spoken: pyomni.Speech):
    assert len(spoken.pieces) == 3
    alone = model.speak(spoken.pieces[0].text, voice=DESIGN, options=SpeechOptions(seed=5))
    assert np.array_equal(pieces_of(spoken)[0], alone.codes)


@pytest.mark.parametrize("streaming", [False, True])
def test_later_prompts_are_as_if_the_model_had_gone_on(model: SpeechModel, streaming: bool):
    options = SpeechOptions(seed=5, split="sentences", streaming_layout=streaming)
    script = model._planner.script(TEXT, DESIGN, None, None, options)
    codes = np.arange(6 * model._meta.n_groups, dtype=np.int32).reshape(6, -1) % model._meta.n_codes
    tokenizer = model._meta.tokenizer()
    lead, second = (tokenizer.encode(part.text) for part in script.parts[:2])
    assert script.parts[0].follows is None
    follows = script.parts[1].follows
    assert follows is not None
    plan = follows(codes)
    lay_out = partial(
        prompt.layout,
        model._meta,
        tokenizer,
        instruct=prompt.instruct_ids(tokenizer, model._meta, DESIGN.description),
        streaming=streaming,
    )
    whole, heard = lay_out([*lead, *second]), plan.layout
    # one text, and after its begin the six frames: the text that had trailed is beside them now
    assert heard.positions[: len(whole.positions)] == whole.positions
    spoken_ids = heard.positions[len(whole.positions) :]
    assert [c for _, c in spoken_ids] == [prompt.REFERENCE_ROW - t for t in range(6)]
    trailing = [*whole.trailing, *[whole.pad] * 6][:6]
    assert [t for t, _ in spoken_ids] == trailing
    assert list(heard.trailing) == list(whole.trailing[6:])
    assert plan.reference is codes
    assert plan.options == script.parts[1].plan.options


def test_every_part_depends_on_the_first_alone(model: SpeechModel, spoken: pyomni.Speech):
    first, second, third = (piece.text for piece in spoken.pieces)
    other = model.speak(f"{first} Quite another one. {third}", voice=DESIGN, options=OPTIONS)
    assert np.array_equal(pieces_of(other)[2], pieces_of(spoken)[2])
    changed = model.speak(f"The first is not this. {second}", voice=DESIGN, options=OPTIONS)
    assert not np.array_equal(pieces_of(changed)[1], pieces_of(spoken)[1])


def test_streamed_in_lanes_and_beside_others_it_is_the_same(model: SpeechModel, spoken: pyomni.Speech):
    with model.stream(TEXT, voice=DESIGN, options=OPTIONS) as stream:
        assert np.concatenate(list(stream)).tobytes() == spoken.audio.tobytes()
    assert np.array_equal(np.stack(list(model.codes(TEXT, voice=DESIGN, options=OPTIONS))), spoken.codes)
    with pyomni.load(variant("voice_design"), threads=1, lanes=3) as several:
        many = several.speak_many(["Short.", TEXT, "Also short."], voice=DESIGN, options=OPTIONS)
    assert many[1].audio.tobytes() == spoken.audio.tobytes()


def test_the_sound_goes_on_from_the_first_part(model: SpeechModel, spoken: pyomni.Speech):
    first, second, _ = pieces_of(spoken)
    piece = spoken.pieces[1]
    heard = Voice.clone(np.ones(model._meta.n_embd), first, "Here is the first part.")
    with model._engine.use():
        after = np.concatenate(list(model._engine.pcm(second, reference=heard.codes)))
    edge = round(0.005 * model.sample_rate)
    made = spoken.audio[piece.first_sample : piece.first_sample + piece.n_samples]
    assert np.array_equal(made[edge:-edge], after[edge:-edge])


def test_a_first_part_to_follow_is_kept_short(model: SpeechModel):
    sentence = "This is a sentence, of many bytes. "
    script = model._planner.script(sentence * 12, DESIGN, None, None, SpeechOptions(seed=1))
    encode = model._meta.tokenizer().encode
    sizes = [len(encode(part.text)) for part in script.parts]
    assert sizes[0] <= max(CARRIED_TOKENS, len(encode(sentence)))
    assert " ".join(part.text for part in script.parts) == (sentence * 12).strip()


def test_a_frame_limit_still_holds(model: SpeechModel, spoken: pyomni.Speech):
    n = spoken.pieces[0].n_frames + 2
    # unguarded: the toy's parts end too early, and how early is too early follows the limit
    free = SpeechOptions(seed=5, split="sentences", guard=False)
    whole = model.speak(TEXT, voice=DESIGN, options=replace(free, max_frames=n + 20))
    cut = model.speak(TEXT, voice=DESIGN, options=replace(free, max_frames=n))
    assert len(cut.codes) == n
    assert np.array_equal(cut.codes, whole.codes[:n])
    assert cut.finish_reason == "length"
