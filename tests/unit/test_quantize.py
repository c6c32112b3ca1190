"""ggml's quantization from Python: the bytes gguf-py knows, the bounds of the K types, refusals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from gguf import GGMLQuantizationType, dequantize, quants

from pyomni import errors
from pyomni._binding import quantize

Type = GGMLQuantizationType


def rows(n: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)


@pytest.mark.parametrize("kind", [Type.Q8_0, Type.Q5_0, Type.Q5_1, Type.Q4_0])
def test_the_simple_types_are_gguf_pys_bit_for_bit(kind: Type) -> None:
    x = rows(7, 96)
    np.testing.assert_array_equal(quantize(kind.name.lower(), x), quants.quantize(x, kind))


# levels of a value within the range of its block, and values that share a scale
K_TYPES = {Type.Q4_K: (15, 32), Type.Q5_K: (31, 32), Type.Q6_K: (63, 16)}


@pytest.mark.parametrize("kind", K_TYPES)
def test_k_types_stay_within_their_grids(kind: Type) -> None:
    x = rows(5, 768, 1)
    found = quantize(kind.name.lower(), x)
    assert found.dtype == np.uint8
    assert found.shape == (5, 768 // 256 * {Type.Q4_K: 144, Type.Q5_K: 176, Type.Q6_K: 210}[kind])
    back = dequantize(found, kind)
    levels, block = K_TYPES[kind]
    groups = x.reshape(-1, block)
    width = np.ptp(np.concatenate([groups, np.zeros((len(groups), 1), np.float32)], 1), axis=1) / levels
    if kind is Type.Q6_K:  # its grid is symmetric
        width = 2 * np.abs(groups).max(axis=1) / levels
    error = np.abs(back - x).reshape(-1, block)
    # a step from its grid at most: half for the rounding, the rest for scales of 6 or 8 bits
    assert (error <= 1.0 * width[:, None] + 1e-6).all()
    assert 0 < np.sqrt((error**2).mean()) < 0.5 * width.mean()


def test_zeros_and_one_sided_rows() -> None:
    assert not dequantize(quantize("q4_k", np.zeros((2, 256))), Type.Q4_K).any()
    x = np.abs(rows(3, 512)) + 2
    assert np.abs(dequantize(quantize("q4_k", x), Type.Q4_K) - x).max() < 0.6


def test_threads_may_share_the_work() -> None:
    x = rows(64, 512, 2)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda part: quantize("q4_k", part), np.split(x, 16)))
    np.testing.assert_array_equal(np.concatenate(parts), quantize("Q4_K", x))


@pytest.mark.parametrize("kind", ["f32", "bf16", "q8_K", "q8_1", "q4", "", "i32", "q" * 99])
def test_a_type_that_is_no_block_type_is_named(kind: str) -> None:
    with pytest.raises(errors.ArgumentError, match=f"type '{kind[:32]}'"):
        quantize(kind, rows(1, 256))


@pytest.mark.parametrize("shape", [(1, 255), (1, 32), (0, 256), (1, 0)])
def test_rows_must_be_whole_blocks(shape: tuple[int, int]) -> None:
    with pytest.raises(errors.ArgumentError, match="whole blocks of 256"):
        quantize("q4_k", np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_values_a_scale_cannot_hold_are_refused(value: float) -> None:
    x = rows(2, 256)
    x[1, 7] = value
    with pytest.raises(errors.ModelFormatError, match="q4_k"):
        quantize("q4_k", x)


@pytest.mark.parametrize("kind", [*K_TYPES, Type.Q4_0, Type.IQ4_NL])
def test_importances_move_the_error_to_where_it_costs_less(kind: Type) -> None:
    x, importance = rows(16, 512, 3), np.random.default_rng(4).gamma(0.3, 1, 512).astype(np.float32)
    name = kind.name.lower()
    plain, weighted = (
        np.square(dequantize(found, kind) - x, dtype=np.float64)
        for found in (quantize(name, x), quantize(name, x, importance))
    )
    assert (weighted * importance).sum() < 0.9 * (plain * importance).sum()
    assert weighted.sum() > plain.sum()


@pytest.mark.parametrize(
    ("importance", "words"),
    [
        (np.ones(255), "255 importances were given, expected one of each of 256 columns"),
        (np.full(256, -1.0), "not finite or below zero"),
        (np.full(256, np.nan), "not finite or below zero"),
        (np.ones((2, 256)), "expected 1 axes"),
    ],
)
def test_importances_that_cannot_be(importance: np.ndarray, words: str) -> None:
    with pytest.raises(errors.ArgumentError, match=words):
        quantize("q4_k", rows(2, 256), importance)
