"""Codec decoder, `Qwen3TTSTokenizerV2Decoder`: sizes, GGUF keys and tensors.

Constants below that no configuration names are in that class's code.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, Role, books, copy, relayout, snake, transposed
from pyomni.convert.tensors_talker import MAX_GROUPS, Stack
from pyomni.convert.writer import Value

__all__ = ["CodecDecoder", "conv", "linear"]

N_SEMANTIC = 1
PRE_CONV_KERNEL, DWCONV_KERNEL, CONV_KERNEL, RESIDUAL_KERNEL = 3, 7, 7, 7
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
class CodecDecoder:
    """Sizes of the codec decoder."""

    stack: Stack
    sample_rate: int
    n_groups: int
    codebook_size: int
    codebook_dim: int  # of a stored row: half of what the configuration calls codebook_dim
    rvq_dim: int
    latent_dim: int
    decoder_dim: int
    window: int
    upsample_rates: tuple[int, ...]
    upsampling_ratios: tuple[int, ...]

    @classmethod
    def read(cls, codec: Config) -> CodecDecoder:
        """Sizes from `speech_tokenizer/config.json`.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        c = codec.sub("decoder_config")
        rvq_dim = c.whole("codebook_dim", low=2)
        if rvq_dim % 2:
            raise c.fail("codebook_dim", "an even number")
        sizes = cls(
            stack=Stack.read(c),
            sample_rate=codec.whole("output_sample_rate"),
            n_groups=c.whole("num_quantizers", low=2, high=MAX_GROUPS),
            codebook_size=c.whole("codebook_size"),
            codebook_dim=rvq_dim // 2,
            rvq_dim=rvq_dim,
            latent_dim=c.whole("latent_dim"),
            decoder_dim=c.whole("decoder_dim"),
            window=c.whole("sliding_window"),
            upsample_rates=tuple(c.wholes("upsample_rates")),
            upsampling_ratios=tuple(c.wholes("upsampling_ratios")),
        )
        if sizes.decoder_dim % (1 << len(sizes.upsample_rates)):
            raise c.fail(
                "decoder_dim", f"a multiple of {1 << len(sizes.upsample_rates)}: it halves in every block"
            )
        if codec.whole("decode_upsample_rate") != sizes.hop:
            raise codec.fail("decode_upsample_rate", f"{sizes.hop}, the product of the decoder's strides")
        return sizes

    @property
    def hop(self) -> int:
        """PCM samples per frame."""
        return prod(self.upsample_rates) * prod(self.upsampling_ratios)

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        c = "codec_decoder."
        return {
            **self.stack.keys("codec_decoder"),
            c + "sample_rate": self.sample_rate,
            c + "hop": self.hop,
            c + "n_groups": self.n_groups,
            c + "n_semantic": N_SEMANTIC,
            c + "codebook_size": self.codebook_size,
            c + "codebook_dim": self.codebook_dim,
            c + "rvq_dim": self.rvq_dim,
            c + "latent_dim": self.latent_dim,
            c + "decoder_dim": self.decoder_dim,
            c + "window": self.window,
            c + "upsample_rates": list(self.upsample_rates),
            c + "upsampling_ratios": list(self.upsampling_ratios),
            c + "residual_dilations": list(RESIDUAL_DILATIONS),
            c + "pre_conv_kernel": PRE_CONV_KERNEL,
            c + "dwconv_kernel": DWCONV_KERNEL,
            c + "conv_kernel": CONV_KERNEL,
            c + "residual_kernel": RESIDUAL_KERNEL,
            c + "layer_norm_eps": LAYER_NORM_EPS,
        }

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        return [*self._quantizer(), *self._transformer(), *self._upsampling(), *self._wave()]

    def unused(self) -> list[str]:
        """The quantizer's input projections, which only an encoder needs."""
        return [f"decoder.quantizer.{part}.input_proj.weight" for part in ("rvq_first", "rvq_rest")]

    def _quantizer(self) -> list[Planned]:
        o, s, planned = "codec_decoder.", "decoder.quantizer.", []
        for k in range(self.n_groups):
            part, i = ("rvq_first", k) if k < N_SEMANTIC else ("rvq_rest", k - N_SEMANTIC)
            planned += books(
                f"{o}book.{k}",
                f"{s}{part}.vq.layers.{i}._codebook.",
                "embedding_sum",
                self.codebook_size,
                self.codebook_dim,
            )
        for name, part in (("first_proj", "rvq_first"), ("rest_proj", "rvq_rest")):
            planned += conv(
                o + name, f"{s}{part}.output_proj", self.rvq_dim, self.codebook_dim, 1, bias=False
            )
        return planned + conv(
            o + "pre_conv", "decoder.pre_conv.conv", self.latent_dim, self.rvq_dim, PRE_CONV_KERNEL
        )

    def _transformer(self) -> list[Planned]:
        n_embd, latent = self.stack.n_embd, self.latent_dim
        t = "decoder.pre_transformer."
        planned = linear("codec_decoder.input_proj", t + "input_proj", n_embd, latent)
        for i in range(self.stack.n_layer):
            o, s = f"codec_decoder.blk.{i}.", f"{t}layers.{i}."
            planned += [
                copy(f"{o}attn_norm.weight", f"{s}input_layernorm.weight", (n_embd,)),
                *self.stack.attention(o, f"{s}self_attn.", Role.FLOAT),
                copy(f"{o}attn_scale.weight", f"{s}self_attn_layer_scale.scale", (n_embd,)),
                copy(f"{o}ffn_norm.weight", f"{s}post_attention_layernorm.weight", (n_embd,)),
                *self.stack.mlp(o, f"{s}mlp.", Role.FLOAT, Role.FLOAT),
                copy(f"{o}ffn_scale.weight", f"{s}mlp_layer_scale.scale", (n_embd,)),
            ]
        planned.append(copy("codec_decoder.output_norm.weight", t + "norm.weight", (n_embd,)))
        return planned + linear("codec_decoder.output_proj", t + "output_proj", latent, n_embd)

    def _upsampling(self) -> list[Planned]:
        n, wide, planned = self.latent_dim, CONVNEXT_EXPANSION * self.latent_dim, []
        for i, ratio in enumerate(self.upsampling_ratios):
            o, s = f"codec_decoder.up.{i}.", f"decoder.upsample.{i}."
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
        d, n_blocks = "decoder.decoder.", len(self.upsample_rates)
        planned = conv("codec_decoder.conv_in", d + "0.conv", self.decoder_dim, self.latent_dim, CONV_KERNEL)
        for i, rate in enumerate(self.upsample_rates):
            n_in, n_out = self.decoder_dim >> i, self.decoder_dim >> (i + 1)
            o, s = f"codec_decoder.wave.{i}.", f"{d}{i + 1}.block."
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
        planned += snake("codec_decoder.snake_out", f"{d}{n_blocks + 1}", last)
        return planned + conv("codec_decoder.conv_out", f"{d}{n_blocks + 2}.conv", 1, last, CONV_KERNEL)
