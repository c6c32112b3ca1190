"""Codec decoder, `Qwen3TTSTokenizerV2Decoder`: sizes, GGUF keys and tensors.

Constants below that no configuration names are in that class's code.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, books
from pyomni.convert.tensors_talker import MAX_GROUPS, Stack
from pyomni.convert.tensors_trunk import Trunk, conv
from pyomni.convert.writer import Value

__all__ = ["CodecDecoder"]

N_SEMANTIC = 1
PRE_CONV_KERNEL = 3


@dataclass(frozen=True)
class CodecDecoder:
    """Sizes of the codec decoder: a split quantizer and a convolution in front of the trunk."""

    trunk: Trunk
    n_groups: int
    codebook_size: int
    codebook_dim: int  # of a stored row: half of what the configuration calls codebook_dim
    rvq_dim: int

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
        rate, latent_dim = codec.whole("output_sample_rate"), c.whole("latent_dim")
        sizes = cls(
            trunk=Trunk.read(c, "codec_decoder", "decoder", rate, Stack.read(c), latent_dim),
            n_groups=c.whole("num_quantizers", low=2, high=MAX_GROUPS),
            codebook_size=c.whole("codebook_size"),
            codebook_dim=rvq_dim // 2,
            rvq_dim=rvq_dim,
        )
        hop = sizes.trunk.hop
        if codec.whole("decode_upsample_rate") != hop:
            raise codec.fail("decode_upsample_rate", f"{hop}, the product of the decoder's strides")
        return sizes

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        c = "codec_decoder."
        return {
            **self.trunk.keys(),
            c + "n_groups": self.n_groups,
            c + "n_semantic": N_SEMANTIC,
            c + "codebook_size": self.codebook_size,
            c + "codebook_dim": self.codebook_dim,
            c + "rvq_dim": self.rvq_dim,
            c + "pre_conv_kernel": PRE_CONV_KERNEL,
        }

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        return [*self._quantizer(), *self.trunk.tensors()]

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
            o + "pre_conv", "decoder.pre_conv.conv", self.trunk.latent_dim, self.rvq_dim, PRE_CONV_KERNEL
        )
