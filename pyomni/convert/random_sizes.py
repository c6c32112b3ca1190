"""Sizes of random checkpoints, real and toy.

Constants inside the official classes bound what a toy shape may be:

- the talker's vocabulary is the codebook's plus 1024, because generation suppresses its last 1024 ids;
- the code predictor's vocabulary is the codebook's, whose size is a power of two (Mimi asserts it);
- the decoder's codebook rows are half of ``codebook_dim``; one codebook is semantic; kernels 7 and 3,
  residual dilations 1, 3, 9, transposed kernels of twice their stride, ConvNeXt's expansion 4 and
  epsilon 1e-6 are in the code;
- ``decoder_dim`` halves in every wave block: a multiple of 2 to the number of blocks;
- the encoder's frame rate is the sample rate by twice the product of its strides; its ``hidden_size`` is a
  multiple of its heads and of ``upsample_groups``, and differs from its codebook width (were they equal, the
  projections would vanish);
- the speaker encoder's last channel count is the sum of its middle ones, each a multiple of its scale;
- the talker's ``rope_scaling`` may not be null: its attention reads ``mrope_section`` and ``interleaved``;
- a speech text needs ``assistant`` as one token: the first three ids are taken for the role header.
"""

from __future__ import annotations

from typing import Any

from pyomni.errors import ArgumentError

__all__ = ["SCALES", "checkpoint_dims"]

# fmt: off
REAL: dict[str, Any] = {
    "size": "0b6", "compact_vocab": False, "sample_rate": 24000, "n_groups": 16, "codebook_size": 2048,
    # talker
    "hidden": 1024, "layers": 28, "heads": 16, "kv_heads": 8, "head_dim": 128, "ff": 3072,
    "text_hidden": 2048, "text_vocab": 151936, "n_ctx_max": 32768, "rope_theta": 1000000.0,
    # code predictor
    "cp_hidden": 1024, "cp_layers": 5, "cp_heads": 16, "cp_kv_heads": 8, "cp_head_dim": 128, "cp_ff": 3072,
    # codec decoder
    "rvq_dim": 512, "latent": 1024, "decoder_dim": 1536, "dec_hidden": 512, "dec_layers": 8, "dec_ff": 1024,
    "dec_heads": 16, "dec_kv_heads": 16, "dec_head_dim": 64, "layer_scale": 0.05, "wave_gain": 0.1,
    "window": 72, "upsample_rates": (8, 5, 4, 3), "upsampling_ratios": (2, 2),
    # codec encoder
    "enc_filters": 64, "enc_hidden": 512, "enc_layers": 8, "enc_ff": 2048, "enc_heads": 8, "enc_kv_heads": 8,
    "enc_head_dim": 64, "enc_book_dim": 256, "enc_groups": 32, "enc_residuals": 1, "enc_ratios": (8, 6, 5, 4),
    # speaker encoder
    "spk_mels": 128, "spk_channels": (512, 512, 512, 512, 1536), "spk_kernels": (5, 3, 3, 3, 1),
    "spk_dilations": (1, 2, 3, 4, 1), "spk_scale": 8, "spk_se": 128, "spk_attention": 128,
}
TINY: dict[str, Any] = {
    "compact_vocab": True, "codebook_size": 64,
    "hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 32, "ff": 128,
    "text_hidden": 64, "text_vocab": 0, "n_ctx_max": 2048,
    "cp_hidden": 64, "cp_layers": 2, "cp_heads": 4, "cp_kv_heads": 2, "cp_head_dim": 32, "cp_ff": 128,
    "rvq_dim": 64, "latent": 32, "decoder_dim": 64, "dec_hidden": 32, "dec_layers": 2, "dec_ff": 64,
    "dec_heads": 2, "dec_kv_heads": 2, "dec_head_dim": 32, "layer_scale": 0.3, "wave_gain": 0.2,
    "enc_filters": 4, "enc_hidden": 32, "enc_layers": 2, "enc_ff": 64, "enc_heads": 2, "enc_kv_heads": 2,
    "enc_head_dim": 16, "enc_book_dim": 16, "enc_groups": 17,
    "spk_channels": (32, 32, 32, 32, 96), "spk_scale": 4, "spk_se": 16, "spk_attention": 16,
}
SCALES: dict[str, dict[str, Any]] = {
    "0.6b": REAL,
    "1.7b": {**REAL, "size": "1b7", "hidden": 2048, "ff": 6144},
    "tiny": {**REAL, **TINY},
}

def checkpoint_dims(scale: str = "tiny", **overrides: Any) -> dict[str, Any]:
    """Sizes of a scale, with some of them replaced.

    Parameters
    ----------
    scale : ``"0.6b"``, ``"1.7b"`` or ``"tiny"``
    **overrides : any key of the scale; ``text_vocab=0`` means just what the vocabulary needs

    Raises
    ------
    ArgumentError
        An unknown scale or size.
    """
    if scale not in SCALES:
        raise ArgumentError(f"scale {scale!r} is unknown, expected one of {', '.join(SCALES)}")
    unknown = sorted(set(overrides) - set(REAL))
    if unknown:
        raise ArgumentError(f"size {unknown[0]!r} is unknown, expected one of {', '.join(REAL)}")
    return {**SCALES[scale], **overrides}
