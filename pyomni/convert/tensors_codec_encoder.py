"""Codec encoder, HF's `MimiModel` without its decoder: sizes, GGUF keys and tensors."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, books, copy
from pyomni.convert.tensors_talker import MAX_GROUPS, MAX_LAYERS, check_attention
from pyomni.convert.tensors_trunk import conv
from pyomni.convert.writer import Value
from pyomni.errors import UnsupportedModel

__all__ = ["CodecEncoder"]

DOWNSAMPLE_STRIDE = 2  # in MimiModel's code
QUANTIZER = "encoder.quantizer.{}_residual_vector_quantizer."


@dataclass(frozen=True)
class CodecEncoder:
    """Sizes of the codec encoder."""

    sample_rate: int
    n_groups: int  # codebooks in use; the checkpoint holds n_stored
    n_stored: int
    n_semantic: int
    codebook_size: int
    codebook_dim: int
    n_filters: int
    strides: tuple[int, ...]  # in order of use
    conv_kernel: int
    last_kernel: int
    residual_kernel: int
    n_residual: int
    dilation_growth: int
    compress: int
    downsample_kernel: int
    n_layer: int
    n_embd: int
    n_ff: int
    n_head: int
    n_head_kv: int
    head_dim: int
    layer_norm_eps: float
    rope_theta: float

    @classmethod
    def read(cls, codec: Config) -> CodecEncoder:
        """Sizes from `speech_tokenizer/config.json`.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        c = codec.sub("encoder_config")
        check_attention(c, "gelu")
        _check_convolutions(c)
        sample_rate, ratios = codec.whole("input_sample_rate"), c.wholes("upsampling_ratios")
        n_embd, n_head = c.whole("hidden_size"), c.whole("num_attention_heads")
        n_stored = c.whole("num_quantizers", low=2, high=MAX_GROUPS)
        # MimiConfig: the quantizer's rate, either spelling, else what the strides and the last halving give.
        strided = ceil(c.whole("sampling_rate") / prod(ratios))
        frame_rate = c.number("_frame_rate", c.number("frame_rate", strided / DOWNSAMPLE_STRIDE), low=1e-3)
        sizes = cls(
            sample_rate=sample_rate,
            n_groups=codec.whole("encoder_valid_num_quantizers", high=n_stored),
            n_stored=n_stored,
            n_semantic=c.whole("num_semantic_quantizers", high=n_stored - 1),
            codebook_size=c.whole("codebook_size"),
            codebook_dim=c.whole("codebook_dim"),
            n_filters=c.whole("num_filters"),
            strides=tuple(reversed(ratios)),
            conv_kernel=c.whole("kernel_size"),
            last_kernel=c.whole("last_kernel_size"),
            residual_kernel=c.whole("residual_kernel_size"),
            n_residual=c.whole("num_residual_layers", high=64),
            dilation_growth=c.whole("dilation_growth_rate"),
            compress=c.whole("compress"),
            downsample_kernel=2 * int(strided / frame_rate),
            n_layer=c.whole("num_hidden_layers", high=MAX_LAYERS),
            n_embd=n_embd,
            n_ff=c.whole("intermediate_size"),
            n_head=n_head,
            n_head_kv=c.whole("num_key_value_heads"),
            head_dim=c.whole("head_dim", n_embd // n_head),
            layer_norm_eps=c.number("norm_eps"),
            rope_theta=c.number("rope_theta", low=1.0),
        )
        if (
            c.whole("vector_quantization_hidden_dimension") != sizes.codebook_dim
            or sizes.codebook_dim == n_embd
        ):
            raise c.fail(
                "vector_quantization_hidden_dimension",
                f"codebook_dim, {sizes.codebook_dim}, and not {n_embd}",
            )
        if sizes.n_filters % sizes.compress:
            raise c.fail("compress", f"a divisor of num_filters, {sizes.n_filters}")
        if sizes.downsample_kernel < DOWNSAMPLE_STRIDE:
            raise c.fail("_frame_rate", f"at most {strided}, the rate the strides leave")
        if codec.whole("encode_downsample_rate") != sizes.hop:
            raise codec.fail("encode_downsample_rate", f"{sizes.hop}, the product of the encoder's strides")
        return sizes

    @property
    def hop(self) -> int:
        """PCM samples per frame."""
        return prod(self.strides) * DOWNSAMPLE_STRIDE

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        values: dict[str, Value] = {name: value for name, value in vars(self).items() if name != "n_stored"}
        values |= {"strides": list(self.strides), "hop": self.hop, "downsample_stride": DOWNSAMPLE_STRIDE}
        return {f"codec_encoder.{name}": value for name, value in values.items()}

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        return [*self._seanet(), *self._transformer(), *self._quantizer()]

    def unused(self) -> list[str]:
        """Codebooks beyond those in use, flags, and the projections back, which only a decoder needs."""
        names = []
        for part, n in (("semantic", self.n_semantic), ("acoustic", self.n_stored - self.n_semantic)):
            q = QUANTIZER.format(part)
            names.append(q + "output_proj.weight")
            for i in range(n):
                names.append(f"{q}layers.{i}.codebook.initialized")
                if part == "acoustic" and i >= self.n_groups - self.n_semantic:
                    names += [f"{q}layers.{i}.codebook.{leaf}" for leaf in ("embed_sum", "cluster_usage")]
        return names

    def _seanet(self) -> list[Planned]:
        o, s, n, index = "codec_encoder.", "encoder.encoder.layers.", self.n_filters, 1
        planned = conv(o + "conv_in", s + "0.conv", n, 1, self.conv_kernel)
        for i, stride in enumerate(self.strides):
            hidden = n // self.compress
            for j in range(self.n_residual):
                r, b = f"{o}seanet.{i}.res.{j}.", f"{s}{index}.block."
                planned += conv(r + "conv1", b + "1.conv", hidden, n, self.residual_kernel)
                planned += conv(r + "conv2", b + "3.conv", n, hidden, 1)
                index += 1
            # Index counts the activation before the strided convolution as well.
            planned += conv(f"{o}seanet.{i}.conv", f"{s}{index + 1}.conv", 2 * n, n, 2 * stride)
            n, index = 2 * n, index + 2
        return planned + conv(o + "conv_out", f"{s}{index + 1}.conv", self.n_embd, n, self.last_kernel)

    def _transformer(self) -> list[Planned]:
        planned, n, q, kv = [], self.n_embd, self.n_head * self.head_dim, self.n_head_kv * self.head_dim
        for i in range(self.n_layer):
            o, s = f"codec_encoder.blk.{i}.", f"encoder.encoder_transformer.layers.{i}."
            planned += [
                copy(o + "attn_norm.weight", s + "input_layernorm.weight", (n,)),
                copy(o + "attn_norm.bias", s + "input_layernorm.bias", (n,)),
                copy(o + "attn_q.weight", s + "self_attn.q_proj.weight", (q, n)),
                copy(o + "attn_k.weight", s + "self_attn.k_proj.weight", (kv, n)),
                copy(o + "attn_v.weight", s + "self_attn.v_proj.weight", (kv, n)),
                copy(o + "attn_output.weight", s + "self_attn.o_proj.weight", (n, q)),
                copy(o + "attn_scale.weight", s + "self_attn_layer_scale.scale", (n,)),
                copy(o + "ffn_norm.weight", s + "post_attention_layernorm.weight", (n,)),
                copy(o + "ffn_norm.bias", s + "post_attention_layernorm.bias", (n,)),
                copy(o + "ffn_up.weight", s + "mlp.fc1.weight", (self.n_ff, n)),
                copy(o + "ffn_down.weight", s + "mlp.fc2.weight", (n, self.n_ff)),
                copy(o + "ffn_scale.weight", s + "mlp_layer_scale.scale", (n,)),
            ]
        kernel = self.downsample_kernel
        return planned + conv("codec_encoder.downsample", "encoder.downsample.conv", n, n, kernel, bias=False)

    def _quantizer(self) -> list[Planned]:
        o, planned = "codec_encoder.", []
        for name, part in (("first_proj", "semantic"), ("rest_proj", "acoustic")):
            source = QUANTIZER.format(part) + "input_proj"
            planned += conv(o + name, source, self.codebook_dim, self.n_embd, 1, bias=False)
        for k in range(self.n_groups):
            part, i = ("semantic", k) if k < self.n_semantic else ("acoustic", k - self.n_semantic)
            planned += books(
                f"{o}book.{k}",
                f"{QUANTIZER.format(part)}layers.{i}.codebook.",
                "embed_sum",
                self.codebook_size,
                self.codebook_dim,
                lengths=True,
            )
        return planned


def _check_convolutions(c: Config) -> None:
    """Refuse what no released checkpoint has: shortcuts, convolutions padded otherwise, stereo."""
    for key, expected in (("use_causal_conv", True), ("use_conv_shortcut", False)):
        if c.flag(key, expected) is not expected:
            raise UnsupportedModel(f"{c.path}: {c.where}.{key} is {not expected}, expected {expected}")
    if c.text("pad_mode", "constant") != "constant" or c.whole("audio_channels", 1) != 1:
        raise UnsupportedModel(
            f"{c.path}: {c.where} asks for pad_mode {c.text('pad_mode', 'constant')!r} and "
            f"{c.whole('audio_channels', 1)} channels, expected 'constant' and 1"
        )
