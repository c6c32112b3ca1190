"""Layers of experts in a stack that is one node, against the chain of ggml's nodes that a tap keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_omni import omni_gguf

from pyomni._binding import Device, Model
from pyomni.components.lm import DecoderLM
from pyomni.errors import UnsupportedModel
from pyomni.siblings import sibling_path

VARIANTS = ("scalar", "avx2", "avx512", "neon")
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


def pair(model: Model, n_lanes: int, kv: str = "f32") -> Pair:
    both = Pair(DecoderLM(model, 100, n_lanes, kv), DecoderLM(model, 100, n_lanes, kv))
    both.twin.session.tap("hidden")
    return both


def rows(model: Model, n_lanes: int, n: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n_lanes, n, model.info.n_embd)).astype(np.float32)


def off(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("kv", ["f32", "f16"])
@pytest.mark.parametrize("kind", BOUND)
@pytest.mark.parametrize("component", ["thinker", "talker"])
def test_a_step_is_its_twin(paths: dict[str, Path], component: str, kind: str, kv: str) -> None:
    model = open_model(paths[kind], component, 2)
    sessions = pair(model, 3, kv)
    found = []
    for n, seed in ((2, 0), (1, 1), (4, 2), (1, 3), (1, 4), (1, 5)):  # 12 rows at once are many
        given = rows(model, 3, n, seed)
        places = np.random.default_rng(seed).uniform(0, 99, (3, n, 3)).astype(np.float32)
        got, expected = (s.decode(given, positions=places) for s in sessions)
        found += [off(got.hidden, expected.hidden), off(got.logits, expected.logits)]
    if kind == "f32" and kv == "f32":
        assert max(found) < BOUND[kind], found
    else:  # a router may fall to the other side by what a rounding moves: then a row has other experts
        assert np.median(found) < BOUND["q8_0"], found


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
    if os.environ.get("PYOMNI_CPU_VARIANT"):
        pytest.skip("this is the process of one variant")
    env = {**os.environ, "PYOMNI_CPU_VARIANT": variant}
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(run, env=env, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if "which this CPU does not run" in done.stdout:
        assert UnsupportedModel.__name__ in done.stdout
        pytest.skip(f"no {variant} here")
    assert done.returncode == 0, done.stdout[-4000:]
