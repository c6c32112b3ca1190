"""A tokenizer cut so finely that text comes at just under one token per codec frame.

    python tokenizer.py WORK [--ratio 0.86]

Writes WORK/tokenizer/{vocab.json,merges.txt,tokenizer_config.json} in the Qwen2 layout: bytes, as few
merges as give the wanted mean of tokens per frame, then those that make `assistant` one token, which the
official prompt slicing needs.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPLIT = (  # of the Qwen2 tokenizer
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ROLE = "assistant"
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
    parser.add_argument("--ratio", type=float, default=0.86)
    arguments = parser.parse_args()
    texts = (arguments.work / "train.txt").read_text().splitlines()
    frames = np.load(arguments.work / f"{arguments.voice}-train.npz")["frames"]
    texts = texts[: len(frames)]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained = make({letter: index for index, letter in enumerate(alphabet)}, [])
    trained.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    ranked = [tuple(pair) for pair in json.loads(trained.to_str())["model"]["merges"]]
    sample = [i for i in range(0, len(texts), 11) if len(texts[i].split()) >= 4]
    for count in range(0, len(ranked), 2):
        merges = with_role(ranked[:count])
        vocab = {entry: index for index, entry in enumerate(alphabet)}
        for left, right in merges:
            vocab.setdefault(left + right, len(vocab))
        tokenizer = make(vocab, merges)
        ratios = [len(tokenizer.encode(texts[i]).ids) / frames[i] for i in sample]
        if np.mean(ratios) <= arguments.ratio:
            break
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
        f"{count} merges + {len(merges) - count} for {ROLE}: "
        f"{np.mean(ratios):.2f} tokens a frame, {np.round(spread, 2)}"
    )


if __name__ == "__main__":
    main()
