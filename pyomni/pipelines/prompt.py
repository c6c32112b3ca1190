"""Text and voice to talker rows: the only file that knows the prompt layout of Qwen3-TTS.

A talker position is the sum of a text-side row and a codec-side row; either may be missing. `layout` says
which ids stand where, `build` turns that into rows. Layouts follow
``Qwen3TTSForConditionalGeneration.generate`` of qwen-tts 0.1.1; docs/architecture.md has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.components.lm import CODEC, TEXT
from pyomni.errors import ArgumentError

if TYPE_CHECKING:
    from pyomni.metadata import SpeechMetadata

__all__ = [
    "REFERENCE_ROW",
    "SPEAKER_ROW",
    "PromptLayout",
    "Reference",
    "TalkerPrompt",
    "build",
    "language_id",
    "layout",
    "reference_rows",
    "text_ids",
    "wrapped_ids",
]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
Embed = Callable[[int, Sequence[int]], F32]
#: A text id and a codec id of one position; either may be None.
Position = tuple[int | None, int | None]

#: Stands for a codec id in a layout where the row of a cloned speaker is added instead.
SPEAKER_ROW = -1

#: ``REFERENCE_ROW - t`` stands for a codec id where the row of frame t of the reference is added instead.
REFERENCE_ROW = -2


class Encoder(Protocol):
    """The part of `pyomni.text.tokenizer.Tokenizer` a prompt needs."""

    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class PromptLayout:
    """Which ids a prompt is made of.

    Attributes
    ----------
    positions : tuple of (text id or None, codec id, SPEAKER_ROW, REFERENCE_ROW - t or None)
        One pair per prefill position.
    trailing : tuple of int
        Text ids added to the first decoded frames, one each, after the prefill.
    pad : int
        Text id added to every frame after those.
    n_text : int
        Tokens of the text to speak.
    n_voice : int
        The first so many positions are the same whatever the text: instruction, header, language, speaker,
        and of a reference what comes before the text.
    """

    positions: tuple[Position, ...]
    trailing: tuple[int, ...]
    pad: int
    n_text: int
    n_voice: int = 0


@dataclass(frozen=True)
class Reference:
    """A reference clip for in-context cloning, as a layout needs it.

    Attributes
    ----------
    text : tuple of int
        Ids of its transcript (`text_ids`).
    n_frames : int
        Frames of codes it has.
    """

    text: tuple[int, ...]
    n_frames: int


@dataclass(frozen=True)
class TalkerPrompt:
    """A prompt as rows.

    Attributes
    ----------
    rows : float32 [n, n_embd]
        The prefill.
    trailing : float32 [n_trailing, n_embd]
        Text rows of the first decoded frames; may be empty.
    pad_row : float32 [n_embd]
        Text row of every later frame.
    n_voice : int
        The first so many rows are the same whatever the text.
    positions : float32 [n, n_axes] or None
        Where the rows stand; None counts from 0.
    shift : float
        Row n after the prefill stands at n + shift.
    """

    rows: F32
    trailing: F32
    pad_row: F32
    n_voice: int = field(default=0, kw_only=True)
    positions: F32 | None = field(default=None, kw_only=True)
    shift: float = field(default=0.0, kw_only=True)

    def text_row(self, frame: int) -> F32:
        """Return the text-side row added after frame 0, 1, ...: float32 [n_embd]."""
        row: F32 = self.trailing[frame] if frame < len(self.trailing) else self.pad_row
        return row


def text_ids(tokenizer: Encoder, text: str, what: str = "text") -> list[int]:
    """Tokenise the text to speak, on its own, so that no header can merge with it.

    Raises
    ------
    ArgumentError
        Nothing is left to say.
    """
    if not text.strip():
        raise ArgumentError(f"the {what} is {_short(text)}, expected something to say")
    return tokenizer.encode(text)


def wrapped_ids(tokenizer: Encoder, meta: SpeechMetadata, text: str) -> list[int]:
    """Return the ids of ``<|im_start|>assistant\\n{text}<|im_end|>\\n<|im_start|>assistant\\n``.

    The official package tokenises this string and slices it; `layout` uses only its header and the text.
    """
    newline = tokenizer.encode("\n")
    header = [meta.im_start_id, meta.assistant_id, *newline]
    return [*header, *tokenizer.encode(text), meta.im_end_id, *newline, *header]


def instruct_ids(tokenizer: Encoder, meta: SpeechMetadata, instruct: str) -> list[int]:
    """Return the ids of ``<|im_start|>user\\n{instruct}<|im_end|>\\n``, or none for a blank instruction."""
    if not instruct.strip():
        return []
    # leading line breaks would not merge with the header's here as they do in one string: leave them out
    body = tokenizer.encode(instruct.lstrip("\r\n"))
    return [meta.im_start_id, *tokenizer.encode("user\n"), *body, meta.im_end_id, *tokenizer.encode("\n")]


def language_id(meta: SpeechMetadata, language: str | None, speaker: str | None) -> int | None:
    """Return the codec id of a language, or None for none.

    None and ``auto`` are no language. A speaker that speaks a dialect overrides those and ``chinese`` with
    it; any other explicit language wins over the dialect.

    Raises
    ------
    ArgumentError
        A language the file does not have, or a dialect, which comes with its speaker.
    """
    name = "auto" if language is None else language.strip().lower()
    dialect = meta.dialects.get(speaker) if speaker is not None else None
    if dialect and name in ("auto", "chinese"):
        return meta.languages[dialect]
    if name == "auto":
        return None
    if name not in meta.languages or "dialect" in name:
        known = ", ".join(["auto", *user_languages(meta)])
        raise ArgumentError(f"language {language!r} is not in this model, expected one of: {known}")
    return meta.languages[name]


def user_languages(meta: SpeechMetadata) -> list[str]:
    """Return the languages a caller may ask for: all but the dialects, which come with a speaker."""
    return [name for name in meta.languages if "dialect" not in name]


def layout(
    meta: SpeechMetadata,
    tokenizer: Encoder,
    text: Sequence[int],
    *,
    language: int | None = None,
    speaker: int | None = None,
    instruct: Sequence[int] = (),
    reference: Reference | None = None,
    streaming: bool = False,
) -> PromptLayout:
    """Lay out a prompt.

    Parameters
    ----------
    text : sequence of int
        Ids of the text to speak (`text_ids`), at least one.
    language : int or None
        Codec id (`language_id`).
    speaker : int or None
        Codec id of a preset speaker, SPEAKER_ROW for a row given to `build`, None for no speaker.
    instruct : sequence of int
        Ids of the wrapped instruction (`instruct_ids`).
    reference : Reference, optional
        Clone in context: the prompt says the transcript of this clip, then speaks its frames.
    streaming : bool
        True: text trails behind, one token per frame, as far as it is not in the prompt: the prompt holds one
        token, or with a reference as many as that has frames. False: all text is in the prompt.
    """
    if language is None:
        tags = [meta.codec_nothink_id, meta.codec_think_bos_id, meta.codec_think_eos_id]
    else:
        tags = [meta.codec_think_id, meta.codec_think_bos_id, language, meta.codec_think_eos_id]
    codec = [*tags, *([] if speaker is None else [speaker]), meta.codec_pad_id]

    positions: list[Position] = [(i, None) for i in instruct]
    positions += [(i, None) for i in (meta.im_start_id, meta.assistant_id, *tokenizer.encode("\n"))]
    positions += [(meta.text_pad_id, c) for c in codec[:-1]]
    positions.append((meta.text_bos_id, codec[-1]))  # begin of text sits on the codec pad, not on codec begin
    n_voice = len(positions)
    if reference is not None:
        rest, trailing = _in_context(meta, text, reference, streaming)
        positions += rest
        # the text follows the transcript; streamed, both stand beside the frames, which may end first
        n_voice += min(len(reference.text), len(rest))
    elif streaming:
        positions.append((text[0], meta.codec_bos_id))
        trailing = [*text[1:], meta.text_eos_id]
    else:
        positions += [(i, meta.codec_pad_id) for i in (*text, meta.text_eos_id)]
        positions.append((meta.text_pad_id, meta.codec_bos_id))
        trailing = []
    return PromptLayout(tuple(positions), tuple(trailing), meta.text_pad_id, len(text), n_voice)


def _in_context(
    meta: SpeechMetadata, text: Sequence[int], reference: Reference, streaming: bool
) -> tuple[list[Position], list[int]]:
    """Return what follows the prefix for in-context cloning, and the text that trails.

    It ends on the last frame of the reference, whose hidden state predicts the first new one: there is no
    begin of speech between the two, and neither is there between the two texts.
    """
    said = [*reference.text, *text, meta.text_eos_id]  # [T1]
    spoken = [meta.codec_bos_id, *(REFERENCE_ROW - t for t in range(reference.n_frames))]  # [T2]
    if not streaming:
        pad = meta.codec_pad_id, meta.text_pad_id
        return [*((t, pad[0]) for t in said), *((pad[1], c) for c in spoken)], []
    padded = [*said, *[meta.text_pad_id] * (len(spoken) - len(said))]  # at least [T2]
    return list(zip(padded, spoken, strict=False)), padded[len(spoken) :]


def reference_rows(codes: I32, embed: Embed, embed_group: Embed) -> F32:
    """Return the rows of a reference's frames: the sum of each frame's code embeddings.

    Parameters
    ----------
    codes : int32 [n_frames, n_groups]
        Of the reference clip.
    embed : callable (table, ids) -> float32 [n, n_embd]
        `DecoderLM.embed` of the talker, which embeds group 0.
    embed_group : callable (table, ids) -> float32 [n, n_embd]
        `DecoderLM.embed` of the code predictor, whose table g - 1 embeds group g.

    Returns
    -------
    float32 [n_frames, n_embd]
    """
    rows = embed(CODEC, codes[:, 0].tolist())  # [n_frames, n_embd]
    for group in range(1, codes.shape[1]):
        rows = rows + embed_group(group - 1, codes[:, group].tolist())
    return rows


def build(
    plan: PromptLayout,
    embed: Embed,
    speaker_row: F32 | None = None,
    reference: F32 | None = None,
) -> TalkerPrompt:
    """Turn a layout into rows.

    Parameters
    ----------
    plan : PromptLayout
        What stands where.
    embed : callable (table, ids) -> float32 [n, n_embd]
        `DecoderLM.embed` of the talker.
    speaker_row : float32 [n_embd], optional
        The row of SPEAKER_ROW.
    reference : float32 [n_frames, n_embd], optional
        The rows of REFERENCE_ROW - t (`reference_rows`).
    """
    text = [t for t, _ in plan.positions]
    codec = [c for _, c in plan.positions]
    # each id once: most positions of the streaming layout share the pad
    text_table = _Rows(embed, TEXT, [i for i in text if i is not None] + [*plan.trailing, plan.pad])
    codec_table = _Rows(embed, CODEC, [i for i in codec if i is not None and i >= 0])
    rows = np.zeros((len(text), text_table.width), np.float32)  # [n, n_embd]
    for row, t, c in zip(rows, text, codec, strict=False):
        if t is not None:
            row += text_table[t]
        if c == SPEAKER_ROW:
            if speaker_row is None:
                raise ArgumentError("the prompt has a speaker slot and no speaker row was given for it")
            row += speaker_row
        elif c is not None and c <= REFERENCE_ROW:
            if reference is None:
                raise ArgumentError("the prompt has frames of a reference and no rows were given for them")
            row += reference[REFERENCE_ROW - c]
        elif c is not None:
            row += codec_table[c]
    trailing = np.zeros((len(plan.trailing), text_table.width), np.float32)  # [n_trailing, n_embd]
    for row, t in zip(trailing, plan.trailing, strict=False):
        row += text_table[t]
    return TalkerPrompt(rows, trailing, text_table[plan.pad].copy(), n_voice=plan.n_voice)


class _Rows:
    """Rows of one table by id, looked up in one call."""

    def __init__(self, embed: Embed, table: int, ids: Sequence[int]) -> None:
        unique = sorted(set(ids))
        self._index = {i: n for n, i in enumerate(unique)}
        self._rows = embed(table, unique)  # [n_unique, n_embd]
        self.width = int(self._rows.shape[1])

    def __getitem__(self, i: int) -> F32:
        row: F32 = self._rows[self._index[i]]
        return row


def _short(text: str) -> str:
    return "empty" if not text else "only white space"
