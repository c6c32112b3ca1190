"""The Qwen2 byte-level BPE tokenizer, built from the vocabulary a GGUF file carries.

Text is NFC-normalised, split by the Qwen2 pattern and merged byte by byte. Spellings of special tokens in the
text are ordinary text: a user cannot type a control token. Their ids come from the file's metadata instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyomni.errors import ArgumentError, ModelFormatError

__all__ = ["PATTERN", "Tokenizer"]

#: The pre-tokenizer of Qwen2 (HF ``Qwen2TokenizerFast``); the alternatives are tried in this order.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)

#: ``tokenizer.ggml.token_type`` of an ordinary token; all other types are outside the BPE.
NORMAL = 1


class Tokenizer:
    """Text to ids and back.

    Parameters
    ----------
    tokens : sequence of str
        Token text by id in the GPT-2 byte alphabet, special tokens included (``tokenizer.ggml.tokens``).
    token_types : sequence of int
        By id (``tokenizer.ggml.token_type``); only type 1 takes part in merging.
    merges : iterable of str
        ``"left right"`` in order of priority (``tokenizer.ggml.merges``).

    Raises
    ------
    ModelFormatError
        The lists do not fit together.
    """

    def __init__(self, tokens: Sequence[str], token_types: Sequence[int], merges: Iterable[str]) -> None:
        # the import costs tens of milliseconds, and most commands never tokenize
        from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
        from tokenizers import Tokenizer as Backend

        if len(tokens) != len(token_types):
            raise ModelFormatError(
                f"tokenizer.ggml.token_type has {len(token_types)} entries, expected one for each "
                f"of the {len(tokens)} tokens"
            )
        self.n_tokens = len(tokens)
        vocab = {
            text: i for i, (text, kind) in enumerate(zip(tokens, token_types, strict=False)) if kind == NORMAL
        }
        pairs = []
        for merge in merges:
            left, found, right = merge.partition(" ")
            if not found:
                raise ModelFormatError(
                    f"tokenizer.ggml.merges holds {merge!r}, expected two tokens with a space between"
                )
            pairs.append((left, right))
        try:
            backend = Backend(models.BPE(vocab=vocab, merges=pairs))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelFormatError(f"tokenizer.ggml.merges does not fit the tokens: {error}") from None
        backend.normalizer = normalizers.NFC()
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        backend.decoder = decoders.ByteLevel()
        missing = [c for c in sorted(pre_tokenizers.ByteLevel.alphabet()) if c not in vocab]
        if missing:
            # a byte outside the vocabulary would vanish from the speech without a word
            raise ModelFormatError(
                f"tokenizer.ggml.tokens lacks {len(missing)} single bytes, {missing[0]!r} among them, "
                "expected all 256"
            )
        self._backend = backend
        self._normalizer = normalizers.NFC()
        self._cut = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; nothing is added before or after it.

        Raises
        ------
        ArgumentError
            The text holds half of a surrogate pair, which no encoding of text can.
        """
        _check_unicode(text)
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def split(self, text: str) -> list[str]:
        """Return the pre-tokens of a text: NFC, cut where no merge may reach across.

        The ids of a text are those of its pre-tokens, encoded one by one.

        Raises
        ------
        ArgumentError
            Half of a surrogate pair, as `encode`.
        """
        _check_unicode(text)
        return [piece for piece, _ in self._cut.pre_tokenize_str(self._normalizer.normalize_str(text))]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ordinary ids; ids of special tokens are left out."""
        return str(self._backend.decode(list(ids), skip_special_tokens=False))


def _check_unicode(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"the text has the lone surrogate {text[error.start]!r} at character {error.start}, "
            "expected Unicode text"
        ) from None
