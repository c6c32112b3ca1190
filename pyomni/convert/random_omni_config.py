"""The JSON files of a random Qwen3-Omni checkpoint: every key the official classes read.

Ids, rates, rotary bases and epsilons are those of the release; widths and depths come from the sizes. Keys
that the release has and no class reads are here as well, so that a converter that trusts them is found out.
"""

from __future__ import annotations

from typing import Any

from pyomni.convert.random_omni_sizes import OmniDims
from pyomni.convert.random_text import Vocabulary

__all__ = ["CHAT_TEMPLATE", "MEDIA_TOKENS", "ROLE_IDS", "codec_ids", "omni_configs"]

ROLE_IDS = {"system": 8948, "user": 872, "assistant": 77091}  # in the real vocabulary
MEDIA_TOKENS = {
    "image_token": "<|image_pad|>",
    "audio_token": "<|audio_pad|>",
    "video_token": "<|video_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
    "audio_bos_token": "<|audio_start|>",
    "audio_eos_token": "<|audio_end|>",
}
GENERATION = {
    "talker_max_new_tokens": 4096,
    "talker_repetition_penalty": 1.05,
    "talker_temperature": 0.9,
    "talker_top_k": 50,
    "talker_top_p": 1.0,
}
# Our own text for the documented format: ChatML, media triples, tool results as user turns, thinking or not.
CHAT_TEMPLATE = """\
{%- macro parts(content) -%}
{%- if content is string -%}{{ content }}{%- else -%}{%- for part in content -%}
{%- if part.type == 'audio' or 'audio' in part or 'audio_url' in part -%}
{{- '<|audio_start|><|audio_pad|><|audio_end|>' -}}
{%- elif part.type == 'image' or 'image' in part or 'image_url' in part -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part.type == 'video' or 'video' in part -%}
{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
{%- elif 'text' in part -%}{{ part.text }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{{- '<|im_start|>user\\n<tool_response>\\n' + parts(message.content) + '\\n</tool_response><|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + message.role + '\\n' + parts(message.content) + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if enable_thinking is defined and enable_thinking is false -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}
{%- endif -%}
{%- endif -%}"""

BASE = {
    "attention_bias": False,
    "attention_dropout": 0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "use_cache": True,
}
LM = {
    **BASE,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000,
    "sliding_window": None,
    "use_sliding_window": False,
}


def codec_ids(codes: int) -> dict[str, int]:
    """Ids of the talker's codec embedding beyond the codes; with 2048 codes those of the release."""
    return {
        "codec_pad_id": codes + 100,
        "codec_bos_id": codes + 101,
        "codec_eos_token_id": codes + 102,
        "codec_nothink_id": codes + 107,
        "codec_think_bos_id": codes + 108,
        "codec_think_eos_id": codes + 109,
    }


def omni_configs(
    d: OmniDims, vocabulary: Vocabulary, *, audio_output: bool = True
) -> dict[str, dict[str, Any]]:
    """The content of each JSON file by its name."""
    config = {
        "architectures": ["Qwen3OmniMoeForConditionalGeneration"],
        "model_type": "qwen3_omni_moe",
        "dtype": "bfloat16",
        "enable_audio_output": audio_output,
        "system_token_id": vocabulary.tokens["system"],
        "user_token_id": vocabulary.tokens["user"],
        **vocabulary.config_ids(),
        # not 4.57.3, for which transformers warns of another model's tokenizer
        "transformers_version": "4.57.0.dev0",
        "thinker_config": _thinker(d, vocabulary),
    }
    if audio_output:
        config["talker_config"] = _talker(d, vocabulary)
        config["code2wav_config"] = _code2wav(d)
    return {
        "config.json": config,
        "generation_config.json": GENERATION if audio_output else {},
        "preprocessor_config.json": _preprocessor(d),
        "chat_template.json": {"chat_template": CHAT_TEMPLATE},
    }


def _decoder(d: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        **LM,
        "model_type": kind,
        "num_hidden_layers": d["layers"],
        "num_attention_heads": d["heads"],
        "num_key_value_heads": d["kv_heads"],
        "head_dim": d["head_dim"],
    }


def _moe(d: dict[str, Any], kind: str, vocab: int, ff: int, shared: int) -> dict[str, Any]:
    side = d["head_dim"] * 5 // 32  # the release has sections 24, 20, 20 of 64
    return {
        **_decoder(d, kind),
        "vocab_size": vocab,
        "hidden_size": d["hidden"],
        "intermediate_size": ff,
        "num_experts": d["experts"],
        "num_experts_per_tok": d["experts_used"],
        "moe_intermediate_size": d["expert_ff"],
        "shared_expert_intermediate_size": shared,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "use_qk_norm": True,
        "max_position_embeddings": 65536,
        "rope_scaling": {
            "interleaved": True,
            "mrope_interleaved": True,
            "rope_type": "default",
            "type": "default",
            "mrope_section": [d["head_dim"] // 2 - 2 * side, side, side],
        },
    }


def _media(vocabulary: Vocabulary) -> dict[str, int]:
    return {
        "audio_token_id": vocabulary.special("<|audio_pad|>"),
        "image_token_id": vocabulary.special("<|image_pad|>"),
        "video_token_id": vocabulary.special("<|video_pad|>"),
        "audio_start_token_id": vocabulary.special("<|audio_start|>"),
        "vision_start_token_id": vocabulary.special("<|vision_start|>"),
        "position_id_per_seconds": 13,
        "seconds_per_chunk": 2,
    }


def _thinker(d: OmniDims, vocabulary: Vocabulary) -> dict[str, Any]:
    t, a, v = d["thinker"], d["audio"], d["vision"]
    audio = {
        "model_type": "qwen3_omni_moe_audio_encoder",
        "d_model": a["hidden"],
        "encoder_layers": a["layers"],
        "encoder_attention_heads": a["heads"],
        "encoder_ffn_dim": a["ff"],
        "num_mel_bins": a["mels"],
        "n_window": a["window"],
        "n_window_infer": a["window_infer"],
        "conv_chunksize": 500,
        "downsample_hidden_size": a["conv"],
        "output_dim": t["hidden"],
        "max_source_positions": a["positions"],
        "activation_function": "gelu",
        "scale_embedding": False,
    }
    vision = {
        "model_type": "qwen3_omni_moe_vision_encoder",
        "depth": v["layers"],
        "hidden_size": v["hidden"],
        "num_heads": v["heads"],
        "intermediate_size": v["ff"],
        "hidden_act": "gelu_pytorch_tanh",
        "patch_size": v["patch"],
        "temporal_patch_size": v["temporal"],
        "spatial_merge_size": v["merge"],
        "in_channels": 3,
        "out_hidden_size": t["hidden"],
        "num_position_embeddings": v["grid"] ** 2,
        "deepstack_visual_indexes": list(v["deepstack"]),
        "image_size": v["grid"] * v["patch"],
        "tokens_per_second": 2,
        "apply_vit_abs_pos_embed": True,
    }
    return {
        **_media(vocabulary),
        "model_type": "qwen3_omni_moe_thinker",
        "user_token_id": vocabulary.tokens["user"],
        "audio_end_token_id": vocabulary.special("<|audio_end|>"),
        "vision_end_token_id": vocabulary.special("<|vision_end|>"),
        "audio_config": audio,
        "vision_config": vision,
        "text_config": _moe(t, "qwen3_omni_moe_text", t["vocab"], t["expert_ff"], 0),
    }


def _talker(d: OmniDims, vocabulary: Vocabulary) -> dict[str, Any]:
    t, k, p = d["thinker"], d["talker"], d["predictor"]
    predictor = {
        **_decoder(p, "qwen3_omni_moe_talker_code_predictor"),
        "vocab_size": k["codes"],
        "hidden_size": k["hidden"],
        "intermediate_size": p["ff"],
        "layer_types": ["full_attention"] * p["layers"],
        "rope_scaling": None,
        "max_position_embeddings": 32768,
        "num_code_groups": k["groups"],
    }
    voices = {"chelsie": k["codes"] + 253, "ethan": k["codes"] + 254, "aiden": k["codes"] + 255}
    return {
        **_media(vocabulary),
        **codec_ids(k["codes"]),
        "model_type": "qwen3_omni_moe_talker",
        "accept_hidden_layer": t["accept"],
        "thinker_hidden_size": t["hidden"],
        "num_code_groups": k["groups"],
        "spatial_merge_size": d["vision"]["merge"],
        "speaker_id": voices,
        "code_predictor_config": predictor,
        "text_config": _moe(
            k, "qwen3_omni_moe_talker_text", k["codes"] + 1024, k["resize_ff"], k["shared_ff"]
        ),
    }


def _code2wav(d: OmniDims) -> dict[str, Any]:
    c, k = d["code2wav"], d["talker"]
    return {
        **BASE,
        "codebook_size": k["codes"],
        "num_quantizers": k["groups"],
        "hidden_size": c["hidden"],
        "num_hidden_layers": c["layers"],
        "num_attention_heads": c["heads"],
        "num_key_value_heads": c["heads"],
        "intermediate_size": c["ff"],
        "rope_theta": 10000,
        "sliding_window": c["window"],
        "rms_norm_eps": 1e-5,
        "layer_scale_initial_scale": 0.01,
        "max_position_embeddings": 8000,
        "decoder_dim": c["decoder"],
        "upsample_rates": list(c["rates"]),
        "upsampling_ratios": list(c["ratios"]),
        # in the release, and read by no class
        "codebook_dim": 512,
        "semantic_codebook_size": 4096,
        "num_semantic_quantizers": 1,
        "vector_quantization_hidden_dimension": 512,
    }


def _preprocessor(d: OmniDims) -> dict[str, Any]:
    v = d["vision"]
    return {
        "processor_class": "Qwen3OmniMoeProcessor",
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": d["audio"]["mels"],
        "sampling_rate": 16000,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": 300,
        "n_samples": 4800000,
        "nb_max_frames": 30000,
        "dither": 0.0,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "patch_size": v["patch"],
        "temporal_patch_size": v["temporal"],
        "merge_size": v["merge"],
        "min_pixels": 3136,
        "max_pixels": 12845056,
    }
