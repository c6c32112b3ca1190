"""Qwen3-TTS checkpoints in Hugging Face layout with random weights, at the real sizes or at toy sizes.

For speed, plumbing and parity: what they say is noise. Every configuration key the official classes read is written,
so `qwen_tts` loads the folder. Constants inside those classes bound what a toy shape may be:

- the talker's vocabulary is the codebook's plus 1024, because generation suppresses its last 1024 ids;
- the code predictor's vocabulary is the codebook's, and a codebook's size is a power of two (Mimi asserts it);
- the decoder's codebook rows are half of ``codebook_dim``; one semantic codebook; kernels 7 and 3, residual
  dilations 1, 3, 9, transposed kernels of twice their stride, ConvNeXt width 4 and epsilon 1e-6 are in the code;
- ``decoder_dim`` halves in every wave block, so it is a multiple of 2 to the number of blocks;
- the encoder's frame rate is its strides' product times two samples, its ``hidden_size`` a multiple of its heads
  and of ``upsample_groups``, and unequal to its codebook width (equal, and the projections vanish);
- the speaker encoder's last channel count is the sum of its middle ones, each a multiple of ``enc_res2net_scale``;
- the talker's ``rope_scaling`` may not be null: its attention reads ``mrope_section`` and ``interleaved``;
- a speech text needs ``assistant`` as one token: the first three ids are taken for the role header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from pyomni.convert.random_text import Vocabulary, byte_vocabulary, real_vocabulary, write_tokenizer
from pyomni.convert.random_weights import codec_weights, speech_weights
from pyomni.convert.safetensors_file import write_safetensors
from pyomni.errors import ArgumentError

__all__ = ["KINDS", "SCALES", "checkpoint_dims", "write_checkpoint"]

KINDS = ("base", "custom_voice", "voice_design")

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
    "dec_heads": 16, "dec_kv_heads": 16, "dec_head_dim": 64, "window": 72, "layer_scale": 0.05, "wave_gain": 0.1,
    "upsample_rates": (8, 5, 4, 3), "upsampling_ratios": (2, 2),
    # codec encoder
    "enc_filters": 64, "enc_residuals": 1, "enc_ratios": (8, 6, 5, 4), "enc_hidden": 512, "enc_layers": 8,
    "enc_ff": 2048, "enc_heads": 8, "enc_kv_heads": 8, "enc_head_dim": 64, "enc_book_dim": 256, "enc_groups": 32,
    # speaker encoder
    "spk_mels": 128, "spk_channels": (512, 512, 512, 512, 1536), "spk_kernels": (5, 3, 3, 3, 1),
    "spk_dilations": (1, 2, 3, 4, 1), "spk_scale": 8, "spk_se": 128, "spk_attention": 128,
}
TINY: dict[str, Any] = {
    "compact_vocab": True, "text_vocab": 0, "codebook_size": 64, "hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2,
    "head_dim": 32, "ff": 128, "text_hidden": 64, "n_ctx_max": 2048, "cp_hidden": 64, "cp_layers": 2, "cp_heads": 4,
    "cp_kv_heads": 2, "cp_head_dim": 32, "cp_ff": 128, "rvq_dim": 64, "latent": 32, "decoder_dim": 64,
    "dec_hidden": 32, "dec_layers": 2, "dec_ff": 64, "dec_heads": 2, "dec_kv_heads": 2, "dec_head_dim": 32,
    "enc_filters": 4, "enc_hidden": 32, "enc_layers": 2, "enc_ff": 64, "enc_heads": 2, "enc_kv_heads": 2,
    "enc_head_dim": 16, "enc_book_dim": 16, "enc_groups": 17, "spk_mels": 128, "spk_channels": (32, 32, 32, 32, 96),
    "spk_scale": 4, "spk_se": 16, "spk_attention": 16, "layer_scale": 0.3, "wave_gain": 0.2,
}
# fmt: on
SCALES: dict[str, dict[str, Any]] = {
    "0.6b": REAL,
    "1.7b": {**REAL, "size": "1b7", "hidden": 2048, "ff": 6144},
    "tiny": {**REAL, **TINY},
}

# fmt: off
# Rows of the real talker's codec embedding, 2048 and up; a smaller codebook moves them down with it.
CODEC_IDS = {"codec_pad_id": 2148, "codec_bos_id": 2149, "codec_eos_token_id": 2150, "codec_think_id": 2154,
             "codec_nothink_id": 2155, "codec_think_bos_id": 2156, "codec_think_eos_id": 2157}
LANGUAGES = {"chinese": 2055, "english": 2050, "german": 2053, "italian": 2070, "portuguese": 2071, "spanish": 2054,
             "japanese": 2058, "korean": 2064, "french": 2061, "russian": 2069}
DIALECTS = {"beijing_dialect": 2074, "sichuan_dialect": 2062}
SPEAKERS = {"serena": 3066, "vivian": 3065, "uncle_fu": 3010, "ryan": 3061, "aiden": 2861, "ono_anna": 2873,
            "sohee": 2864, "eric": 2875, "dylan": 2878}
SPEAKER_DIALECTS = {"eric": "sichuan_dialect", "dylan": "beijing_dialect"}
# fmt: on


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


def write_checkpoint(
    out: str | Path,
    kind: str = "custom_voice",
    dims: Mapping[str, Any] | None = None,
    seed: int = 1234,
    *,
    dtype: str = "bf16",
    eos_logit: float | None = None,
    vocab_gguf: str | Path | None = None,
) -> dict[str, int]:
    """Write a random checkpoint folder.

    Parameters
    ----------
    out : folder, made if it is not there
    kind : ``"base"``, ``"custom_voice"`` or ``"voice_design"``
    dims : from `checkpoint_dims`; the tiny scale if None
    seed : of the weights; the same seed gives the same bytes
    dtype : ``"bf16"`` or ``"f32"`` for talker, code predictor and speaker encoder; the codec is always float32
    eos_logit : about the logit the end id always has; None: it is never drawn
    vocab_gguf : a GGUF with the real Qwen2 vocabulary; None: bytes, a few merges and the special tokens

    Returns
    -------
    ``{"tensors", "parameters", "codec_tensors", "codec_parameters"}``

    Raises
    ------
    ArgumentError
        An unknown kind or dtype.
    """
    if kind not in KINDS:
        raise ArgumentError(f"kind {kind!r} is unknown, expected one of {', '.join(KINDS)}")
    if dtype not in ("bf16", "f32"):
        raise ArgumentError(f"dtype {dtype!r} is unknown, expected bf16 or f32")
    d = dict(dims or checkpoint_dims())
    vocabulary = real_vocabulary(vocab_gguf) if vocab_gguf else byte_vocabulary(compact=d["compact_vocab"])
    d["text_vocab"] = max(d["text_vocab"], vocabulary.n_ids)
    out = Path(out)
    codec = out / "speech_tokenizer"
    codec.mkdir(parents=True, exist_ok=True)

    write_tokenizer(out, vocabulary)
    config = _config(d, kind, vocabulary)
    _write_json(out / "config.json", config)
    _write_json(out / "generation_config.json", GENERATION)
    _write_json(out / "preprocessor_config.json", {**_features(d), "processor_class": "Qwen3TTSProcessor"})
    _write_json(codec / "config.json", _codec_config(d))
    _write_json(codec / "preprocessor_config.json", _features(d))

    eos_id = config["talker_config"]["codec_eos_token_id"]
    speech = speech_weights(
        d,
        seed,
        eos_id=eos_id,
        eos_logit=-100.0 if eos_logit is None else eos_logit,
        with_speaker=kind == "base",
    )
    sounds = codec_weights(d, seed)
    return {
        "tensors": len(speech),
        "parameters": write_safetensors(out / "model.safetensors", speech, dtype.upper()),
        "codec_tensors": len(sounds),
        "codec_parameters": write_safetensors(codec / "model.safetensors", sounds),
    }


# fmt: off
GENERATION = {
    "do_sample": True, "repetition_penalty": 1.05, "temperature": 0.9, "top_p": 1.0, "top_k": 50,
    "subtalker_dosample": True, "subtalker_temperature": 0.9, "subtalker_top_p": 1.0, "subtalker_top_k": 50,
    "max_new_tokens": 8192,
}
# fmt: on


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


# fmt: off
def _config(d: Mapping[str, Any], kind: str, vocabulary: Vocabulary) -> dict[str, Any]:
    move = d["codebook_size"] - 2048
    voices = kind == "custom_voice"
    languages = {**LANGUAGES, **(DIALECTS if voices else {})}
    speakers = SPEAKERS if voices else {}
    attention = {"attention_bias": False, "attention_dropout": 0, "hidden_act": "silu", "initializer_range": 0.02,
                 "rms_norm_eps": 1e-6, "sliding_window": None, "use_sliding_window": False, "use_cache": True}
    predictor = {
        **attention, **_sizes(d, "cp_"), "model_type": "qwen3_tts_talker_code_predictor",
        "layer_types": ["full_attention"] * d["cp_layers"], "max_position_embeddings": 65536, "max_window_layers": 28,
        "num_code_groups": d["n_groups"], "rope_scaling": None, "rope_theta": d["rope_theta"],
        "tie_word_embeddings": False, "vocab_size": d["codebook_size"],
    }
    half = d["head_dim"] // 2
    third = half * 5 // 16  # 20 of 64, as in the real model
    talker = {
        **attention, **_sizes(d, ""), "model_type": "qwen3_tts_talker", "code_predictor_config": predictor,
        **{key: row + move for key, row in CODEC_IDS.items()},
        "codec_language_id": {name: row + move for name, row in languages.items()},
        "spk_id": {name: row + move for name, row in speakers.items()},
        "spk_is_dialect": {name: SPEAKER_DIALECTS.get(name, False) for name in speakers},
        "max_position_embeddings": d["n_ctx_max"], "num_code_groups": d["n_groups"], "position_id_per_seconds": 13,
        "rope_scaling": {"interleaved": True, "mrope_section": [half - 2 * third, third, third],
                         "rope_type": "default", "type": "default"},
        "rope_theta": d["rope_theta"], "text_hidden_size": d["text_hidden"], "text_vocab_size": d["text_vocab"],
        "vocab_size": d["codebook_size"] + 1024,
    }
    config = {
        "architectures": ["Qwen3TTSForConditionalGeneration"], "model_type": "qwen3_tts",
        "tokenizer_type": "qwen3_tts_tokenizer_12hz", "tts_model_size": d["size"], "tts_model_type": kind,
        **vocabulary.config_ids(), "talker_config": talker, "transformers_version": "4.57.3",
    }
    if kind == "base":
        config["speaker_encoder_config"] = {
            "enc_dim": d["hidden"], "sample_rate": d["sample_rate"], "mel_dim": d["spk_mels"],
            "enc_channels": list(d["spk_channels"]), "enc_kernel_sizes": list(d["spk_kernels"]),
            "enc_dilations": list(d["spk_dilations"]), "enc_attention_channels": d["spk_attention"],
            "enc_res2net_scale": d["spk_scale"], "enc_se_channels": d["spk_se"],
        }
    return config


def _sizes(d: Mapping[str, Any], p: str) -> dict[str, int]:
    return {"hidden_size": d[p + "hidden"], "num_hidden_layers": d[p + "layers"], "intermediate_size": d[p + "ff"],
            "num_attention_heads": d[p + "heads"], "num_key_value_heads": d[p + "kv_heads"],
            "head_dim": d[p + "head_dim"]}


def _codec_config(d: Mapping[str, Any]) -> dict[str, Any]:
    decode_hop = prod(d["upsample_rates"]) * prod(d["upsampling_ratios"])
    encode_hop = prod(d["enc_ratios"]) * 2
    decoder = {
        **_sizes(d, "dec_"), "attention_bias": False, "attention_dropout": 0.0, "codebook_dim": d["rvq_dim"],
        "codebook_size": d["codebook_size"], "decoder_dim": d["decoder_dim"], "hidden_act": "silu",
        "latent_dim": d["latent"], "layer_scale_initial_scale": 0.01, "max_position_embeddings": 8000,
        "num_quantizers": d["n_groups"], "num_semantic_quantizers": 1, "rms_norm_eps": 1e-5, "rope_theta": 10000,
        "semantic_codebook_size": 4096, "sliding_window": d["window"], "upsample_rates": list(d["upsample_rates"]),
        "upsampling_ratios": list(d["upsampling_ratios"]), "vector_quantization_hidden_dimension": d["rvq_dim"],
    }
    encoder = {
        **_sizes(d, "enc_"), "_frame_rate": d["sample_rate"] / encode_hop, "attention_bias": False,
        "attention_dropout": 0.0, "audio_channels": 1, "codebook_dim": d["enc_book_dim"],
        "codebook_size": d["codebook_size"], "compress": 2, "dilation_growth_rate": 2, "dtype": "float32",
        "hidden_act": "gelu", "initializer_range": 0.02, "kernel_size": 7, "last_kernel_size": 3,
        "layer_scale_initial_scale": 0.01, "max_position_embeddings": 8000, "norm_eps": 1e-5, "normalize": False,
        "num_filters": d["enc_filters"], "num_quantizers": d["enc_groups"], "num_residual_layers": d["enc_residuals"],
        "num_semantic_quantizers": 1, "pad_mode": "constant", "residual_kernel_size": 3, "rope_theta": 10000.0,
        "sampling_rate": d["sample_rate"], "sliding_window": 250, "trim_right_ratio": 1.0,
        "upsample_groups": d["enc_hidden"], "upsampling_ratios": list(d["enc_ratios"]), "use_cache": False,
        "use_causal_conv": True, "use_conv_shortcut": False, "use_streaming": False,
        "vector_quantization_hidden_dimension": d["enc_book_dim"],
    }
    return {
        "architectures": ["Qwen3TTSTokenizerV2Model"], "model_type": "qwen3_tts_tokenizer_12hz",
        "encoder_valid_num_quantizers": d["n_groups"], "input_sample_rate": d["sample_rate"],
        "output_sample_rate": d["sample_rate"], "decode_upsample_rate": decode_hop,
        "encode_downsample_rate": encode_hop, "decoder_config": decoder, "encoder_config": encoder,
        "transformers_version": "4.57.3",
    }


def _features(d: Mapping[str, Any]) -> dict[str, Any]:
    return {"chunk_length_s": None, "feature_extractor_type": "EncodecFeatureExtractor", "feature_size": 1,
            "overlap": None, "padding_side": "right", "padding_value": 0.0, "return_attention_mask": True,
            "sampling_rate": d["sample_rate"]}
# fmt: on
