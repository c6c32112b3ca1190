"""The text tokenizer's files as GGUF keys: vocabulary by id, token types, merges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyomni.convert.json_config import Config, read_config
from pyomni.convert.writer import Value
from pyomni.errors import ModelFileError, ModelFormatError

__all__ = ["SPEECH_IDS", "id_keys", "text_keys", "tokenizer_keys"]

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # ggml's token types
MAX_VOCAB = 1 << 22
# ids of the chat frame and of the text side of speech, under `tts.text.`
SPEECH_IDS = {
    "im_start": "im_start_token_id",
    "im_end": "im_end_token_id",
    "assistant": "assistant_token_id",
    "pad": "tts_pad_token_id",
    "bos": "tts_bos_token_id",
    "eos": "tts_eos_token_id",
}


def text_keys(folder: Path, config: Config, n_vocab: int) -> dict[str, Value]:
    """Keys `tokenizer.ggml.*` and `tts.text.*`; arguments and exceptions are those of the functions below."""
    keys = tokenizer_keys(folder, n_vocab)
    return {**keys, **id_keys(config, "tts.text.", SPEECH_IDS, keys["tokenizer.ggml.token_type"])}


def tokenizer_keys(folder: Path, n_vocab: int) -> dict[str, Any]:
    """Keys `tokenizer.ggml.*`.

    Parameters
    ----------
    folder : holds `vocab.json`, `merges.txt` and `tokenizer_config.json`
    n_vocab : rows of the text embedding

    Raises
    ------
    ModelFileError
        A file is missing.
    ModelFormatError
        An id is outside the embedding or taken twice, or a merge is not a pair of known tokens.
    """
    if n_vocab > MAX_VOCAB:
        raise ModelFormatError(f"{folder}: text vocabulary of {n_vocab}, expected at most {MAX_VOCAB}")
    tokens: list[str | None] = [None] * n_vocab
    types = [UNUSED] * n_vocab
    vocab = read_config(folder / "vocab.json")
    known = {text: _place(vocab, text, value, tokens) for text, value in vocab.values.items()}
    for index in known.values():
        types[index] = NORMAL
    for index, content, special in _added(read_config(folder / "tokenizer_config.json"), n_vocab):
        tokens[index], types[index] = content, CONTROL if special else USER_DEFINED

    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": [f"[PAD{i}]" if text is None else text for i, text in enumerate(tokens)],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": _merges(folder / "merges.txt", known),
    }


def id_keys(config: Config, prefix: str, names: Mapping[str, str], types: Sequence[int]) -> dict[str, Value]:
    """Ids that a configuration names, each of which must have a token.

    Parameters
    ----------
    config : an object of `config.json`
    prefix : of the keys, with its dot
    names : key without prefix and ``_id``, to the key of `config`
    types : ggml's token type by id
    """
    ids: dict[str, Value] = {}
    for name, key in names.items():
        index = config.whole(key, low=0, high=len(types) - 1)
        if types[index] == UNUSED:
            raise config.fail(key, "the id of a token in vocab.json or added_tokens_decoder")
        ids[f"{prefix}{name}_id"] = index
    return ids


def _place(vocab: Config, text: str, index: object, tokens: list[str | None]) -> int:
    if type(index) is not int or not 0 <= index < len(tokens):
        raise ModelFormatError(
            f"{vocab.path}: token {text!r} has id {index!r}, expected 0 to {len(tokens) - 1}"
        )
    if tokens[index] is not None:
        raise ModelFormatError(f"{vocab.path}: tokens {tokens[index]!r} and {text!r} both have id {index}")
    tokens[index] = text
    return index


def _added(config: Config, n_vocab: int) -> list[tuple[int, str, bool]]:
    """(id, text, is it special) of the tokens that are not made by merges."""
    added = config.sub("added_tokens_decoder")
    found = []
    for key in added.values:
        entry = added.sub(key)
        # isdecimal alone would let other scripts' digits through.
        if not (key.isascii() and key.isdecimal() and len(key) < 10 and int(key) < n_vocab):
            raise added.fail(key, f"ids from 0 to {n_vocab - 1}")
        found.append((int(key), entry.text("content"), entry.flag("special", False)))
    return found


def _merges(path: Path, known: dict[str, int]) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: not found, expected a Hugging Face model folder to hold it") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{path}: not UTF-8 text ({error})") from error
    # Only a first line naming the version is a comment: many real merges begin with '#'.
    first = 1 if lines[0].startswith("#version") else 0
    merges = []
    for number, line in enumerate(lines[first:], first + 1):
        merge = line.rstrip("\r")
        if not merge:
            continue
        left, _, right = merge.partition(" ")
        if left + right not in known or left not in known or right not in known:
            raise ModelFormatError(
                f"{path}: line {number} merges {merge[:60]!r}, expected two tokens of vocab.json"
            )
        merges.append(merge)
    return merges
