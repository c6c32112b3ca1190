"""The JSON files of a random checkpoint: every key the official classes read."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from pyomni.convert.random_text import Vocabulary

__all__ = ["GENERATION", "codec_config", "feature_config", "speech_config"]

# Rows of the real talker's codec embedding, 2048 and up; a smaller codebook moves them down with it.
CODEC_IDS = {
    "codec_pad_id": 2148,
    "codec_bos_id": 2149,
    "codec_eos_token_id": 2150,
    "codec_think_id": 2154,
    "codec_nothink_id": 2155,
    "codec_think_bos_id": 2156,
    "codec_think_eos_id": 2157,
}
LANGUAGES = {
    "chinese": 2055,
    "english": 2050,
    "german": 2053,
    "italian": 2070,
    "portuguese": 2071,
    "spanish": 2054,
    "japanese": 2058,
    "korean": 2064,
    "french": 2061,
    "russian": 2069,
}
DIALECTS = {"beijing_dialect": 2074, "sichuan_dialect": 2062}
SPEAKERS = {
    "serena": 3066,
    "vivian": 3065,
    "uncle_fu": 3010,
    "ryan": 3061,
    "aiden": 2861,
    "ono_anna": 2873,
    "sohee": 2864,
    "eric": 2875,
    "dylan": 2878,
}
SPEAKER_DIALECTS = {"eric": "sichuan_dialect", "dylan": "beijing_dialect"}

GENERATION = {
    "do_sample": True,
    "repetition_penalty": 1.05,
    "temperature": 0.9,
    "top_p": 1.0,
    "top_k": 50,
    "subtalker_dosample": True,
    "subtalker_temperature": 0.9,
    "subtalker_top_p": 1.0,
    "subtalker_top_k": 50,
    "max_new_tokens": 8192,
}


def speech_config(d: Mapping[str, Any], kind: str, vocabulary: Vocabulary) -> dict[str, Any]:
    """`config.json` of a model of these sizes."""
    move = d["codebook_size"] - 2048
    voices = kind == "custom_voice"
    languages = {**LANGUAGES, **(DIALECTS if voices else {})}
    speakers = SPEAKERS if voices else {}
    attention = {
        "attention_bias": False,
        "attention_dropout": 0,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-6,
        "sliding_window": None,
        "use_sliding_window": False,
        "use_cache": True,
    }
    predictor = {
        **attention,
        **_sizes(d, "cp_"),
        "model_type": "qwen3_tts_talker_code_predictor",
        "layer_types": ["full_attention"] * d["cp_layers"],
        "max_position_embeddings": 65536,
        "max_window_layers": 28,
        "num_code_groups": d["n_groups"],
        "rope_scaling": None,
        "rope_theta": d["rope_theta"],
        "tie_word_embeddings": False,
        "vocab_size": d["codebook_size"],
    }
    half = d["head_dim"] // 2
    third = half * 5 // 16  # 20 of 64, as in the real model
    talker = {
        **attention,
        **_sizes(d, ""),
        "model_type": "qwen3_tts_talker",
        "code_predictor_config": predictor,
        **{key: row + move for key, row in CODEC_IDS.items()},
        "codec_language_id": {name: row + move for name, row in languages.items()},
        "spk_id": {name: row + move for name, row in speakers.items()},
        "spk_is_dialect": {name: SPEAKER_DIALECTS.get(name, False) for name in speakers},
        "max_position_embeddings": d["n_ctx_max"],
        "num_code_groups": d["n_groups"],
        "position_id_per_seconds": 13,
        "rope_scaling": {
            "interleaved": True,
            "mrope_section": [half - 2 * third, third, third],
            "rope_type": "default",
            "type": "default",
        },
        "rope_theta": d["rope_theta"],
        "text_hidden_size": d["text_hidden"],
        "text_vocab_size": d["text_vocab"],
        "vocab_size": d["codebook_size"] + 1024,
    }
    config = {
        "architectures": ["Qwen3TTSForConditionalGeneration"],
        "model_type": "qwen3_tts",
        "tokenizer_type": "qwen3_tts_tokenizer_12hz",
        "tts_model_size": d["size"],
        "tts_model_type": kind,
        **vocabulary.config_ids(),
        "talker_config": talker,
        "transformers_version": "4.57.3",
    }
    if kind == "base":
        config["speaker_encoder_config"] = {
            "enc_dim": d["hidden"],
            "sample_rate": d["sample_rate"],
            "mel_dim": d["spk_mels"],
            "enc_channels": list(d["spk_channels"]),
            "enc_kernel_sizes": list(d["spk_kernels"]),
            "enc_dilations": list(d["spk_dilations"]),
            "enc_attention_channels": d["spk_attention"],
            "enc_res2net_scale": d["spk_scale"],
            "enc_se_channels": d["spk_se"],
        }
    return config


def _sizes(d: Mapping[str, Any], p: str) -> dict[str, int]:
    return {
        "hidden_size": d[p + "hidden"],
        "num_hidden_layers": d[p + "layers"],
        "intermediate_size": d[p + "ff"],
        "num_attention_heads": d[p + "heads"],
        "num_key_value_heads": d[p + "kv_heads"],
        "head_dim": d[p + "head_dim"],
    }


def codec_config(d: Mapping[str, Any]) -> dict[str, Any]:
    """`speech_tokenizer/config.json` of a model of these sizes."""
    decode_hop = prod(d["upsample_rates"]) * prod(d["upsampling_ratios"])
    encode_hop = prod(d["enc_ratios"]) * 2
    decoder = {
        **_sizes(d, "dec_"),
        "attention_bias": False,
        "attention_dropout": 0.0,
        "codebook_dim": d["rvq_dim"],
        "codebook_size": d["codebook_size"],
        "decoder_dim": d["decoder_dim"],
        "hidden_act": "silu",
        "latent_dim": d["latent"],
        "layer_scale_initial_scale": 0.01,
        "max_position_embeddings": 8000,
        "num_quantizers": d["n_groups"],
        "num_semantic_quantizers": 1,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000,
        "semantic_codebook_size": 4096,
        "sliding_window": d["window"],
        "upsample_rates": list(d["upsample_rates"]),
        "upsampling_ratios": list(d["upsampling_ratios"]),
        "vector_quantization_hidden_dimension": d["rvq_dim"],
    }
    encoder = {
        **_sizes(d, "enc_"),
        "_frame_rate": d["sample_rate"] / encode_hop,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "audio_channels": 1,
        "codebook_dim": d["enc_book_dim"],
        "codebook_size": d["codebook_size"],
        "compress": 2,
        "dilation_growth_rate": 2,
        "dtype": "float32",
        "hidden_act": "gelu",
        "initializer_range": 0.02,
        "kernel_size": 7,
        "last_kernel_size": 3,
        "layer_scale_initial_scale": 0.01,
        "max_position_embeddings": 8000,
        "norm_eps": 1e-5,
        "normalize": False,
        "num_filters": d["enc_filters"],
        "num_quantizers": d["enc_groups"],
        "num_residual_layers": d["enc_residuals"],
        "num_semantic_quantizers": 1,
        "pad_mode": "constant",
        "residual_kernel_size": 3,
        "rope_theta": 10000.0,
        "sampling_rate": d["sample_rate"],
        "sliding_window": 250,
        "trim_right_ratio": 1.0,
        "upsample_groups": d["enc_hidden"],
        "upsampling_ratios": list(d["enc_ratios"]),
        "use_cache": False,
        "use_causal_conv": True,
        "use_conv_shortcut": False,
        "use_streaming": False,
        "vector_quantization_hidden_dimension": d["enc_book_dim"],
    }
    return {
        "architectures": ["Qwen3TTSTokenizerV2Model"],
        "model_type": "qwen3_tts_tokenizer_12hz",
        "encoder_valid_num_quantizers": d["n_groups"],
        "input_sample_rate": d["sample_rate"],
        "output_sample_rate": d["sample_rate"],
        "decode_upsample_rate": decode_hop,
        "encode_downsample_rate": encode_hop,
        "decoder_config": decoder,
        "encoder_config": encoder,
        "transformers_version": "4.57.3",
    }


def feature_config(d: Mapping[str, Any]) -> dict[str, Any]:
    """`preprocessor_config.json`, which the official codec wrapper reads."""
    return {
        "chunk_length_s": None,
        "feature_extractor_type": "EncodecFeatureExtractor",
        "feature_size": 1,
        "overlap": None,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "sampling_rate": d["sample_rate"],
    }
