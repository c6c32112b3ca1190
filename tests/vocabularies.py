"""Vocabularies for tests: bytes and a few merges, and the committed cut of the real one."""

from __future__ import annotations

import json
from pathlib import Path


def byte_alphabet() -> list[str]:
    """Return GPT-2's printable stand-ins for the 256 bytes, by byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shown = {b: chr(b) for b in plain}
    extra = (b for b in range(256) if b not in shown)
    shown.update({b: chr(256 + n) for n, b in enumerate(extra)})
    return [shown[b] for b in range(256)]


BYTES = byte_alphabet()
SPACE = BYTES[32]
MERGES = ["h e", "l l", "he ll", "hell o", f"{SPACE} hell", "1 2", "# #"]
TOKENS = [*BYTES, *(merge.replace(" ", "") for merge in MERGES), "<|im_end|>", "<think>"]
TYPES = [1] * (256 + len(MERGES)) + [3, 4]


def qwen2_subset() -> tuple[list[str], list[int], list[str]]:
    """Return tokens, types and merges: what the recorded strings need of Qwen2's, at the real ids."""
    path = Path(__file__).parent / "unit" / "recorded" / "qwen2_subset.json"
    cut = json.loads(path.read_text("utf-8"))
    tokens, types = [f"[PAD{i}]" for i in range(cut["n_tokens"])], [5] * cut["n_tokens"]
    for text, i in cut["tokens"].items():
        tokens[i], types[i] = text, 1
    return tokens, types, cut["merges"]
