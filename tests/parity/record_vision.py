"""Record what the official vision encoder does with the toys of `vision.py`.

    python tests/parity/record_vision.py [OUT]

Needs torch and transformers 4.57. Writes ``vision_*.npz`` into OUT, by default the committed
``tests/parity/recorded``. Arrays, for a grid of t frames of h rows and w columns:

| array | shape | what |
|---|---|---|
| ``weights_sha256`` | [] | hash of the weights both sides make from the seed |
| ``rows.{t}x{h}x{w}`` | [1 + n_deepstack, t * h * w / 4, n_out] | merged rows, then deepstack |
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from parity import recordings
from safetensors.torch import load_file
from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeConfig
from transformers.models.qwen3_omni_moe.modeling_qwen3_omni_moe import Qwen3OmniMoeVisionEncoder

from pyomni.verify import toy_vision as vision

Arrays = dict[str, np.ndarray]
PREFIX = "thinker.visual."


def official(name: str) -> Qwen3OmniMoeVisionEncoder:
    """Return the official encoder with a case's weights, in float32."""
    torch.set_num_threads(1)
    config = Qwen3OmniMoeConfig.from_pretrained(vision.folder(name)).thinker_config.vision_config
    config._attn_implementation = "eager"
    model = Qwen3OmniMoeVisionEncoder(config).float().eval()
    weights = load_file(vision.folder(name) / "model.safetensors")
    own = {k.removeprefix(PREFIX): v.float() for k, v in weights.items() if k.startswith(PREFIX)}
    model.load_state_dict(own, strict=True)
    return model


def record(name: str) -> Arrays:
    """Return the arrays of a case."""
    out: Arrays = {"weights_sha256": np.array(vision.weights_hash(name))}
    model = official(name)
    for grid in vision.CASES[name].grids:
        with torch.no_grad():
            rows, further = model(torch.from_numpy(vision.patches(name, grid)), torch.tensor([grid]))
        out[f"rows.{vision.text_of(grid)}"] = torch.stack([rows, *further]).numpy()
    return out


def main() -> None:
    """Write the recordings."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for name in vision.CASES:
        recordings.store(name, record(name), folder)


if __name__ == "__main__":
    main()
