"""Codes drawn by ggml's nodes, as on a device, are those drawn in double precision; here by a tap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from tiny import tiny_gguf

from pyomni._binding import Device, Model
from pyomni.components.lm import DecoderLM

N_GROUPS, N_CODES, LANES = 8, 300, 3
WAYS = [
    (0.9, 50, 1.0),
    (1.0, 0, 1.0),
    (0.7, 20, 0.8),
    (1.3, 0, 0.5),
    (0.05, 0, 1.0),
    (0.9, 1, 1.0),
    (0.9, 50, 1e-9),
]


class Both(NamedTuple):
    """Two sessions of a code predictor."""

    exact: DecoderLM
    nodes: DecoderLM


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    path = tiny_gguf(tmp_path_factory.mktemp("draw") / "m.gguf", n_groups=N_GROUPS, codebook_size=N_CODES)
    with Device("cpu", 1) as device, Model(device, str(path), "code_predictor") as model:
        found = Both(*(DecoderLM(model, 64, LANES) for _ in range(2)))
        found.nodes.session.tap("draw")
        yield found


def frame(rng: np.random.Generator, n_embd: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hidden = rng.standard_normal((LANES, n_embd)).astype(np.float32)
    return hidden, rng.integers(0, 50, LANES), rng.random((LANES, N_GROUPS - 1))


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), WAYS)
def test_the_same_codes_are_drawn(both: Both, temperature: float, top_k: int, top_p: float) -> None:
    rng, same, seen = np.random.default_rng(7), [], set()
    for _ in range(60):
        hidden, code0, uniforms = frame(rng, both.exact.session.info.n_embd)
        how = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "uniforms": uniforms}
        expected, row_sum = both.exact.groups(hidden, code0, **how)
        found, found_sum = both.nodes.groups(hidden, code0, **how)
        weights = both.nodes.session.read_tap("draw").reshape(-1, N_CODES)[-LANES:]
        assert (np.take_along_axis(weights, found[:, -1:], 1) > 0).all()  # what was kept, and no other
        if top_k:
            assert ((weights > 0).sum(1) <= top_k).all()
        same.append((found == expected).all(1))
        for lane in np.flatnonzero(same[-1]):
            np.testing.assert_allclose(found_sum[lane], row_sum[lane], rtol=1e-4, atol=1e-5)
        seen |= set(found[:, 1:].ravel())
    # single precision may fall to the other side of a boundary, once in 1e5 draws or less
    assert np.mean(same) > 0.99
    assert len(seen) > 20


def test_greedy_codes_are_the_same(both: Both) -> None:
    rng = np.random.default_rng(8)
    for _ in range(40):
        hidden, code0, _ = frame(rng, both.exact.session.info.n_embd)
        how = {"temperature": 0.0, "top_k": 0, "top_p": 1.0}
        np.testing.assert_array_equal(
            both.nodes.groups(hidden, code0, **how)[0], both.exact.groups(hidden, code0, **how)[0]
        )


@pytest.mark.parametrize("edge", [0.0, float(np.nextafter(1.0, 0.0))])
def test_numbers_at_the_edges_draw_a_code(both: Both, edge: float) -> None:
    hidden, code0, uniforms = frame(np.random.default_rng(9), both.exact.session.info.n_embd)
    how = {"temperature": 1.0, "top_k": 5, "top_p": 1.0, "uniforms": np.full_like(uniforms, edge)}
    np.testing.assert_array_equal(
        both.nodes.groups(hidden, code0, **how)[0], both.exact.groups(hidden, code0, **how)[0]
    )


def test_what_is_no_number_draws_a_code_all_the_same(both: Both) -> None:
    hidden, code0, uniforms = frame(np.random.default_rng(10), both.exact.session.info.n_embd)
    hidden[1] = np.nan
    for temperature in (0.0, 0.9):
        codes, _ = both.nodes.groups(
            hidden, code0, temperature=temperature, top_k=50, top_p=0.9, uniforms=uniforms
        )
        assert ((codes >= 0) & (codes < N_CODES)).all()
