"""Layers of experts in a stack that is one node, against the chain of ggml's nodes that a tap keeps."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_omni import omni_gguf
from variants import VARIANTS, run_again

from pyomni._binding import Device, Model
from pyomni.components.lm import DecoderLM
from pyomni.siblings import sibling_path

# Rows of whole K blocks, experts of several pieces, more than a row takes, and one for all in the talker.
SIZES = {f"{part}__hidden": 256 for part in ("thinker", "talker")}
SIZES |= {f"{part}__expert_ff": 256 for part in ("thinker", "talker")}
SIZES |= {"talker__shared_ff": 512, "thinker__experts": 12, "thinker__experts_used": 5}
#: What roundings of rows to 8 bits or halves may move once sums are taken in another order.
BOUND = {"f32": 2e-5, "q8_0": 3e-2, "q4_k": 3e-2}


class Pair(NamedTuple):
    """Two sessions of a model: as one node, and as ggml's nodes."""

    node: DecoderLM
    twin: DecoderLM


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("experts")
    return {kind: omni_gguf(folder / f"{kind}.gguf", kind, **SIZES) for kind in BOUND}


def open_model(path: Path, component: str, threads: int = 1) -> Model:
    return Model(
        Device("cpu", threads), sibling_path(path, "speech") if component == "talker" else path, component
    )


def pair(model: Model, n_lanes: int) -> Pair:
    both = Pair(DecoderLM(model, 100, n_lanes), DecoderLM(model, 100, n_lanes))
    both.twin.session.tap("hidden")
    return both


def rows(model: Model, n_lanes: int, n: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n_lanes, n, model.info.n_embd)).astype(np.float32)


def off(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("kind", BOUND)
@pytest.mark.parametrize("component", ["thinker", "talker"])
def test_a_step_is_its_twin(paths: dict[str, Path], component: str, kind: str) -> None:
    model = open_model(paths[kind], component, 2)
    sessions = pair(model, 3)
    found = []
    for n, seed in ((2, 0), (1, 1), (4, 2), (1, 3), (1, 4), (1, 5)):  # 12 rows at once are many
        given = rows(model, 3, n, seed)
        places = np.random.default_rng(seed).uniform(0, 99, (3, n, 3)).astype(np.float32)
        got, expected = (s.decode(given, positions=places) for s in sessions)
        found += [off(got.hidden, expected.hidden), off(got.logits, expected.logits)]
    if kind == "f32":
        assert max(found) < BOUND[kind], found
    else:  # a router may fall to the other side by what a rounding moves: then a row has other experts
        assert np.median(found) < BOUND[kind], found


@pytest.mark.parametrize("kind", BOUND)
@pytest.mark.parametrize("component", ["thinker", "talker"])
def test_no_row_knows_lanes_or_threads(paths: dict[str, Path], component: str, kind: str) -> None:
    expected = None
    for threads in (1, 3):
        model = open_model(paths[kind], component, threads)
        for n_lanes in (1, 2, 4, 9):
            lm = DecoderLM(model, 100, n_lanes)
            logits = []
            for k, n in enumerate((3, 1, 1)):
                given = rows(model, n_lanes, n, 100 + k)
                given[0] = rows(model, 1, n, k)[0]
                logits.append(lm.decode(given).logits[0])
            expected = expected or logits
            assert all(np.array_equal(a, b) for a, b in zip(logits, expected, strict=True)), (
                threads,
                n_lanes,
            )


def test_what_is_no_number_chooses_experts_all_the_same(paths: dict[str, Path]) -> None:
    model = open_model(paths["f32"], "thinker", 2)
    given = rows(model, 2, 1, 0)
    expected = DecoderLM(model, 100, 2).decode(given).logits[1]
    given[0, 0, 7] = np.nan
    logits = DecoderLM(model, 100, 2).decode(given).logits
    assert np.isnan(logits[0]).any()
    np.testing.assert_array_equal(logits[1], expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant(variant: str) -> None:
    run_again(__file__, variant)
