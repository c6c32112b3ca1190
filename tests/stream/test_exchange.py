"""Rows that stay on a device between talker and predictor are those that go through the host; on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import omni, variant

import pyomni
from pyomni import ChatOptions, SpeechModel, SpeechOptions, errors
from pyomni._binding import Device, Model
from pyomni.api import OmniModel
from pyomni.components.lm import DecoderLM
from pyomni.options import Draw
from pyomni.pipelines.exchange import Exchange, exchange

N_LANES = 3


@pytest.fixture(scope="module", params=["f32", "q8_0"])
def models(request: pytest.FixtureRequest, tiny_paths: dict[str, Path]) -> Iterator[tuple[Model, Model]]:
    with Device("cpu", 2) as device:
        path = tiny_paths[request.param]
        with Model(device, path, "talker") as talker, Model(device, path, "code_predictor") as predictor:
            yield talker, predictor


def pair(models: tuple[Model, Model], n_lanes: int = N_LANES, tapped: bool = False) -> tuple[Any, Any]:
    talker = DecoderLM(models[0], 64, n_lanes)
    predictor = DecoderLM(models[1], models[1].info.n_groups, n_lanes)
    if tapped:  # ggml's nodes, and draws as a device makes them
        talker.session.tap("hidden")
        predictor.session.tap("draw")
    return talker, predictor


def passing(both: tuple[Any, Any], joins: bool) -> Exchange:
    both[0].joins = joins
    made = exchange(*both)
    if joins:
        assert not both[1].row(0).any()  # else it is not joined
    return made


@pytest.mark.parametrize("tapped", [False, True])
@pytest.mark.parametrize("draw", [Draw(0.0), Draw(0.9, 20, 0.9)])
def test_every_row_is_the_same_whoever_steps(models: tuple[Model, Model], draw: Draw, tapped: bool) -> None:
    talker, _ = pairs = pair(models, tapped=tapped)
    others = pair(models, tapped=tapped)
    host, device = passing(pairs, False), passing(others, True)
    rng, n_embd = np.random.default_rng(4), models[0].info.n_embd
    n_draws = models[1].info.n_groups - 1
    for lane in range(N_LANES):
        prompt = rng.standard_normal((1, 5 + lane, n_embd)).astype(np.float32)
        for rows, lm in ((host, talker), (device, others[0])):
            rows.put_hidden(lane, lm.decode(prompt, lanes=[lane]).hidden[0])
    for lanes in ([0, 1, 2], [0, 2], [1], [0, 2], [1, 2]):  # some sit out, between two others as well
        code0, uniforms = rng.integers(0, 40, len(lanes)).tolist(), rng.random((len(lanes), n_draws))
        text = rng.standard_normal((len(lanes), n_embd)).astype(np.float32)
        found = [rows.fill(lanes, code0, draw, uniforms) for rows in (host, device)]
        assert np.array_equal(*found)
        assert found[0].shape == (len(lanes), n_draws + 1)
        found = [rows.read(lanes, text, {}) for rows in (host, device)]
        assert np.array_equal(*found)
        for lane in range(N_LANES):
            assert np.array_equal(host.hidden(lane), device.hidden(lane)), lane
    for lane in range(N_LANES):
        assert np.array_equal(others[1].row(lane), host._sums[lane])


def test_rows_can_be_put_back(models: tuple[Model, Model]) -> None:
    talker, predictor = pair(models)
    device = passing((talker, predictor), True)
    rows = np.random.default_rng(5).standard_normal((4, models[0].info.n_embd)).astype(np.float32)
    device.put_hidden(1, rows[0])
    device.put_hidden(2, rows[1])
    first = device.fill([1], [3], Draw(0.0), np.zeros((1, models[1].info.n_groups - 1)))
    assert np.array_equal(device.hidden(1), rows[0])
    assert np.array_equal(device.hidden(2), rows[1])
    device.put_hidden(1, rows[2])
    device.put_sum(1, rows[3])
    other = device.fill([2], [3], Draw(0.0), np.zeros((1, models[1].info.n_groups - 1)))
    assert np.array_equal(predictor.row(1), rows[3])
    device.put_hidden(1, rows[0])
    again = device.fill([1], [3], Draw(0.0), np.zeros((1, models[1].info.n_groups - 1)))
    assert np.array_equal(again, first)
    assert not np.array_equal(other, first)
    assert not np.array_equal(predictor.row(1), rows[3])


def test_a_joined_talker_and_predictor_still_take_rows(models: tuple[Model, Model]) -> None:
    (talker, predictor), (_, alone) = pair(models), pair(models)
    talker.join(predictor)
    talker.join(predictor)
    rows = np.random.default_rng(6).standard_normal((2, models[0].info.n_embd)).astype(np.float32)
    codes, row_sum = predictor.groups(rows, [1, 2], temperature=0.0, top_k=0, top_p=1.0)
    expected = alone.groups(rows, [1, 2], temperature=0.0, top_k=0, top_p=1.0)
    assert np.array_equal(codes, expected[0])
    assert np.array_equal(row_sum, expected[1])
    assert np.array_equal(predictor.row(1), row_sum[1])
    step = talker.decode(rows)
    assert np.array_equal(talker.row(0), step.hidden[0])
    more, _ = pair(models)
    more.join(predictor)  # it is joined anew
    assert not predictor.row(1).any()
    with pytest.raises(errors.ArgumentError, match="lane 3, expected 0 to 2"):
        more.row(3)


def test_who_cannot_be_joined(models: tuple[Model, Model], tiny_paths: dict[str, Path]) -> None:
    talker, predictor = pair(models)
    for one, other in ((predictor, talker), (talker, talker), (predictor, predictor)):
        with pytest.raises(errors.ArgumentError, match="expected a talker and the code predictor that fills"):
            one.join(other)
    with pytest.raises(errors.ArgumentError, match="has 1 lanes, expected at least the talker's 3"):
        talker.join(pair(models, 1)[1])
    far = DecoderLM(Model(Device("cpu", 1), tiny_paths["f32"], "code_predictor"), 16, N_LANES)
    with pytest.raises(errors.ArgumentError, match="expected the same opened device"):
        talker.join(far)
    one = np.zeros((1, models[0].info.n_embd), np.float32)
    for refused in (
        lambda: talker.row(0),
        lambda: talker.joined_decode(one, [0]),
        lambda: predictor.joined_groups([1], [0], temperature=0.0, top_k=0, top_p=1.0),
    ):
        with pytest.raises(errors.ArgumentError, match="passes no rows to another"):
            refused()
    talker.join(predictor)
    greedy = {"temperature": 0.0, "top_k": 0, "top_p": 1.0}
    for refused, message in (
        (lambda: talker.put_row(0, one), "the row"),
        (lambda: talker.row(-1), "lane -1, expected 0 to 2"),
        (
            lambda: predictor.joined_groups([1, 2], [1, 1], **greedy),
            "lane 1 of the talker, expected",
        ),
        (
            lambda: predictor.joined_groups([1, 2], [0, 3], **greedy),
            "lane 3 of the talker, expected",
        ),
        (lambda: predictor.joined_groups([1, 2], [0], **greedy), "1 lanes were given for 2 codes"),
        (lambda: predictor.joined_decode(one, [0]), "expected one row of a talker"),
        (
            lambda: talker.session.lm_decode(np.zeros((1, 2, one.size)), [0], joined=True),
            "to 2 rows a lane",
        ),
    ):
        with pytest.raises(errors.ArgumentError, match=message):
            refused()
    assert talker.n_past(0) == 0


# -- whole models ---------------------------------------------------


def watched(model: SpeechModel | OmniModel, joins: bool) -> list[int]:
    """Let a model's rows stay, or not; return a list that fills with the lanes of talkers that are joined."""
    joined: list[int] = []

    def watch(name: str, lm: DecoderLM) -> DecoderLM:
        def join(predictor: DecoderLM) -> None:
            joined.append(lm.n_lanes)
            DecoderLM.join(lm, predictor)

        lm.joins, lm.join = joins, join  # type: ignore[method-assign]
        return lm

    model._weights.watch = watch
    return joined


def spoken(path: Path, joins: bool) -> list[np.ndarray]:
    """Codes of one text, of several on lanes that are filled again, of proposals, and of arriving text."""
    texts = ["Hello there.", "One, two, three.", "No.", "She has never seen the sea."]
    plain = [SpeechOptions(seed=i, max_frames=6 + 5 * i) for i in range(len(texts))]
    with pyomni.load(path, device="cpu", threads=2, lanes=2) as model:
        joined = watched(model, joins)
        found = [model.speak(texts[0], options=plain[3]).codes]
        found += [one.codes for one in model.speak_many(texts, options=plain[2])]
        found.append(model.speak(texts[1], options=SpeechOptions(seed=1, max_frames=20, speculate=2)).codes)
        found.append(model.speak(iter(texts[3]), options=plain[3]).codes)
    assert joined == ([1, 2, 2, 2] if joins else [])
    return found


def test_speech_is_the_same() -> None:
    host, device = (spoken(variant("custom_voice"), joins) for joins in (False, True))
    for one, other in zip(host, device, strict=True):
        assert len(one) > 5
        assert np.array_equal(one, other)


def test_an_omni_model_says_the_same() -> None:
    said = []
    for joins in (False, True):
        with OmniModel(omni(), device="cpu", threads=2, lanes=2) as model:
            joined = watched(model, joins)
            said.append(
                model.reply_many(
                    [[{"role": "user", "content": text}] for text in ("Say something.", "And more.")],
                    speak=True,
                    options=ChatOptions(seed=3, max_tokens=12),
                    speech_options=SpeechOptions(seed=3, max_frames=12),
                )
            )
        assert joined == [2] * joins
    for one, other in zip(*said, strict=True):
        assert one.text == other.text
        assert len(one.speech.audio) > 1000
        assert one.speech.audio.tobytes() == other.speech.audio.tobytes()
