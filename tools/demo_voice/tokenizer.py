"""A tokenizer cut so finely that text comes at well under one token per codec frame, near one a phone.

    python tokenizer.py WORK

Writes WORK/tokenizer/{vocab.json,merges.txt,tokenizer_config.json} in the Qwen2 layout: bytes; the pairs of
letters that English spells one sound with; every letter and pair at the beginning of a word; then what makes
`assistant` one token, which the official prompt slicing needs.
"""

import argparse
import json
import re
import string
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

SPLIT = (  # of the Qwen2 tokenizer
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ROLE = "assistant"
SPACE = "Ġ"  # as the byte-level alphabet writes it
# Read as one sound, mostly.
PAIRS = re.findall("..", "thshchwhphckngqueeooeaouaiayoaowllsseraror")
LETTERS = string.ascii_lowercase + string.ascii_uppercase
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>"]


def make(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """A Qwen2 tokenizer of these merges."""
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def load_tokenizer(work: Path) -> Tokenizer:
    """The one in WORK/tokenizer, without its special tokens."""
    folder = work / "tokenizer"
    merges = [tuple(line.split()) for line in (folder / "merges.txt").read_text().splitlines()[1:]]
    return make(json.loads((folder / "vocab.json").read_text()), merges)


def with_role(merges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The merges, and after them those that join ROLE from what they leave of it."""
    pieces, extra = list(ROLE), []
    for left, right in merges:
        at = 0
        while at < len(pieces) - 1:
            if (pieces[at], pieces[at + 1]) == (left, right):
                pieces[at : at + 2] = [left + right]
            at += 1
    while len(pieces) > 1:
        extra.append((pieces[0], pieces[1]))
        pieces[:2] = [pieces[0] + pieces[1]]
    return merges + extra


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--voice", default="rms")
    arguments = parser.parse_args()
    texts = (arguments.work / "train.txt").read_text().splitlines()
    frames = np.load(arguments.work / f"{arguments.voice}-train.npz")["frames"]
    sample = [i for i in range(0, len(frames), 11) if len(texts[i].split()) >= 4]
    pairs = [(pair[0], pair[1]) for pair in PAIRS]
    merges = with_role([*pairs, *((SPACE, beginning) for beginning in [*PAIRS, *LETTERS])])
    vocab = {entry: index for index, entry in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    tokenizer = make(vocab, merges)
    ratios = [len(tokenizer.encode(texts[i]).ids) / frames[i] for i in sample]
    assert tokenizer.encode(ROLE).tokens == [ROLE]
    assert len(tokenizer.encode("\n").ids) == 1
    folder = arguments.work / "tokenizer"
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n"
    )
    added = {
        str(len(vocab) + index): {
            "content": content,
            "special": True,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "single_word": False,
        }
        for index, content in enumerate(SPECIAL)
    }
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "bos_token": None,
        "model_max_length": 131072,
        "added_tokens_decoder": added,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    spread = np.percentile(ratios, [5, 50, 95])
    print(
        f"{len(vocab)} tokens, {np.mean(ratios):.2f} of them a frame, {np.round(spread, 2)} at 5, 50 and 95 %"
    )


if __name__ == "__main__":
    main()
