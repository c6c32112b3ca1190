#!/usr/bin/env python3
"""Write a thinker of ours as llama.cpp's converter would have it, to measure both on the same weights.

python tools/thinker_for_llama_cpp.py omni.gguf llama-layout.gguf

The tensors are the same bytes under llama.cpp's names, the keys those of its architecture ``qwen3vlmoe``.
They are copied in pieces, so memory stays flat.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFWriter

sys.path.append(str(Path(__file__).resolve().parent.parent))  # after an installed copy, which is compiled

from pyomni.convert.writer import add_key
from pyomni.metadata import Metadata

__all__ = ["ARCHITECTURE", "write_for_llama_cpp"]

ARCHITECTURE = A = "qwen3vlmoe"
OURS = "thinker."
PIECE = 1 << 24  # bytes copied at once


def keys_of(meta: Metadata) -> dict[str, Any]:
    """Return what llama.cpp wants to know of a thinker."""
    t = OURS
    return {
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


def write_for_llama_cpp(
    ours: Path, out: Path, change: Callable[[dict[str, Any]], object] = lambda _: None
) -> Path:
    """Write `out` with the thinker of `ours`, a main file that `pyomni convert` made, and return it.

    Parameters
    ----------
    ours, out : paths of GGUF files
    change : may edit the keys before they are written
    """
    keys = keys_of(Metadata.read(ours))
    change(keys)
    tensors = GGUFReader(ours).tensors
    writer = GGUFWriter(out, A)
    try:
        for key, value in keys.items():
            add_key(writer, key, value)
        for t in tensors:
            name, shape = t.name.removeprefix(OURS), [int(n) for n in reversed(t.shape)]
            writer.add_tensor_info(name, shape, np.dtype(np.float32), int(t.n_bytes), raw_dtype=t.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        assert writer.fout is not None
        into = writer.fout[0]
        with ours.open("rb") as source:
            for t in tensors:
                writer.write_padding(into, into.tell())
                source.seek(int(t.data_offset))
                left = int(t.n_bytes)
                while left:
                    left -= into.write(source.read(min(PIECE, left)))
        writer.write_padding(into, into.tell())
    finally:
        writer.close()
    return out


def main() -> None:
    """Write the file the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ours", type=Path, help="a model's main file, as `pyomni convert` writes it")
    parser.add_argument("out", type=Path, help="file to write")
    args = parser.parse_args()
    out = write_for_llama_cpp(args.ours, args.out)
    print(f"{out}: {out.stat().st_size / 1e9:.3f} GB")


if __name__ == "__main__":
    main()
