"""A thinker in a GGUF made for llama.cpp, architecture ``qwen3vlmoe``: text only.

What its keys mean to the network is in `csrc/core/foreign.cpp`; here is what prompts need. Such a file names
few ids, so most come from the vocabulary by their text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyomni.errors import ModelFormatError, PyOmniError, UnsupportedModel
from pyomni.metadata.header import Metadata
from pyomni.metadata.omni import MediaIds, OmniMetadata
from pyomni.siblings import SIBLINGS

__all__ = ["ARCHITECTURE", "read_foreign"]

ARCHITECTURE = "qwen3vlmoe"
UNUSED = 5  # ggml's token type of an id without a token
MEDIA = {
    "audio": "<|audio_pad|>",
    "image": "<|image_pad|>",
    "video": "<|video_pad|>",
    "audio_start": "<|audio_start|>",
    "audio_end": "<|audio_end|>",
    "vision_start": "<|vision_start|>",
    "vision_end": "<|vision_end|>",
}
# generate()'s own: such a file says nothing, or what llama.cpp's sampler should do
DEFAULTS: dict[str, Any] = {
    "do_sample": False,
    "temperature": 1.0,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "top_k": 50,
    "max_new_tokens": 1024,
}


def read_foreign(path: str | Path) -> OmniMetadata:
    """Read the header of a file made for llama.cpp.

    Its media and speech are no error here: `OmniMetadata.require` says that they need our own conversion.

    Raises
    ------
    ModelFileError, ModelFormatError
        As `Metadata.read`; also where a key, or a token of the chat frame, is missing.
    UnsupportedModel
        One part of a file that was split.
    """
    m = Metadata.read(path)
    if m.get("split.count", 0) > 1:
        raise UnsupportedModel(
            f"{m.path}: is one of {m['split.count']} parts, expected a whole file; llama.cpp's "
            "`llama-gguf-split --merge` joins them"
        )
    tokens, types = m.strings("tokenizer.ggml.tokens"), m.ints("tokenizer.ggml.token_type")
    if not tokens or len(types) != len(tokens):
        raise ModelFormatError(
            f"{m.path}: key 'tokenizer.ggml.token_type' has {len(types)} entries, expected one for each of "
            f"{len(tokens)} tokens"
        )
    # later ids win: control tokens lie behind the words they may be spelled like
    ids = {text: i for i, text in enumerate(tokens) if types[i] != UNUSED}

    def frame(text: str) -> int:
        if text not in ids:
            raise ModelFormatError(f"{m.path}: the vocabulary has no token {text!r}, expected Qwen3-Omni's")
        return ids[text]

    media = {name: ids[text] for name, text in MEDIA.items() if text in ids}
    stops = [frame("<|im_end|>"), *(ids[text] for text in ("<|endoftext|>",) if text in ids)]
    if "tokenizer.ggml.eos_token_id" in m:
        stops.append(m.u32("tokenizer.ggml.eos_token_id"))
    problems: dict[str, PyOmniError] = {
        sibling: UnsupportedModel(
            f"{m.path}: made for llama.cpp, it reads and writes text and has no {' or '.join(held)}; "
            "expected files that `pyomni convert` makes from the checkpoint"
        )
        for sibling, held in SIBLINGS.items()
    }
    return OmniMetadata(
        meta=m,
        headers={"thinker": m},
        problems=problems,
        chat_template=m.str("tokenizer.chat_template"),
        im_start_id=frame("<|im_start|>"),
        im_end_id=frame("<|im_end|>"),
        system_id=frame("system"),
        user_id=frame("user"),
        assistant_id=frame("assistant"),
        text_pad_id=ids.get("<tts_pad>", -1),
        text_bos_id=ids.get("<tts_text_bos>", -1),
        text_eos_id=ids.get("<tts_text_eod>", -1),
        media=MediaIds(**media) if len(media) == len(MEDIA) else None,
        stop_ids=tuple(dict.fromkeys(stops)),
        n_tokens=max(ids.values()) + 1,
        n_vocab=len(tokens),
        n_embd=m.u32(f"{ARCHITECTURE}.embedding_length"),
        n_ctx_max=m.u32(f"{ARCHITECTURE}.context_length"),
        speaks=False,
        positions_per_second=0,
        defaults=dict(DEFAULTS),
    )
