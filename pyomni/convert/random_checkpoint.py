"""Qwen3-TTS checkpoints in Hugging Face layout with random weights, at the real sizes or at toy sizes.

For speed, plumbing and parity: what they say is noise. `qwen_tts` loads the folder as it would a real one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyomni.convert.random_config import GENERATION, codec_config, feature_config, speech_config
from pyomni.convert.random_sizes import SCALES, checkpoint_dims
from pyomni.convert.random_text import byte_vocabulary, real_vocabulary, write_tokenizer
from pyomni.convert.random_weights import codec_weights, speech_weights
from pyomni.convert.safetensors_file import write_safetensors
from pyomni.errors import ArgumentError

__all__ = ["KINDS", "SCALES", "checkpoint_dims", "write_checkpoint"]

KINDS = ("base", "custom_voice", "voice_design")


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
    dtype : ``"bf16"`` or ``"f32"`` for talker, code predictor and speaker encoder; the codec is float32
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
    config = speech_config(d, kind, vocabulary)
    _write_json(out / "config.json", config)
    _write_json(out / "generation_config.json", GENERATION)
    _write_json(
        out / "preprocessor_config.json", {**feature_config(d), "processor_class": "Qwen3TTSProcessor"}
    )
    _write_json(codec / "config.json", codec_config(d))
    _write_json(codec / "preprocessor_config.json", feature_config(d))

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


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
