"""Tokenizer files for random checkpoints: the real Qwen2 vocabulary, or bytes with a handful of merges."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyomni.errors import ModelFormatError

__all__ = ["Vocabulary", "byte_vocabulary", "real_vocabulary", "write_tokenizer"]

N_REAL = 151643  # ids before the first special token of the real vocabulary
REAL_IDS = {"assistant": 77091}
# fmt: off
SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>",
    "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>",
    "</tool_response>", "<think>", "</think>", "<|audio_start|>", "<|audio_end|>", "<tts_pad>",
    "<tts_text_bos>", "<tts_text_eod>", "<tts_text_bos_single>", "<|audio_pad|>",
)
# fmt: on
# Words built up one letter at a time, each step a merge, so that the prompt's role header is three tokens.
MERGED_WORDS = ("assistant", "user", "Ġthe", "ing")


@dataclass(frozen=True)
class Vocabulary:
    """A byte-level BPE vocabulary: `tokens` to ids, merges in order, special tokens from `n_base` on."""

    tokens: dict[str, int]
    merges: tuple[str, ...]
    n_base: int

    @property
    def n_ids(self) -> int:
        """Ids in all."""
        return self.n_base + len(SPECIAL_TOKENS)

    def special(self, text: str) -> int:
        """Id of a special token."""
        return self.n_base + SPECIAL_TOKENS.index(text)

    def config_ids(self) -> dict[str, int]:
        """The ids `config.json` names."""
        return {
            "assistant_token_id": self.tokens["assistant"],
            "im_start_token_id": self.special("<|im_start|>"),
            "im_end_token_id": self.special("<|im_end|>"),
            "tts_pad_token_id": self.special("<tts_pad>"),
            "tts_bos_token_id": self.special("<tts_text_bos>"),
            "tts_eos_token_id": self.special("<tts_text_eod>"),
        }


def byte_vocabulary(
    *, compact: bool, words: Sequence[str] = MERGED_WORDS, real_ids: Mapping[str, int] = REAL_IDS
) -> Vocabulary:
    """256 bytes and a few words' merges; special tokens follow at once, or at the real ids after filler.

    Parameters
    ----------
    compact : special tokens follow at once
    words : built up one letter at a time
    real_ids : ids that some of the words have where the vocabulary is not compact
    """
    tokens = {char: i for i, char in enumerate(_byte_chars())}
    merges: list[str] = []
    for word in words:
        for n in range(2, len(word) + 1):
            if word[:n] not in tokens:
                merges.append(f"{word[: n - 1]} {word[n - 1]}")
                tokens[word[:n]] = len(tokens)
    if compact:
        return Vocabulary(tokens, tuple(merges), len(tokens))
    free = [tokens[word] for word in real_ids]
    tokens.update(real_ids)
    for i in [*free, *range(len(tokens), N_REAL)]:
        if i not in real_ids.values():
            tokens[f"filler{i}"] = i
    return Vocabulary(tokens, tuple(merges), N_REAL)


def real_vocabulary(path: str | Path) -> Vocabulary:
    """The Qwen2 vocabulary out of a GGUF that holds one.

    Raises
    ------
    ModelFormatError
        The file has no such vocabulary.
    """
    from gguf import GGUFReader

    try:
        fields = GGUFReader(path).fields
        tokens = fields["tokenizer.ggml.tokens"].contents()[:N_REAL]
        merges = fields["tokenizer.ggml.merges"].contents()
    except (KeyError, ValueError) as error:
        raise ModelFormatError(f"{path}: no GPT-2 vocabulary found, expected a GGUF with Qwen2's") from error
    vocabulary = Vocabulary({text: i for i, text in enumerate(tokens)}, tuple(merges), N_REAL)
    if len(vocabulary.tokens) != N_REAL or vocabulary.tokens.get("assistant") != REAL_IDS["assistant"]:
        raise ModelFormatError(f"{path}: {len(vocabulary.tokens)} tokens found, expected Qwen2's {N_REAL}")
    return vocabulary


def write_tokenizer(out: Path, vocabulary: Vocabulary, **more: Any) -> None:
    """Write `vocab.json`, `merges.txt` and `tokenizer_config.json`, the latter with the keys of `more`."""
    (out / "vocab.json").write_text(json.dumps(vocabulary.tokens, ensure_ascii=False), encoding="utf-8")
    merges = "\n".join(("#version: 0.2", *vocabulary.merges))
    (out / "merges.txt").write_text(f"{merges}\n", encoding="utf-8", newline="\n")
    added = {
        str(vocabulary.special(text)): {
            "content": text,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": text.startswith(("<|", "<tts")),
        }
        for text in SPECIAL_TOKENS
    }
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": [text for text in SPECIAL_TOKENS[1:] if text.startswith("<|")],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
        **more,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _byte_chars() -> list[str]:
    """GPT-2's printable stand-in for each byte, in the order of its vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]
