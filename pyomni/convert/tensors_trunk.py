"""The streaming decoder behind a codec's front, from one latent row per frame to samples.

Window transformer, latent upsampling, wave decoder, as in `Qwen3TTSTokenizerV2Decoder` and
`Qwen3OmniMoeCode2Wav`; constants below that no configuration names are in the code of those classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, copy, relayout, snake, transposed
from pyomni.convert.tensors_talker import Stack
from pyomni.convert.writer import Value

__all__ = ["Trunk", "conv", "linear"]

DWCONV_KERNEL, CONV_KERNEL, RESIDUAL_KERNEL = 7, 7, 7
RESIDUAL_DILATIONS = (1, 3, 9)
CONVNEXT_EXPANSION = 4
LAYER_NORM_EPS = 1e-6


def conv(name: str, source: str, n_out: int, n_in: int, kernel: int, *, bias: bool = True) -> list[Planned]:
    """A convolution, weight and bias; one of kernel 1 becomes a plain matrix.

    PyTorch's ``[OC, IC, K]`` becomes ``[OC, K, IC]``: a tap's channels lie together, as in activations.
    """
    shape = (n_out, n_in, kernel)
    if kernel == 1:
        planned = [copy(f"{name}.weight", f"{source}.weight", shape, out=(n_out, n_in))]
    else:
        turned = (n_out, kernel, n_in)
        planned = [
            relayout(f"{name}.weight", f"{source}.weight", shape, turned, lambda w: w.transpose(0, 2, 1))
        ]
    return [*planned, copy(f"{name}.bias", f"{source}.bias", (n_out,))] if bias else planned


def linear(name: str, source: str, n_out: int, n_in: int) -> list[Planned]:
    """A matrix with bias."""
    return [
        copy(f"{name}.weight", f"{source}.weight", (n_out, n_in)),
        copy(f"{name}.bias", f"{source}.bias", (n_out,)),
    ]


@dataclass(frozen=True)
class Trunk:
    """Sizes of the trunk.

    Attributes
    ----------
    name : the component in the GGUF
    source : the module in the checkpoint
    latent_dim : width of the rows it takes
    projected : whether the transformer has a width of its own, between two projections
    """

    name: str
    source: str
    stack: Stack
    latent_dim: int
    projected: bool
    sample_rate: int
    decoder_dim: int
    window: int
    upsample_rates: tuple[int, ...]
    upsampling_ratios: tuple[int, ...]

    @classmethod
    def read(
        cls, c: Config, name: str, source: str, sample_rate: int, stack: Stack, latent_dim: int | None = None
    ) -> Trunk:
        """Sizes from a decoder's configuration; without `latent_dim` the transformer is as wide as the rows.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        sizes = cls(
            name=name,
            source=source,
            stack=stack,
            latent_dim=stack.n_embd if latent_dim is None else latent_dim,
            projected=latent_dim is not None,
            sample_rate=sample_rate,
            decoder_dim=c.whole("decoder_dim"),
            window=c.whole("sliding_window"),
            upsample_rates=tuple(c.wholes("upsample_rates")),
            upsampling_ratios=tuple(c.wholes("upsampling_ratios")),
        )
        if sizes.decoder_dim % (1 << len(sizes.upsample_rates)):
            raise c.fail(
                "decoder_dim", f"a multiple of {1 << len(sizes.upsample_rates)}: it halves in every block"
            )
        return sizes

    @property
    def hop(self) -> int:
        """PCM samples per frame."""
        return prod(self.upsample_rates) * prod(self.upsampling_ratios)

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        values: dict[str, Value] = {
            "sample_rate": self.sample_rate,
            "hop": self.hop,
            "decoder_dim": self.decoder_dim,
            "window": self.window,
            "upsample_rates": list(self.upsample_rates),
            "upsampling_ratios": list(self.upsampling_ratios),
            "residual_dilations": list(RESIDUAL_DILATIONS),
            "dwconv_kernel": DWCONV_KERNEL,
            "conv_kernel": CONV_KERNEL,
            "residual_kernel": RESIDUAL_KERNEL,
            "layer_norm_eps": LAYER_NORM_EPS,
        }
        if self.projected:
            values["latent_dim"] = self.latent_dim
        return self.stack.keys(self.name) | {f"{self.name}.{key}": value for key, value in values.items()}

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        return [*self._transformer(), *self._upsampling(), *self._wave()]

    def _transformer(self) -> list[Planned]:
        n_embd, latent = self.stack.n_embd, self.latent_dim
        t, planned = f"{self.source}.pre_transformer.", []
        if self.projected:
            planned += linear(f"{self.name}.input_proj", t + "input_proj", n_embd, latent)
        for i in range(self.stack.n_layer):
            o, s = f"{self.name}.blk.{i}.", f"{t}layers.{i}."
            planned += [
                copy(f"{o}attn_norm.weight", f"{s}input_layernorm.weight", (n_embd,)),
                *self.stack.attention(o, f"{s}self_attn."),
                copy(f"{o}attn_scale.weight", f"{s}self_attn_layer_scale.scale", (n_embd,)),
                copy(f"{o}ffn_norm.weight", f"{s}post_attention_layernorm.weight", (n_embd,)),
                *self.stack.mlp(o, f"{s}mlp."),
                copy(f"{o}ffn_scale.weight", f"{s}mlp_layer_scale.scale", (n_embd,)),
            ]
        planned.append(copy(f"{self.name}.output_norm.weight", t + "norm.weight", (n_embd,)))
        if self.projected:
            planned += linear(f"{self.name}.output_proj", t + "output_proj", latent, n_embd)
        return planned

    def _upsampling(self) -> list[Planned]:
        n, wide, planned = self.latent_dim, CONVNEXT_EXPANSION * self.latent_dim, []
        for i, ratio in enumerate(self.upsampling_ratios):
            o, s = f"{self.name}.up.{i}.", f"{self.source}.upsample.{i}."
            planned += [
                *transposed(o + "conv", s + "0.conv", n, n, ratio),
                relayout(
                    o + "dwconv.weight",
                    s + "1.dwconv.conv.weight",
                    (n, 1, DWCONV_KERNEL),
                    (DWCONV_KERNEL, n),
                    lambda w: w[:, 0].T,
                ),
                copy(o + "dwconv.bias", s + "1.dwconv.conv.bias", (n,)),
                copy(o + "norm.weight", s + "1.norm.weight", (n,)),
                copy(o + "norm.bias", s + "1.norm.bias", (n,)),
                *linear(o + "pw1", s + "1.pwconv1", wide, n),
                *linear(o + "pw2", s + "1.pwconv2", n, wide),
                copy(o + "gamma.weight", s + "1.gamma", (n,)),
            ]
        return planned

    def _wave(self) -> list[Planned]:
        d, n_blocks = f"{self.source}.decoder.", len(self.upsample_rates)
        planned = conv(f"{self.name}.conv_in", d + "0.conv", self.decoder_dim, self.latent_dim, CONV_KERNEL)
        for i, rate in enumerate(self.upsample_rates):
            n_in, n_out = self.decoder_dim >> i, self.decoder_dim >> (i + 1)
            o, s = f"{self.name}.wave.{i}.", f"{d}{i + 1}.block."
            planned += [
                *snake(o + "snake", s + "0", n_in),
                *transposed(o + "conv", s + "1.conv", n_in, n_out, 2 * rate),
            ]
            for j in range(len(RESIDUAL_DILATIONS)):
                r, u = f"{o}res.{j}.", f"{s}{j + 2}."
                planned += [
                    *snake(r + "snake1", u + "act1", n_out),
                    *conv(r + "conv1", u + "conv1.conv", n_out, n_out, RESIDUAL_KERNEL),
                    *snake(r + "snake2", u + "act2", n_out),
                    *conv(r + "conv2", u + "conv2.conv", n_out, n_out, 1),
                ]
        last = self.decoder_dim >> n_blocks
        planned += snake(f"{self.name}.snake_out", f"{d}{n_blocks + 1}", last)
        return planned + conv(f"{self.name}.conv_out", f"{d}{n_blocks + 2}.conv", 1, last, CONV_KERNEL)
