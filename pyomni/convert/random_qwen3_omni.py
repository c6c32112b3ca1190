"""Qwen3-Omni checkpoints in Hugging Face layout with random weights, at toy sizes or any other.

For speed, plumbing and parity: what they say is noise. transformers 4.57 loads the folder as a real one.
"""

from __future__ import annotations

import json
from pathlib import Path

from pyomni.convert.random_omni_config import MEDIA_TOKENS, ROLE_IDS, omni_configs
from pyomni.convert.random_omni_sizes import OMNI_SCALES, OmniDims, omni_dims
from pyomni.convert.random_omni_weights import omni_weights
from pyomni.convert.random_text import SPECIAL_TOKENS, byte_vocabulary, real_vocabulary, write_tokenizer
from pyomni.convert.random_weights import Weights
from pyomni.convert.safetensors_file import write_shards
from pyomni.errors import ArgumentError

__all__ = ["OMNI_SCALES", "omni_dims", "write_omni_checkpoint", "write_texts"]


def write_omni_checkpoint(
    out: str | Path,
    dims: OmniDims | None = None,
    seed: int = 1234,
    *,
    dtype: str = "bf16",
    n_shards: int = 1,
    eos_allowed: bool = False,
    audio_output: bool = True,
    vocab_gguf: str | Path | None = None,
) -> dict[str, int]:
    """Write a random checkpoint folder.

    Parameters
    ----------
    out : folder, made if it is not there
    dims : from `omni_dims`; the tiny scale if None
    seed : of the weights; the same seed gives the same bytes
    dtype : ``"bf16"``, as in the release, or ``"f32"``
    n_shards : safetensors files
    eos_allowed : text and speech end by themselves after some tens of steps; else they never do
    audio_output : False: thinker and encoders only, as in -Thinking and -Captioner
    vocab_gguf : a GGUF with the real Qwen2 vocabulary; None: bytes, a few merges and the special tokens

    Returns
    -------
    ``{"tensors", "parameters"}``

    Raises
    ------
    ArgumentError
        An unknown dtype, or no shard.
    """
    if dtype not in ("bf16", "f32"):
        raise ArgumentError(f"dtype {dtype!r} is unknown, expected bf16 or f32")
    if n_shards < 1:
        raise ArgumentError(f"{n_shards} shards asked for, expected 1 or more")
    out = Path(out)
    weights = write_texts(out, dims, seed, eos_allowed, audio_output, vocab_gguf)
    return {"tensors": len(weights), "parameters": write_shards(out, weights, dtype.upper(), n_shards)}


def write_texts(
    out: Path,
    dims: OmniDims | None,
    seed: int,
    eos_allowed: bool,
    audio_output: bool,
    vocab_gguf: str | Path | None,
) -> Weights:
    """Write all of a checkpoint folder but its weights, and return how these are made."""
    d = {network: dict(sizes) for network, sizes in (dims or omni_dims()).items()}
    thinker = d["thinker"]
    if vocab_gguf:
        vocabulary = real_vocabulary(vocab_gguf)
    else:
        words = (*ROLE_IDS, "Ġthe", "ing")
        vocabulary = byte_vocabulary(compact=thinker["compact_vocab"], words=words, real_ids=ROLE_IDS)
    thinker["vocab"] = max(thinker["vocab"], vocabulary.n_ids)
    out.mkdir(parents=True, exist_ok=True)
    write_tokenizer(
        out,
        vocabulary,
        additional_special_tokens=[text for text in SPECIAL_TOKENS[1:] if text.startswith(("<|", "<tts"))],
        extra_special_tokens=MEDIA_TOKENS,
        processor_class="Qwen3OmniMoeProcessor",
        **MEDIA_TOKENS,
    )
    for name, content in omni_configs(d, vocabulary, audio_output=audio_output).items():
        (out / name).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    return omni_weights(
        d,
        seed,
        never=range(vocabulary.n_base, thinker["vocab"]),
        end_id=vocabulary.special("<|im_end|>") if eos_allowed else None,
        audio_output=audio_output,
    )
