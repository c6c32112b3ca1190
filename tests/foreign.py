"""Thinkers in files as llama.cpp's converter writes them: its keys, its tensor names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gguf import GGUFReader, GGUFWriter

from pyomni.metadata import Metadata

A = "qwen3vlmoe"


def foreign_gguf(ours: Path, out: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Path:
    """Write a main file of ours as llama.cpp would have it; `change` may edit the keys first."""
    meta = Metadata.read(ours)
    t = "thinker."
    keys: dict[str, Any] = {
        f"{A}.block_count": meta.u32(t + "n_layer"),
        f"{A}.context_length": meta.u32(t + "n_ctx_max"),
        f"{A}.embedding_length": meta.u32(t + "n_embd"),
        f"{A}.feed_forward_length": 6144,  # said, and meaningless where all layers have experts
        f"{A}.attention.head_count": meta.u32(t + "n_head"),
        f"{A}.attention.head_count_kv": meta.u32(t + "n_head_kv"),
        f"{A}.attention.key_length": meta.u32(t + "head_dim"),
        f"{A}.attention.value_length": meta.u32(t + "head_dim"),
        f"{A}.attention.layer_norm_rms_epsilon": meta.f32(t + "rms_eps"),
        f"{A}.rope.freq_base": meta.f32(t + "rope_theta"),
        f"{A}.rope.dimension_sections": [*meta.ints(t + "rope_sections"), 0],
        f"{A}.expert_count": meta.u32(t + "n_expert"),
        f"{A}.expert_used_count": meta.u32(t + "n_expert_used"),
        f"{A}.expert_feed_forward_length": meta.u32(t + "n_ff_expert"),
        f"{A}.n_deepstack_layers": 0,
        "general.name": "Qwen3 Omni 30B A3B",
        "general.quantization_version": 2,
        "tokenizer.ggml.eos_token_id": meta.u32("tts.text.im_end_id"),
        "tokenizer.ggml.add_bos_token": False,
        **{key: meta[key] for key in meta if key.startswith("tokenizer.")},
    }
    change(keys)
    writer = GGUFWriter(out, A)
    for key, value in keys.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, list(value))
    for tensor in GGUFReader(ours).tensors:
        writer.add_tensor(tensor.name.removeprefix(t), tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out
