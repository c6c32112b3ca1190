"""A decoder stack as one node of a graph, against the chain of ggml's nodes that a session with a tap keeps.

Once for each variant of the kernels that this machine runs, in a process of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np
import pytest
from tiny import tiny_gguf
from variants import VARIANTS, run_again

from pyomni._binding import Device, Model
from pyomni.components.lm import DecoderLM

TYPES = ("f32", "f16", "bf16", "q8_0", "q5_k", "q4_k")
PANELS = ("q8_0", "q6_k", "q5_k", "q4_k", "q4_0", "iq4_nl")  # whose products take any number of rows
# Odd numbers of blocks and heads; rows of whole K blocks only for some; enough weights for several threads.
SIZES = {
    "hidden": 352,
    "ff": 768,
    "heads": 6,
    "kv_heads": 2,
    "head_dim": 96,
    "layers": 3,
    "codebook_size": 200,
}
SIZES |= {"cp_hidden": 512, "cp_ff": 1056, "cp_heads": 4, "cp_kv_heads": 4, "cp_head_dim": 64, "cp_layers": 2}
SIZES |= {"n_groups": 16}
# What roundings of the rows to 8 bits or to halves may move once sums are taken in another order.
BOUND = {"f32": 2e-5, "f16": 4e-3, "bf16": 3e-2, "q8_0": 3e-2, "q5_k": 3e-2, "q4_k": 3e-2}


class Pair(NamedTuple):
    """Two sessions of a model: as one node, and as ggml's nodes."""

    node: DecoderLM
    twin: DecoderLM


def pair(model: Model, n_lanes: int, kv: str = "f32") -> Pair:
    both = Pair(DecoderLM(model, 100, n_lanes, kv), DecoderLM(model, 100, n_lanes, kv))
    both.twin.session.tap("hidden")
    return both


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stack")
    return {kind: tiny_gguf(folder / f"{kind}.gguf", kind, **SIZES) for kind in TYPES}


def open_model(path: Path, component: str, threads: int = 1) -> Model:
    return Model(Device("cpu", threads), path, component)


def rows(model: Model, n_lanes: int, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_lanes, n, model.info.n_embd)).astype(np.float32)


def off(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("component", ["talker", "code_predictor"])
def test_a_step_is_its_twin(paths: dict[str, Path], kind: str, component: str) -> None:
    model = open_model(paths[kind], component)
    kv = "f16" if kind == "f16" else "f32"
    sessions = pair(model, 2, kv)
    for n, seed in ((2, 0), (1, 1), (4, 2), (1, 3)):
        given = rows(model, 2, n, seed)
        got, expected = (s.decode(given) for s in sessions)
        assert off(got.hidden, expected.hidden) < BOUND[kind], (n, seed)
        assert off(got.logits, expected.logits) < BOUND[kind], (n, seed)


@pytest.mark.parametrize("kind", ["bf16", "q8_0", "q5_k", "q4_k"])
@pytest.mark.parametrize("component", ["talker", "code_predictor"])
def test_most_rows_of_a_layer_agree_to_float32(tmp_path: Path, kind: str, component: str) -> None:
    # now and then a rounding of a row falls to the other side, which the bounds above allow for; a kernel
    # that takes a weight for another is off in every row
    sizes = {**SIZES, "hidden": 512, "layers": 1, "cp_layers": 1}
    model = open_model(tiny_gguf(tmp_path / "one.gguf", kind, **sizes), component)
    sessions = pair(model, 1)
    found = []
    for seed in range(15):
        got, expected = (s.decode(rows(model, 1, 1, seed)) for s in sessions)
        found.append(max(off(got.hidden, expected.hidden), off(got.logits, expected.logits)))
    assert np.median(found) < 2e-6, found


def test_a_long_context_is_its_twin(paths: dict[str, Path]) -> None:
    model = open_model(paths["f32"], "talker")
    sessions = pair(model, 1)
    for s in sessions:
        s.decode(rows(model, 1, 62, 0))
    for k in range(6):  # over the end of a KV block
        got, expected = (s.decode(rows(model, 1, 1, k)) for s in sessions)
        assert off(got.hidden, expected.hidden) < BOUND["f32"]


@pytest.fixture(scope="module")
def whole_blocks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Rows of whole K blocks, so that every type keeps its own."""
    folder = tmp_path_factory.mktemp("many")
    sizes = {**SIZES, "hidden": 512, "head_dim": 128, "layers": 2, "cp_ff": 768, "cp_layers": 1}
    return {kind: tiny_gguf(folder / f"{kind}.gguf", kind, **sizes) for kind in PANELS}


@pytest.mark.parametrize("kind", PANELS)
def test_many_rows_are_their_twin(whole_blocks: dict[str, Path], kind: str) -> None:
    for component, n in (("talker", 70), ("code_predictor", 9)):
        model = open_model(whole_blocks[kind], component, 2)
        node, twin = pair(model, 2, "f16")
        given = rows(model, 2, n, 0)
        got, expected = node.decode(given), twin.decode(given)
        assert off(got.hidden, expected.hidden) < 3e-2
        got, expected = node.decode(given[:, :3]), twin.decode(given[:, :3])
        assert off(got.logits, expected.logits) < 3e-2


@pytest.mark.parametrize("kind", PANELS)
def test_no_row_knows_how_many_they_are(whole_blocks: dict[str, Path], kind: str) -> None:
    expected = None
    # whole, in parts of many and of few rows, and one by one; the last row's place is over a KV block's end
    for threads, cuts in (
        (1, [70]),
        (3, [70]),
        (2, [33, 37]),
        (1, [1, 64, 5]),
        (2, [3, 62, 4, 1]),
        (1, [1] * 70),
    ):
        model = open_model(whole_blocks[kind], "talker", threads)
        lm, given, at = DecoderLM(model, 100), rows(model, 1, 70, 3), 0
        for n in cuts:
            step = lm.decode(given[:, at : at + n])
            at += n
        found = (step.logits.tobytes(), step.hidden.tobytes(), lm.save())
        expected = expected or found
        assert found == expected, (threads, cuts)


@pytest.mark.parametrize("kind", ["f32", "q8_0", "q4_k"])
def test_no_row_knows_lanes_or_threads(paths: dict[str, Path], kind: str) -> None:
    expected = None
    for threads in (1, 2, 3):
        model = open_model(paths[kind], "talker", threads)
        for n_lanes in (1, 2, 3, 4, 6):
            lm = DecoderLM(model, 100, n_lanes)
            given = [rows(model, 1, 1, k).repeat(n_lanes, 0) for k in range(3)]
            for k in range(3):
                given[k][1:] = rows(model, n_lanes, 1, 100 + k)[1:]  # the first lane's stay the same
            logits = [lm.decode(g).logits[0] for g in given]
            expected = expected or logits
            assert all(np.array_equal(a, b) for a, b in zip(logits, expected, strict=True)), (
                threads,
                n_lanes,
            )


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_frame_is_its_twin_and_its_steps(paths: dict[str, Path], temperature: float) -> None:
    model = open_model(paths["f32"], "code_predictor", 2)
    node, twin = pair(model, 3)
    draws = np.random.default_rng(5).random((3, model.info.n_groups - 1))
    how = {"temperature": temperature, "top_k": 20, "top_p": 0.9}
    for seed in range(4):
        hidden = rows(model, 3, 1, seed)[:, 0]
        given = how if temperature == 0.0 else {**how, "uniforms": draws}
        codes, sums = node.groups(hidden, [1, 2, 3], **given)
        expected, expected_sums = twin.groups(hidden, [1, 2, 3], **given)
        np.testing.assert_array_equal(codes, expected)
        assert off(sums, expected_sums) < 1e-6


@pytest.mark.parametrize("kind", TYPES)
def test_each_row_through_each_head_is_what_it_is_alone(paths: dict[str, Path], kind: str) -> None:
    model = open_model(paths[kind], "code_predictor", 2)
    node, twin = pair(model, 2)
    for n, head, n_heads in ((2, 0, 3), (4, 12, 3), (20, 4, 2)):
        given = rows(model, 1, n, n)[0]
        got, expected = (s.each(given, lane=1, head=head, n_heads=n_heads) for s in (node, twin))
        assert got.shape == (n, n_heads, model.info.n_vocab)
        assert off(got, expected) < BOUND[kind], (n, head)
        if n > 4:  # attention over many rows sums in another order
            continue
        node.rewind(1, node.n_past(1) - n)
        for i in range(n):  # the last head row by row, and the first of the last row
            alone = node.decode(given[i][None, None], lanes=[1], head=head + n_heads - 1).logits[0]
            assert np.array_equal(got[i, -1], alone), (n, head, i)
        node.rewind(1, node.n_past(1) - 1)
        alone = node.decode(given[-1][None, None], lanes=[1], head=head).logits[0]
        assert np.array_equal(got[-1, 0], alone), (n, head)


@pytest.mark.parametrize("kind", ["f32", "q8_0", "q4_k"])
def test_a_frame_knows_no_lanes_or_threads(paths: dict[str, Path], kind: str) -> None:
    expected = None
    for threads in (1, 2, 3):
        model = open_model(paths[kind], "code_predictor", threads)
        hidden = rows(model, 9, 1, 7)[:, 0]
        for n_lanes in (1, 3, 4, 6, 9):  # of six, the first pass has many rows and the others few
            lm = DecoderLM(model, 20, n_lanes)
            ids = list(range(1, n_lanes + 1))
            codes, sums = lm.groups(hidden[:n_lanes], ids, temperature=0.0, top_k=0, top_p=1.0)
            expected = (codes[0], sums[0]) if expected is None else expected
            assert np.array_equal(codes[0], expected[0])
            assert np.array_equal(sums[0], expected[1])


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0"])
def test_a_head_is_the_product_of_its_weights(paths: dict[str, Path], kind: str) -> None:
    model = open_model(paths[kind], "talker")
    step = DecoderLM(model, 100, 3).decode(rows(model, 3, 1, 11))
    stored = next(t for t in gguf.GGUFReader(paths[kind]).tensors if t.name == "talker.codec_head.weight")
    weights = gguf.dequantize(stored.data, stored.tensor_type).astype(np.float64)  # [n_vocab, n_embd]
    hidden = step.hidden.astype(np.float64)
    if kind == "f16":
        hidden = hidden.astype(np.float16).astype(np.float64)
    elif kind == "bf16":
        bits = step.hidden.view(np.uint32)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        hidden = bits.view(np.float32).astype(np.float64)
    elif kind == "q8_0":
        blocks = step.hidden.reshape(3, -1, 32)
        most = np.abs(blocks).max(-1, keepdims=True)
        numbers = np.rint(blocks * (np.float32(127) / most))
        hidden = (numbers * (most / np.float32(127)).astype(np.float16).astype(np.float64)).reshape(3, -1)
    expected = hidden @ weights.T
    assert off(step.logits, expected) < 2e-6


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant(variant: str) -> None:
    run_again(__file__, variant)
