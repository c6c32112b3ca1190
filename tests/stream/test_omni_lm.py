"""Experts, positions of three axes, rows added in between: lanes and pieces change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_omni import omni_gguf

import pyomni
from pyomni._binding import Device, Model
from pyomni.components.lm import DecoderLM
from pyomni.errors import ArgumentError
from pyomni.siblings import sibling_path

F32 = NDArray[np.float32]
KV_TYPES = ["f32", "f16", "q8_0"]


@pytest.fixture(scope="module", params=["f32", "q8_0"])
def main(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return omni_gguf(tmp_path_factory.mktemp("omni") / "tiny.gguf", type=request.param)


@pytest.fixture(scope="module")
def models(main: Path) -> Iterator[dict[str, Model]]:
    with Device("cpu", 2) as device:
        speech = sibling_path(main, "speech")
        yield {"thinker": Model(device, main, "thinker"), "talker": Model(device, speech, "talker")}


def inputs(model: Model, n: int, seed: int) -> dict[str, Any]:
    """Return rows, their positions and, where the model takes them, rows to add."""
    rng = np.random.default_rng(seed)
    info = model.info
    given = {
        "rows": rng.standard_normal((n, info.n_embd)).astype(np.float32),
        "positions": rng.uniform(0, 99, (n, info.n_axes)).astype(np.float32),
    }
    if info.n_deepstack:
        given["deepstack"] = rng.standard_normal((info.n_deepstack, n, info.n_embd)).astype(np.float32)
    return given


def cut(given: dict[str, Any], begin: int, end: int) -> dict[str, Any]:
    return {key: value[..., begin:end, :] for key, value in given.items()}


def run(lm: DecoderLM, given: dict[str, Any], lanes: list[int] | None = None) -> list[F32]:
    """Return everything a decode leaves."""
    rest = {key: value for key, value in given.items() if key != "rows"}
    accepted = lm.info.accept_layer > 0
    step = lm.decode(given["rows"], lanes=lanes, accepted=accepted, **rest)
    return [step.logits, step.hidden, *([step.accepted] if step.accepted is not None else [])]


def assert_equal(some: list[F32], others: list[F32]) -> None:
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kv", KV_TYPES)
@pytest.mark.parametrize("component", ["thinker", "talker"])
def test_a_lane_gives_what_it_gives_alone(models: dict[str, Model], component: str, kv: str) -> None:
    model = models[component]
    prompts = [inputs(model, n, n) for n in (7, 70, 21)]  # one crosses a KV block
    steps = [inputs(model, 10, 90 + lane) for lane in range(3)]
    together = DecoderLM(model, 300, 3, kv)
    alone = DecoderLM(model, 128, 1, kv)
    expected = []
    for lane, prompt in enumerate(prompts):
        alone.rewind()
        first = run(alone, prompt)
        assert_equal(run(together, prompt, [lane]), first)
        expected.append([run(alone, cut(steps[lane], k, k + 1)) for k in range(10)])
    for k in range(10):
        lanes = [0, 1, 2] if k < 5 else [0, 2]  # the one in the middle ends
        joined = {key: np.stack([cut(steps[lane], k, k + 1)[key] for lane in lanes]) for key in steps[0]}
        got = run(together, joined, lanes)
        for i, lane in enumerate(lanes):
            assert_equal([array[i : i + 1] for array in got], expected[lane][k])


@pytest.mark.parametrize("kv", KV_TYPES)
def test_a_lane_goes_on_from_where_it_was(models: dict[str, Model], kv: str) -> None:
    lm = DecoderLM(models["thinker"], 128, 2, kv)
    given, later = inputs(models["thinker"], 30, 1), inputs(models["thinker"], 10, 2)
    run(lm, given, [0])
    saved = lm.save(0)
    right = run(lm, later, [0])
    lm.load(saved, 1)
    assert_equal(run(lm, later, [1]), right)
    lm.rewind(0, 30)
    assert_equal(run(lm, later, [0]), right)
    with pytest.raises(ArgumentError, match=rf"KV cache of type {kv}, expected"):
        DecoderLM(models["thinker"], 128, 1, "f32" if kv == "f16" else "f16").load(saved)


def test_a_long_prefill_goes_in_pieces(models: dict[str, Model]) -> None:
    lm, given = DecoderLM(models["thinker"], 800), inputs(models["thinker"], 700, 5)
    whole = run(lm, given)
    lm.rewind()
    first, rest = run(lm, cut(given, 0, 512)), run(lm, cut(given, 512, 700))
    assert_equal(rest[:2], whole[:2])
    np.testing.assert_array_equal(np.concatenate([first[2], rest[2]], 1), whole[2])


@pytest.mark.parametrize("component", ["thinker", "talker"])
@pytest.mark.parametrize(("kv", "atol"), [("f32", 2e-4), ("f16", 2e-2), ("q8_0", 2e-4)])
def test_row_by_row_equals_all_at_once(
    models: dict[str, Model], main: Path, component: str, kv: str, atol: float
) -> None:
    lm, given = DecoderLM(models[component], 64, 1, kv), inputs(models[component], 40, 6)
    whole = run(lm, given)
    lm.rewind()
    steps = [run(lm, cut(given, i, i + 1)) for i in range(40)]
    np.testing.assert_allclose(steps[-1][1], whole[1], rtol=0, atol=atol)
    if len(whole) > 2:
        accepted = np.concatenate([step[2] for step in steps], 1)
        np.testing.assert_allclose(accepted, whole[2], rtol=0, atol=atol)


@pytest.mark.parametrize(("kv", "atol"), [("f16", 0.02), ("q8_0", 0.2)])
def test_a_smaller_cache_says_nearly_the_same(models: dict[str, Model], kv: str, atol: float) -> None:
    given = inputs(models["thinker"], 90, 7)
    exact, near = (run(DecoderLM(models["thinker"], 128, 1, kind), given) for kind in ("f32", kv))
    error = np.abs(near[1] - exact[1]).max()
    assert 0 < error < atol * np.abs(exact[1]).max()


def test_a_place_in_the_cache_is_the_position_by_default(models: dict[str, Model]) -> None:
    lm = DecoderLM(models["talker"], 64)
    rows = inputs(models["talker"], 20, 8)["rows"]
    places = np.repeat(np.arange(20, dtype=np.float32)[:, None], 3, 1)
    lm.decode(rows[:12])
    counted = lm.decode(rows[12:])
    lm.rewind()
    lm.decode(rows[:12], positions=places[:12])
    given = lm.decode(rows[12:], positions=places[12:])
    np.testing.assert_array_equal(given.hidden, counted.hidden)


def test_a_mapped_file_says_the_same(main: Path) -> None:
    with Device("cpu", 2) as device:
        ways = [Model(device, main, "thinker", mapped=mapped) for mapped in (True, False)]
        ways.append(Model(device, main, "thinker", experts="cpu"))
        given = inputs(ways[0], 20, 9)
        mapped, read, experts = (run(DecoderLM(model, 64), given) for model in ways)
    assert_equal(mapped, read)
    assert_equal(experts, read)


def test_projected_rows_do_not_depend_on_their_neighbours(models: dict[str, Model]) -> None:
    lm = DecoderLM(models["talker"], 16)
    rows = np.random.default_rng(3).standard_normal((530, lm.info.n_embd_proj)).astype(np.float32)
    for which in range(lm.info.n_projections):
        whole = lm.project(which, rows)
        pieces = [lm.project(which, rows[begin : begin + 53]) for begin in range(0, 530, 53)]
        np.testing.assert_array_equal(whole, np.concatenate(pieces))


def test_packed_matrices_say_nearly_the_same(tmp_path: Path) -> None:
    """Rearranged for the CPU's kernels: other rounding, the same lanes, the same saved sessions."""
    sizes = {"thinker__hidden": 256, "thinker__head_dim": 64, "thinker__expert_ff": 256}
    path = omni_gguf(tmp_path / "wide.gguf", type="q4_k", audio_output=False, dtype="bf16", **sizes)
    with Device("cpu", 2) as device:
        plain, packed = (Model(device, path, "thinker", packed=way) for way in (False, True))
        given, one = inputs(plain, 60, 4), inputs(plain, 1, 5)
        lm, alone = DecoderLM(packed, 128, 2), DecoderLM(plain, 128)
        for ours, right in zip(run(lm, given, [1]), run(alone, given), strict=True):
            # rows are rounded to 8 bits in another way: a few per cent in so small a network
            assert np.square(ours - right).mean() < 0.05**2 * np.square(right).mean()
        lm.load(alone.save(), 0)
        lm.load(alone.save(), 1)
        both = run(lm, {key: np.stack([value, value]) for key, value in one.items()})
        lm.rewind(0, 60)
        assert_equal(run(lm, one, [0]), [array[1:] for array in both])
        lm.rewind(0)
        from_packed = run(lm, given, [0])
    with pyomni.load(path, device="cpu", threads=2, packed=True) as model:
        assert isinstance(model, pyomni.OmniModel)
        assert_equal(run(model._weights.open_lm("thinker", 128, 1), given, [0]), from_packed)
