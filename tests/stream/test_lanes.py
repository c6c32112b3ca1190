"""A lane does not know its neighbours, and a frame drawn in one graph is the frame drawn step by step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pyomni._binding import Device, Model
from pyomni.components.lm import CODEC, TEXT, DecoderLM
from pyomni.options import Draw
from pyomni.pipelines.speculation import speculated
from pyomni.sampling import pick

N_LANES = 4


@pytest.fixture(scope="module", params=["f32", "q8_0"])
def models(request: pytest.FixtureRequest, tiny_paths: dict[str, Path]) -> Iterator[tuple[Model, Model]]:
    with Device("cpu", 2) as device:
        path = tiny_paths[request.param]
        yield Model(device, path, "talker"), Model(device, path, "code_predictor")


def random_rows(model: Model, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, model.info.n_embd)).astype(np.float32)


def test_a_lane_gives_what_it_gives_alone(models: tuple[Model, Model]) -> None:
    talker, _ = models
    prompts = [random_rows(talker, n, n) for n in (7, 13, 70, 21)]  # one crosses a KV block
    steps = random_rows(talker, 20, 99)
    alone = DecoderLM(talker, 128)
    expected = []
    for prompt in prompts:
        alone.rewind()
        first = alone.decode(prompt)
        expected.append([first, *(alone.decode(steps[k : k + 1]) for k in range(20))])

    together = DecoderLM(talker, 300, N_LANES)  # of another size, too
    for lane, prompt in enumerate(prompts):
        got = together.decode(prompt, lanes=[lane])
        assert np.array_equal(got.logits[0], expected[lane][0].logits[0])
    for k in range(20):
        lanes = [0, 1, 2, 3] if k < 8 else [0, 2, 3] if k < 14 else [3]  # lanes end, one in the middle first
        got = together.decode(np.repeat(steps[None, k : k + 1], len(lanes), 0), lanes=lanes)
        for i, lane in enumerate(lanes):
            assert np.array_equal(got.logits[i], expected[lane][k + 1].logits[0]), (k, lane)
            assert np.array_equal(got.hidden[i], expected[lane][k + 1].hidden[0]), (k, lane)


def test_rewound_equals_fresh(models: tuple[Model, Model]) -> None:
    talker, _ = models
    lm = DecoderLM(talker, 128)
    rows, other = random_rows(talker, 30, 1), random_rows(talker, 10, 2)
    lm.decode(rows)
    lm.decode(other)
    lm.rewind(0, 30)
    assert lm.n_past() == 30
    back = lm.decode(other[:1])
    fresh = DecoderLM(talker, 128)
    fresh.decode(rows)
    assert np.array_equal(fresh.decode(other[:1]).logits, back.logits)


def test_a_long_prefill_goes_in_pieces(models: tuple[Model, Model]) -> None:
    talker, _ = models
    rows = random_rows(talker, 700, 5)  # more than one graph takes
    lm = DecoderLM(talker, 800)
    whole = lm.decode(rows)
    lm.rewind()
    lm.decode(rows[:512])
    assert np.array_equal(lm.decode(rows[512:]).logits, whole.logits)


def test_later_rows_do_not_change_earlier_ones(models: tuple[Model, Model]) -> None:
    talker, _ = models
    rows = random_rows(talker, 9, 6)
    lm = DecoderLM(talker, 64)
    seen = [lm.decode(rows[i : i + 1]).hidden[0] for i in range(9)]
    lm.rewind()
    lm.decode(rows[:5])
    for i in range(5, 9):
        assert np.allclose(lm.decode(rows[i : i + 1]).hidden[0], seen[i], atol=0 if i < 5 else 2e-4)


def test_a_text_row_does_not_depend_on_its_neighbours(models: tuple[Model, Model]) -> None:
    talker, _ = models
    lm = DecoderLM(talker, 16)
    ids = np.arange(40)
    whole = lm.embed(TEXT, ids)
    assert np.array_equal(whole, np.concatenate([lm.embed(TEXT, ids[i : i + 1]) for i in ids]))


DRAWS = [Draw(0.0, 0, 1.0), Draw(0.9, 50, 1.0), Draw(1.3, 5, 0.8), Draw(0.7, 0, 0.95), Draw(2.0, 0, 1.0)]


@pytest.mark.parametrize("draw", DRAWS, ids=str)
def test_fused_frame_equals_step_loop(models: tuple[Model, Model], draw: Draw) -> None:
    talker, predictor = models
    n_groups = predictor.info.n_groups
    rng = np.random.default_rng(7)
    hidden = random_rows(talker, N_LANES, 8)
    code0 = rng.integers(0, predictor.info.n_vocab, N_LANES)
    uniforms = rng.random((N_LANES, n_groups - 1))
    fused = DecoderLM(predictor, n_groups, N_LANES)
    embed = DecoderLM(talker, 16).embed
    codes, row_sum = fused.groups(
        hidden, code0, temperature=draw.temperature, top_k=draw.top_k, top_p=draw.top_p, uniforms=uniforms
    )
    step = DecoderLM(predictor, n_groups)
    for lane in range(N_LANES):
        step.rewind()
        drawn = [int(code0[lane])]
        rows = np.stack([hidden[lane], embed(CODEC, drawn)[0]])  # [2, n_embd]
        total = rows[1].copy()
        for group in range(1, n_groups):
            logits = step.decode(rows, head=group - 1).logits[0]
            drawn.append(pick(logits, draw, uniforms[lane, group - 1]))
            rows = step.embed(group - 1, drawn[-1:])
            total += rows[0]
        assert codes[lane].tolist() == drawn
        assert np.array_equal(row_sum[lane], total)
        one, one_sum = fused.groups(
            hidden[lane : lane + 1],
            code0[lane : lane + 1],
            temperature=draw.temperature,
            top_k=draw.top_k,
            top_p=draw.top_p,
            uniforms=uniforms[lane : lane + 1],
        )
        assert np.array_equal(one[0], codes[lane])
        assert np.array_equal(one_sum[0], row_sum[lane])


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_greedy_frame_with_proposals_is_the_frame(models: tuple[Model, Model], most: int) -> None:
    talker, predictor = models
    n_groups, embed = predictor.info.n_groups, DecoderLM(talker, 16).embed
    fused, passes = DecoderLM(predictor, n_groups, 2), DecoderLM(predictor, n_groups, 2)
    numbers = np.random.default_rng(1).random((3, n_groups))
    for seed in range(12):
        hidden, code0 = random_rows(talker, 1, seed), seed
        codes, row_sum = fused.groups(hidden, [code0], temperature=0.0, top_k=0, top_p=1.0)
        frame = speculated(
            passes, hidden[0], embed(CODEC, [code0])[0], code0, draw=Draw(0.0), numbers=numbers, most=most
        )
        assert np.array_equal(frame.codes, codes[0])
        assert np.array_equal(frame.row_sum, row_sum[0])
        assert frame.n_passes <= n_groups - 1 - frame.n_accepted
