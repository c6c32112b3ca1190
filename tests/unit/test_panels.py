"""Products with quantised weights: for any number of rows, on any instruction set, the same bits.

The text projection is such a product and can be asked for rows at will; its weights are drawn here, block by
block.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import gguf
import numpy as np
import pytest
from mutate import rewrite
from tiny import tiny_gguf
from variants import by_variant

from pyomni._binding import Device, Model
from pyomni.components.lm import TEXT, DecoderLM

TYPES = ("Q8_0", "Q4_0", "IQ4_NL", "Q4_K", "Q5_K", "Q6_K")
# Where a unit holds its halves, which must stay numbers of a sensible size.
HALVES = {"Q8_0": (0,), "Q4_0": (0,), "IQ4_NL": (0,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}
# More numbers than are unpacked at once, and outputs that fill no panel.
SIZES = {"text_hidden": 1280, "hidden": 100, "layers": 1, "cp_layers": 1}
COUNTS = (1, 2, 3, 4, 13, 41)
PROJECTION = ("talker.text_proj.fc1.weight", "talker.text_proj.fc2.weight")


def blocks(kind: str, old: np.ndarray, *, scale: float, seed: int) -> np.ndarray:
    """Random weights of a type, in the shape of ``old``."""
    rng = np.random.default_rng(seed)
    unit, n_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    n_rows, n_in = old.shape
    raw = rng.integers(0, 256, (n_rows, n_in // unit, n_bytes), np.uint8)
    for at in HALVES[kind]:
        halves = (rng.uniform(0.5, 1, raw.shape[:2]) * scale).astype(np.float16)
        raw[..., at : at + 2] = halves[..., None].view(np.uint8)
    return raw.reshape(n_rows, -1)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("panels")
    plain = tiny_gguf(folder / "plain.gguf", "f32", **SIZES)
    found = {}
    for kind in TYPES:
        scale = 2e-4 if kind in ("Q8_0", "IQ4_NL", "Q5_K", "Q4_K") else 2e-3 if kind == "Q4_0" else 2e-5
        tensors = {
            name: partial(blocks, kind, scale=scale, seed=seed) for seed, name in enumerate(PROJECTION)
        }
        types = dict.fromkeys(PROJECTION, gguf.GGMLQuantizationType[kind])
        found[kind] = rewrite(plain, folder / f"{kind}.gguf", tensors=tensors, types=types)
    return found


def projected(path: Path, threads: int, n: int, tap: str | None = None) -> np.ndarray:
    lm = DecoderLM(Model(Device("cpu", threads), path, "talker"), 8)
    if tap:
        lm.session.tap(tap)
    return lm.embed(TEXT, np.arange(n) * 7 % 200)


@pytest.mark.parametrize("kind", TYPES)
def test_rows_do_not_know_how_many_they_are(paths: dict[str, Path], kind: str) -> None:
    whole = projected(paths[kind], 2, max(COUNTS))
    assert np.isfinite(whole).all()
    assert len({row.tobytes() for row in whole}) == len(whole)
    for n in COUNTS:
        assert np.array_equal(projected(paths[kind], 1 + n % 3, n), whole[:n]), n


@pytest.mark.parametrize("kind", TYPES)
def test_they_are_the_products_of_the_weights(paths: dict[str, Path], kind: str) -> None:
    tensors = {t.name: t for t in gguf.GGUFReader(paths[kind]).tensors}

    def numbers(name: str) -> np.ndarray:
        t = tensors["talker." + name]
        return gguf.dequantize(t.data, t.tensor_type).astype(np.float64)

    x = numbers("text_embd.weight")[np.arange(41) * 7 % 200]
    hidden = x @ numbers("text_proj.fc1.weight").T + numbers("text_proj.fc1.bias")
    hidden /= 1 + np.exp(-hidden)
    expected = hidden @ numbers("text_proj.fc2.weight").T + numbers("text_proj.fc2.bias")
    got = projected(paths[kind], 1, 41)
    assert np.abs(got - expected).max() < 2e-2 * np.abs(expected).max()  # rows are rounded to 8 bits, twice


@pytest.mark.parametrize("kind", TYPES)
def test_ggml_says_the_same(paths: dict[str, Path], kind: str) -> None:
    # with a tap the chain of ggml's nodes is kept: the same roundings, and sums in another order
    got, expected = (projected(paths[kind], 1, 41, tap) for tap in (None, "hidden"))
    assert not np.array_equal(got, expected)
    assert np.median(np.abs(got - expected)) < 1e-5 * np.abs(expected).max()


CHILD = """
import hashlib, json, sys
import numpy as np
from pyomni._binding import Device, Model
from pyomni.components.lm import TEXT, DecoderLM

found = {}
for kind, path in json.loads(sys.argv[1]).items():
    lm = DecoderLM(Model(Device("cpu", 1), path, "talker"), 8)
    rows = [lm.embed(TEXT, np.arange(n) * 7 % 200) for n in json.loads(sys.argv[2])]
    found[kind] = hashlib.sha256(b"".join(r.tobytes() for r in rows)).hexdigest()
print(json.dumps(found))
"""


def test_every_instruction_set_gives_the_bits_of_the_scalar_twin(paths: dict[str, Path]) -> None:
    given = [json.dumps({k: str(p) for k, p in paths.items()}), json.dumps(COUNTS)]
    found = by_variant(CHILD, given)
    assert set(found["scalar"]) == set(TYPES)
    assert all(each == found["scalar"] for each in found.values()), found
