"""What an input beyond the range of f16 does to the code predictor, by the type of its `ffn_down`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny import tiny_checkpoint

from pyomni._binding import Device, Model
from pyomni.components.lm import DecoderLM
from pyomni.convert import convert
from pyomni.quantize import quantize_files

CHANNEL, LARGE = 7, 3e5  # so many times the input of one channel, and its column so many times less


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with one large channel in each MLP of the code predictor, which is exactly undone."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("wide") / "hf", hidden=256, ff=1024)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    layers = sorted(
        {name.split(".mlp.")[0] for name in tensors if "code_predictor" in name and ".mlp." in name}
    )
    assert layers
    for layer in layers:
        gate, up, down = (tensors[f"{layer}.mlp.{part}_proj.weight"] for part in ("gate", "up", "down"))
        gate[CHANNEL] *= LARGE**0.5  # SiLU of much is as much, or nothing
        up[CHANNEL] *= LARGE**0.5
        down[:, CHANNEL] /= LARGE
    save_file(tensors, path)
    return folder


def logits(path: Path) -> np.ndarray:
    """Of the first group, and they are numbers."""
    with Device("cpu", 1) as device, Model(device, str(path), "code_predictor") as model:
        lm = DecoderLM(model, 8)
        rows = np.random.default_rng(0).standard_normal((2, model.info.n_embd)).astype(np.float32)
        found = lm.decode(rows, head=0).logits[0]
    assert np.isfinite(found).all()
    return found


def test_types_of_the_policy_hold_it(wide: Path, tmp_path: Path) -> None:
    exact = logits(convert(wide, tmp_path / "f32.gguf", "f32"))
    size = np.linalg.norm(exact)
    apart = {
        kind: np.linalg.norm(logits(convert(wide, tmp_path / f"{kind}.gguf", kind)) - exact) / size
        for kind in ("f16", "bf16", "q8_0", "q4_k")
    }
    assert all(0 < far < 0.03 for far in apart.values()), apart
    [blocks] = quantize_files(
        tmp_path / "f32.gguf",
        tmp_path / "blocks.gguf",
        "q8_0",
        tensor_types=[("code_predictor.*.ffn_down.weight", "q8_0")],
    )
    lost = np.linalg.norm(logits(blocks) - exact) / size
    assert 2 * apart["q8_0"] < lost < 0.5, (lost, apart)  # numbers still, but why the policy says bf16
