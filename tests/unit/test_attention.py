"""Attention over a cache: of every type, wherever work is cut, with every instruction set of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_gguf
from variants import VARIANTS, by_variant

from pyomni._binding import Device, Model
from pyomni.components.lm import DecoderLM

KVS = ("f32", "f16", "q8_0")
# Of the whole hidden row: what rounding keys, values and queries to the cache's type may move.
BOUND = {"f32": 2e-5, "f16": 4e-3, "q8_0": 3e-2}
# Heads, those of keys, their size: groups of one, of two, of an odd number, and of more than a tile takes.
HEADS = ((4, 4, 64), (4, 2, 128), (6, 2, 96), (5, 1, 32), (18, 2, 32))
LATE = 330  # rows: more than two blocks of positions, so that threads share them, and no whole blocks


def toy(path: Path, kind: str, heads: tuple[int, int, int], hidden: int, ff: int) -> Path:
    n, n_kv, size = heads
    sizes = {"hidden": hidden, "ff": ff, "heads": n, "kv_heads": n_kv, "head_dim": size, "layers": 2}
    return tiny_gguf(path, kind, **sizes, codebook_size=200)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights whose products do not depend on the number of rows, enough of them for several threads."""
    return toy(tmp_path_factory.mktemp("attention") / "toy.gguf", "q8_0", (6, 2, 96), 512, 2048)


def rows(model: Model, n_lanes: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_lanes, n, model.info.n_embd)).astype(np.float32)


def off(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("kv", KVS)
@pytest.mark.parametrize("heads", HEADS)
def test_it_is_that_of_ggml(tmp_path: Path, heads: tuple[int, int, int], kv: str) -> None:
    model = Model(Device("cpu", 1), toy(tmp_path / "toy.gguf", "f32", heads, 128, 128), "talker")
    node, twin = (DecoderLM(model, 400, 1, kv) for _ in range(2))
    twin.session.tap("hidden")
    given, at = rows(model, 1, LATE), 0
    # one row and the next, all of a few, a block's end, one row late; weights in F32 go by a few rows
    for n in (1, 1, 3, 8, 8, 8, 8, 1):
        got, expected = (s.decode(given[:, at : at + n]) for s in (node, twin))
        assert off(got.hidden, expected.hidden) < BOUND[kv], at
        at += n
    for start in range(at, LATE - 3, 4):
        for s in (node, twin):
            s.decode(given[:, start : min(start + 4, LATE - 3)])
    for start in range(LATE - 3, LATE):
        got, expected = (s.decode(given[:, start : start + 1]) for s in (node, twin))
        assert off(got.hidden, expected.hidden) < BOUND[kv], start


@pytest.mark.parametrize("kv", KVS)
def test_no_row_knows_threads_cuts_or_lanes(quantised: Path, kv: str) -> None:
    expected = None
    for threads, n_lanes, cuts in (
        (1, 1, (LATE - 3, 1, 1, 1)),
        (2, 2, (70, LATE - 73, 2, 1)),
        (3, 2, (127, 2, 133, LATE - 265, 1, 2)),
        (5, 3, (LATE - 4, 1, 1, 1, 1)),
    ):
        model = Model(Device("cpu", threads), quantised, "talker")
        lm, at = DecoderLM(model, 400, n_lanes, kv), 0
        given = np.concatenate([rows(model, 1, LATE, k) for k in range(n_lanes)])
        for n in cuts:
            step = lm.decode(given[:, at : at + n])
            at += n
        found = (step.hidden[0].tobytes(), step.logits[0].tobytes(), lm.save(0))
        expected = expected or found
        assert found == expected, (threads, cuts)


def test_lanes_that_are_not_as_far_do_not_see_each_other(quantised: Path) -> None:
    for kv in KVS:
        model = Model(Device("cpu", 2), quantised, "talker")
        both, alone = DecoderLM(model, 400, 3, kv), DecoderLM(model, 400, 1, kv)
        far, near = rows(model, 1, LATE, 1), rows(model, 1, 20, 2)
        both.decode(far[:, :-1], lanes=[0])
        both.decode(near[:, :-1], lanes=[2])
        got = both.decode(np.concatenate([far[:, -1:], near[:, -1:]]), lanes=[0, 2])  # lane 1 sits out
        for i, given in enumerate((far, near)):
            alone.rewind(0, 0)
            alone.decode(given[:, :-1])
            assert np.array_equal(got.hidden[i], alone.decode(given[:, -1:]).hidden[0]), (kv, i)


@pytest.mark.parametrize("kv", KVS)
def test_what_is_no_number_stays_in_its_lane_until_it_is_written_over(quantised: Path, kv: str) -> None:
    model = Model(Device("cpu", 2), quantised, "talker")
    lm, clean = (DecoderLM(model, 400, 2, kv) for _ in range(2))
    given = rows(model, 2, LATE)
    expected = clean.decode(given[:, :-1]), clean.decode(given[:, -1:])
    lm.decode(given[:, :-2])
    bad = given[:, -2:-1].copy()
    bad[0] = np.nan
    first = lm.decode(bad)
    then = lm.decode(given[:, -1:])
    for step, right in zip((first, then), expected, strict=True):
        assert np.isnan(step.hidden[0]).all()
        assert np.array_equal(step.hidden[1], right.hidden[1])
    for lane in range(2):
        lm.rewind(lane, LATE - 2)
    lm.decode(given[:, -2:-1])
    assert np.array_equal(lm.decode(given[:, -1:]).hidden, expected[1].hidden)


CHILD = """
import hashlib, json, sys
import numpy as np
from pyomni._binding import Device, Model
from pyomni.components.lm import DecoderLM

path, kvs, late = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
model = Model(Device("cpu", 1), path, "talker")
given = np.random.default_rng(0).standard_normal((1, late, model.info.n_embd)).astype(np.float32)
found = {}
for kv in kvs:
    lm = DecoderLM(model, 400, 1, kv)
    cuts = (0, 5, 140, 141, late - 1, late)
    steps = [lm.decode(given[:, a:b]) for a, b in zip(cuts, cuts[1:])]
    bits = b"".join(s.hidden.tobytes() + s.logits.tobytes() for s in steps) + lm.save(0)
    found[kv] = hashlib.sha256(bits).hexdigest()
print(json.dumps(found))
"""


def test_every_instruction_set_gives_the_bits_of_the_scalar_twin(tmp_path: Path) -> None:
    # so do the other steps with such weights: panels, norms, exp
    path = toy(tmp_path / "toy.gguf", "q8_0", (5, 1, 96), 64, 64)
    found = by_variant(CHILD, [str(path), json.dumps(KVS), str(LATE)], VARIANTS)
    assert set(found["scalar"]) == set(KVS)
    assert all(each == found["scalar"] for each in found.values()), found
