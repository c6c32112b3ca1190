"""Sizes of random Qwen3-Omni checkpoints, real and toy, by network.

Constants inside the official classes bound what a toy shape may be:

- the talker's vocabulary is the codes of a group plus 1024, because generation suppresses its last 1024 ids;
- the code predictor is as wide as the talker;
- an audio window is 50 frames: the official length formula has 100 frames and 13 rows built in;
- a vision head is a multiple of 4 wide, for two rotary axes; the position table is a square;
- ``decoder_dim`` halves in every wave block: a multiple of 2 to the number of blocks;
- ``accept_hidden_layer`` lies above the layers that deepstack changes, whose captured rows 4.57 changes in
  place, and below the last layer, whose captured row it norms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyomni.errors import ArgumentError

__all__ = ["OMNI_SCALES", "OmniDims", "omni_dims"]

OmniDims = dict[str, dict[str, Any]]

# fmt: off
REAL: OmniDims = {
    # vocab 0: as many rows as the vocabulary has ids
    "thinker": {"compact_vocab": False, "vocab": 152064, "hidden": 2048, "layers": 48, "heads": 32,
                "kv_heads": 4, "head_dim": 128, "experts": 128, "experts_used": 8, "expert_ff": 768,
                "accept": 24},
    "audio": {"hidden": 1280, "layers": 32, "heads": 20, "ff": 5120, "conv": 480, "mels": 128, "window": 50,
              "window_infer": 800, "positions": 1500},
    "vision": {"hidden": 1152, "layers": 27, "heads": 16, "ff": 4304, "grid": 48, "deepstack": (8, 16, 24),
               "patch": 16, "temporal": 2, "merge": 2},
    "talker": {"hidden": 1024, "layers": 20, "heads": 16, "kv_heads": 2, "head_dim": 128, "experts": 128,
               "experts_used": 6, "expert_ff": 384, "shared_ff": 768, "resize_ff": 2048, "codes": 2048,
               "groups": 16},
    "predictor": {"layers": 5, "heads": 16, "kv_heads": 8, "head_dim": 128, "ff": 3072},
    "code2wav": {"hidden": 1024, "layers": 8, "heads": 16, "ff": 3072, "window": 72, "decoder": 1536,
                 "rates": (8, 5, 4, 3), "ratios": (2, 2)},
}
TINY: OmniDims = {
    "thinker": {"compact_vocab": True, "vocab": 0, "hidden": 64, "layers": 4, "heads": 4, "kv_heads": 2,
                "head_dim": 32, "experts": 8, "experts_used": 2, "expert_ff": 32, "accept": 3},
    "audio": {"hidden": 64, "layers": 2, "heads": 4, "ff": 128, "conv": 8},
    "vision": {"hidden": 72, "layers": 4, "heads": 3, "ff": 104, "grid": 12, "deepstack": (1, 2)},
    "talker": {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 1, "head_dim": 32, "experts": 6,
               "experts_used": 3, "expert_ff": 32, "shared_ff": 64, "resize_ff": 96, "codes": 64},
    "predictor": {"layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 32, "ff": 128},
    "code2wav": {"hidden": 64, "layers": 2, "heads": 4, "ff": 128, "decoder": 64},
}
SMALL: OmniDims = {
    "thinker": {"compact_vocab": False, "vocab": 152064, "hidden": 256, "layers": 8, "heads": 8,
                "kv_heads": 2, "head_dim": 64, "experts": 32, "experts_used": 4, "expert_ff": 256,
                "accept": 5},
    "audio": {"hidden": 256, "layers": 6, "heads": 4, "ff": 1024, "conv": 64},
    "vision": {"hidden": 288, "layers": 8, "heads": 4, "ff": 1072, "deepstack": (2, 4, 6)},
    "talker": {"hidden": 256, "layers": 6, "heads": 6, "kv_heads": 2, "head_dim": 64, "experts": 16,
               "experts_used": 4, "expert_ff": 96, "shared_ff": 256, "resize_ff": 512},
    "predictor": {"layers": 4, "heads": 4, "kv_heads": 2, "head_dim": 64, "ff": 768},
    "code2wav": {"hidden": 256, "layers": 4, "heads": 4, "ff": 768, "decoder": 256},
}
# fmt: on
OMNI_SCALES: dict[str, OmniDims] = {
    name: {network: {**sizes, **scale.get(network, {})} for network, sizes in REAL.items()}
    for name, scale in (("tiny", TINY), ("small", SMALL), ("30b", {}))
}


def omni_dims(scale: str = "tiny", changes: Mapping[str, Any] | None = None) -> OmniDims:
    """Sizes of a checkpoint.

    Parameters
    ----------
    scale : a key of `OMNI_SCALES`
    changes : sizes that differ, by ``"network.size"``: ``{"thinker.layers": 6}``

    Raises
    ------
    ArgumentError
        An unknown scale or size, or sizes that the official code cannot run.
    """
    if scale not in OMNI_SCALES:
        raise ArgumentError(f"scale {scale!r} is unknown, expected one of {', '.join(OMNI_SCALES)}")
    d = {network: dict(sizes) for network, sizes in OMNI_SCALES[scale].items()}
    for name, value in (changes or {}).items():
        network, _, size = name.partition(".")
        if size not in d.get(network, {}):
            known = ", ".join(f"{network}.{size}" for network, sizes in d.items() for size in sizes)
            raise ArgumentError(f"size {name!r} is unknown, expected one of {known}")
        # one number in place of a list: what a command line makes of "8"
        d[network][size] = (value,) if isinstance(d[network][size], tuple) and type(value) is int else value
    _check(d)
    return d


def _check(d: OmniDims) -> None:
    t, v, a, k, c = d["thinker"], d["vision"], d["audio"], d["talker"], d["code2wav"]
    for holds, text in (
        (len(v["deepstack"]) < t["accept"] < t["layers"], "deepstack layers < accept < thinker.layers"),
        (max(v["deepstack"], default=-1) < v["layers"], "vision.deepstack below vision.layers"),
        (a["window"] == 50, "audio.window of 50"),
        (a["hidden"] % (2 * a["heads"]) == 0, "audio.hidden a multiple of twice audio.heads"),
        (v["hidden"] % (4 * v["heads"]) == 0, "vision.hidden a multiple of four times vision.heads"),
        (t["experts_used"] <= t["experts"], "thinker.experts_used at most thinker.experts"),
        (k["experts_used"] <= k["experts"], "talker.experts_used at most talker.experts"),
        (c["decoder"] % 2 ** len(c["rates"]) == 0, "code2wav.decoder a multiple of 2 to the number of rates"),
    ):
        if not holds:
            raise ArgumentError(f"these sizes do not fit together, expected {text}")
