"""Qwen3-Omni's vision encoder, `Qwen3OmniMoeVisionEncoder`: sizes, GGUF keys and tensors.

What is done to pictures before the network is part of it: a checkpoint's `preprocessor_config.json` says how
an image is normalised and how large it may be. How large a frame of a video may be, and the constants named
below, are in the official code and in no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, copy
from pyomni.convert.writer import Value
from pyomni.errors import UnsupportedModel

__all__ = ["OmniVision"]

LAYER_NORM_EPS = 1e-6  # Qwen3OmniMoeVisionBlock, Qwen3OmniMoeVisionPatchMerger
ROPE_THETA = 10000.0  # Qwen3OmniMoeVisionRotaryEmbedding
RESCALE = 1 / 255
# Qwen3OmniMoeProcessorKwargs: pixels of a frame of a video, whatever the size of a patch
VIDEO_MIN_PIXELS, VIDEO_MAX_PIXELS = 128 * 32 * 32, 768 * 32 * 32
# the official defaults of what a file need not say
EXPECTED = {
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_convert_rgb": True,
    "resample": 3,  # bicubic
}


@dataclass(frozen=True)
class OmniVision:
    """Sizes of the vision encoder and what its pictures go through first."""

    n_layer: int
    n_embd: int
    n_head: int
    n_ff: int
    n_embd_out: int
    n_channels: int
    patch_size: int
    temporal_patch: int
    merge: int
    grid_side: int  # the position table is a square
    deepstack: tuple[int, ...]  # blocks, counted from 0, after which further rows are taken
    mean: tuple[float, ...]
    std: tuple[float, ...]
    min_pixels: int
    max_pixels: int

    @classmethod
    def read(cls, config: Config, preprocessor: Config) -> OmniVision:
        """Sizes from a whole `config.json` and `preprocessor_config.json`.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        c = config.sub("thinker_config").sub("vision_config")
        _expect(c, "hidden_act", c.text("hidden_act"), "gelu_pytorch_tanh")
        _expect(c, "apply_vit_abs_pos_embed", c.flag("apply_vit_abs_pos_embed", True), True)
        n_places = c.whole("num_position_embeddings")
        size = preprocessor.sub("size", {})
        sizes = cls(
            n_layer=c.whole("depth", high=1024),
            n_embd=c.whole("hidden_size"),
            n_head=c.whole("num_heads"),
            n_ff=c.whole("intermediate_size"),
            n_embd_out=c.whole("out_hidden_size"),
            n_channels=c.whole("in_channels", low=3, high=3),
            patch_size=c.whole("patch_size", high=1024),
            temporal_patch=c.whole("temporal_patch_size", high=1024),
            merge=c.whole("spatial_merge_size", high=1024),
            grid_side=isqrt(n_places),
            deepstack=_indexes(c),
            mean=_numbers(preprocessor, "image_mean", -1e3),
            std=_numbers(preprocessor, "image_std", 1e-6),
            min_pixels=preprocessor.whole("min_pixels", size.values.get("shortest_edge")),
            max_pixels=preprocessor.whole("max_pixels", size.values.get("longest_edge")),
        )
        if sizes.grid_side**2 != n_places:
            raise c.fail("num_position_embeddings", "a square number")
        if sizes.n_embd % (4 * sizes.n_head):
            raise c.fail("hidden_size", f"a multiple of four times num_heads, {4 * sizes.n_head}")
        given = config.sub("thinker_config").sub("text_config").whole("hidden_size")
        if sizes.n_embd_out != given:
            raise c.fail("out_hidden_size", f"the thinker's hidden_size, {given}")
        if sizes.min_pixels > sizes.max_pixels:
            raise preprocessor.fail("min_pixels", f"at most max_pixels, {sizes.max_pixels}")
        same = ("patch_size", sizes.patch_size), ("temporal_patch_size", sizes.temporal_patch)
        for key, value in (*same, ("merge_size", sizes.merge)):
            if preprocessor.whole(key) != value:
                raise preprocessor.fail(key, f"vision_config's, {value}")
        for key, expected in EXPECTED.items():
            _expect(preprocessor, key, preprocessor.values.get(key, expected), expected)
        factor = preprocessor.number("rescale_factor", RESCALE)
        if abs(factor - RESCALE) > 1e-9:
            raise UnsupportedModel(f"{preprocessor.path}: rescale_factor is {factor}, expected 1/255")
        return sizes

    @property
    def n_patch(self) -> int:
        """Numbers of a patch: channel, frame, row, column."""
        return self.n_channels * self.temporal_patch * self.patch_size**2

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        s = "vision_encoder."
        keys: dict[str, Value] = {
            s + "n_layer": self.n_layer,
            s + "n_embd": self.n_embd,
            s + "n_head": self.n_head,
            s + "head_dim": self.n_embd // self.n_head,
            s + "n_ff": self.n_ff,
            s + "n_embd_out": self.n_embd_out,
            s + "layer_norm_eps": LAYER_NORM_EPS,
            s + "rope_theta": ROPE_THETA,
            s + "n_channels": self.n_channels,
            s + "patch_size": self.patch_size,
            s + "temporal_patch": self.temporal_patch,
            s + "merge": self.merge,
            s + "grid_side": self.grid_side,
            s + "n_deepstack": len(self.deepstack),
            s + "deepstack": [i + 1 for i in self.deepstack],
            s + "image.mean": list(self.mean),
            s + "image.std": list(self.std),
            s + "image.min_pixels": self.min_pixels,
            s + "image.max_pixels": self.max_pixels,
            s + "video.min_pixels": VIDEO_MIN_PIXELS,
            s + "video.max_pixels": VIDEO_MAX_PIXELS,
        }
        return keys

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        o, s, n = "vision_encoder.", "thinker.visual.", self.n_embd
        patch = (n, self.n_channels, self.temporal_patch, self.patch_size, self.patch_size)
        planned = [
            copy(o + "patch_embd.weight", s + "patch_embed.proj.weight", patch, out=(n, self.n_patch)),
            copy(o + "patch_embd.bias", s + "patch_embed.proj.bias", (n,)),
            copy(o + "pos_embd.weight", s + "pos_embed.weight", (self.grid_side**2, n)),
        ]
        for i in range(self.n_layer):
            b, t = f"{o}blk.{i}.", f"{s}blocks.{i}."
            planned += _norm(b + "attn_norm", t + "norm1", n)
            planned += _matrix(b + "attn_qkv", t + "attn.qkv", 3 * n, n)
            planned += _matrix(b + "attn_output", t + "attn.proj", n, n)
            planned += _norm(b + "ffn_norm", t + "norm2", n)
            planned += _matrix(b + "ffn_up", t + "mlp.linear_fc1", self.n_ff, n)
            planned += _matrix(b + "ffn_down", t + "mlp.linear_fc2", n, self.n_ff)
        wide = self.merge**2 * n
        mergers = [("merger", "merger", n)]
        mergers += [(f"deepstack.{j}", f"merger_list.{j}", wide) for j in range(len(self.deepstack))]
        for name, source, n_norm in mergers:
            planned += _norm(f"{o}{name}.norm", f"{s}{source}.ln_q", n_norm)
            planned += _matrix(f"{o}{name}.fc1", f"{s}{source}.mlp.0", wide, wide)
            planned += _matrix(f"{o}{name}.fc2", f"{s}{source}.mlp.2", self.n_embd_out, wide)
        return planned


def _matrix(name: str, source: str, n_out: int, n_in: int) -> list[Planned]:
    return [
        copy(f"{name}.weight", f"{source}.weight", (n_out, n_in)),
        copy(f"{name}.bias", f"{source}.bias", (n_out,)),
    ]


def _norm(name: str, source: str, n: int) -> list[Planned]:
    return [copy(f"{name}.{part}", f"{source}.{part}", (n,)) for part in ("weight", "bias")]


def _indexes(c: Config) -> tuple[int, ...]:
    """`deepstack_visual_indexes`: ascending block numbers, perhaps none."""
    key, depth = "deepstack_visual_indexes", c.whole("depth", high=1024)
    found = c.values.get(key)
    whole = isinstance(found, list) and all(type(i) is int and 0 <= i < depth for i in found)
    if isinstance(found, list) and whole and sorted(set(found)) == found:
        return tuple(found)
    raise c.fail(key, f"ascending block numbers from 0 to {depth - 1}")


def _numbers(c: Config, key: str, low: float) -> tuple[float, ...]:
    found = c.values.get(key)
    within = isinstance(found, list) and all(type(v) in (int, float) and low <= v <= 1e3 for v in found)
    if isinstance(found, list) and within and len(found) == 3:
        return tuple(float(v) for v in found)
    raise c.fail(key, f"three numbers from {low:g} to 1000")


def _expect(c: Config, key: str, found: object, expected: object) -> None:
    if found != expected:
        where = f"{c.where}.{key}" if c.where else key
        raise UnsupportedModel(f"{c.path}: {where} is {found!r}, expected {expected!r}")
