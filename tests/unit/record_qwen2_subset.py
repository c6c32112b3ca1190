"""Cut the part of the real Qwen2 vocabulary that the recorded strings need.

    python tests/unit/record_qwen2_subset.py ggml-vocab-qwen2.gguf

Byte-pair encoding takes the pair of lowest rank among those present. Every merge taken for a string is kept
here, in order, so the cut vocabulary takes the same ones and gives the same ids.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent
IDS = HERE.parent / "parity" / "recorded" / "tokenizer_ids.json"
OUT = HERE / "recorded" / "qwen2_subset.json"


def merges_taken(word: str, ranks: dict[tuple[str, str], int]) -> set[int]:
    """Return the ranks of the merges that encoding one word takes."""
    parts, taken = list(word), set()
    while True:
        pairs = [(ranks.get(pair, sys.maxsize), i) for i, pair in enumerate(pairwise(parts))]
        rank, at = min(pairs, default=(sys.maxsize, 0))
        if rank == sys.maxsize:
            return taken
        taken.add(rank)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def main() -> None:
    """Write ``recorded/qwen2_subset.json``: ``{"n_tokens", "tokens": {text: id}, "merges": [...]}``."""
    from tokenizers import Regex, pre_tokenizers

    from pyomni.metadata import Metadata
    from pyomni.text.tokenizer import PATTERN

    meta = Metadata.read(sys.argv[1])
    tokens, merges = meta.strings("tokenizer.ggml.tokens"), meta.strings("tokenizer.ggml.merges")
    ids = {text: i for i, text in enumerate(tokens)}
    pairs = [tuple(merge.split(" ", 1)) for merge in merges]
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    taken: set[int] = set()
    for case in json.loads(IDS.read_text("utf-8")):
        for word, _ in split.pre_tokenize_str(unicodedata.normalize("NFC", case["text"])):
            taken |= merges_taken(word, ranks)
    kept = [pairs[rank] for rank in sorted(taken)]
    texts = {
        *pre_tokenizers.ByteLevel.alphabet(),
        *(part for pair in kept for part in (*pair, "".join(pair))),
    }
    cut = {
        "n_tokens": len(tokens),
        "tokens": {text: ids[text] for text in sorted(texts, key=ids.__getitem__)},
        "merges": [" ".join(pair) for pair in kept],
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(cut, indent=0) + "\n", encoding="utf-8")
    print(f"{OUT}: {len(cut['tokens'])} tokens, {len(kept)} merges")


if __name__ == "__main__":
    main()
