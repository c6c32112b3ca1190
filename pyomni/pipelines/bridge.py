"""From what the thinker reads and writes to what the talker reads: the only file that knows its prompt.

The talker reads the turns of users, then nine rows that begin the answer, then one text row with each frame.
Text reaches it as the thinker's embeddings through one projection, media as hidden states of the thinker
through another; earlier answers and the system message not at all. Follows ``generate``,
``_get_talker_user_parts`` and ``_get_talker_assistant_parts`` of ``Qwen3OmniMoeForConditionalGeneration`` in
transformers 4.57.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyomni.metadata import BridgeIds
from pyomni.pipelines.arriving import TrailingPrompt
from pyomni.pipelines.held import Prompt

__all__ = ["Projections", "TalkerLayout", "Writer", "lay_out", "talker_prompt"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TalkerLayout:
    """What the talker reads of a thinker's prompt.

    Attributes
    ----------
    kept : int [n_user]
        Positions of users' turns.
    header : int32 [3]
        Tokens that begin the answer.
    begun : int32 [n]
        What the answer begins with, where the prompt holds that as well.
    ids : int32 [n_user + 9]
        Tokens that the places of its rows are counted by.
    """

    kept: npt.NDArray[np.int64]
    header: I32
    begun: I32
    ids: I32


def lay_out(ids: BridgeIds, prompt: I32) -> TalkerLayout:
    """Find what of a thinker's prompt the talker reads.

    Parameters
    ----------
    prompt : int32 [n]
        Tokens up to where the answer begins; the last turn is the answer's.
    """
    starts = np.flatnonzero(prompt == ids.im_start)
    ends = np.append(starts[1:], len(prompt))
    users = [
        np.arange(b, e) for b, e in zip(starts, ends, strict=True) if e > b + 1 and prompt[b + 1] == ids.user
    ]
    kept = np.concatenate([np.zeros(0, np.int64), *users])
    answer = prompt[starts[-1] :]
    counted = np.concatenate([prompt[kept], np.full(9, ids.text_pad, np.int32)]).astype(np.int32)
    return TalkerLayout(kept, answer[:3], answer[3:], counted)


class Writer:
    """An answer as it is written: asked for a token, it writes on.

    Parameters
    ----------
    tokens : iterator of int
        Of the answer; ends with it.
    begun : int [n]
        Tokens the answer begins with.
    unspoken : Mapping of int to int
        Tokens that begin what is not for speaking, such as thoughts, and those that end it.

    Attributes
    ----------
    ids : list of int
        What is to be spoken so far.
    """

    def __init__(
        self, tokens: Iterator[int], begun: npt.ArrayLike = (), unspoken: Mapping[int, int] | None = None
    ) -> None:
        self.ids: list[int] = []
        self._tokens: Iterator[int] | None = tokens
        self._unspoken = unspoken or {}
        self._until: int | None = None  # the token that ends what is not spoken now
        for token in np.asarray(begun, np.int64).tolist():
            self._hear(token)

    @property
    def done(self) -> bool:
        """Whether the answer has ended."""
        return self._tokens is None

    def step(self) -> bool:
        """Write one more token; return whether there was one."""
        token = None if self._tokens is None else next(self._tokens, None)
        if token is None:
            self._tokens = None
            return False
        self._hear(token)
        return True

    def wait(self, n: int) -> bool:
        """Write until there are n tokens to speak or the answer ends; return whether there are n."""
        while len(self.ids) < n and self.step():
            pass
        return len(self.ids) >= n

    def _hear(self, token: int) -> None:
        if self._until is not None:
            self._until = None if token == self._until else self._until
        elif token in self._unspoken:
            self._until = self._unspoken[token]
        else:
            self.ids.append(token)


@dataclass(frozen=True)
class Projections:
    """What makes talker rows.

    Attributes
    ----------
    text : callable (token ids) -> float32 [n, n_embd]
        Embeddings of the thinker, projected.
    thought : callable (float32 [n, n_embd of the thinker]) -> float32 [n, n_embd]
        Hidden states of the thinker, projected.
    code : callable (codes) -> float32 [n, n_embd]
        The talker's own table.
    """

    text: Callable[[npt.ArrayLike], F32]
    thought: Callable[[F32], F32]
    code: Callable[[npt.ArrayLike], F32]


def talker_prompt(
    ids: BridgeIds,
    layout: TalkerLayout,
    prompt: Prompt,
    thought: F32,
    speaker: int,
    writer: Writer,
    make: Projections,
    positions: F64 | None,
) -> TrailingPrompt:
    """Return the rows the talker reads; those of text to come are made when their frame needs them.

    Parameters
    ----------
    layout : TalkerLayout
        Of `prompt`.
    prompt : Prompt
        What the thinker read.
    thought : float32 [n_media, n_embd of the thinker]
        Its hidden rows at the positions of media, in order.
    speaker : int
        Code of the speaker.
    writer : Writer
        With at least one token to speak.
    make : Projections
    positions : float64 [n_user + 9, 3] or None
        Places of the rows; None counts from 0.
    """
    pad, bos = make.text([ids.text_pad, ids.text_bos])
    is_media = prompt.medium >= 0
    which = np.cumsum(is_media) - 1  # of the rows of `thought`
    n_user = len(layout.kept)
    rows = np.zeros((n_user + 9, pad.size), np.float32)
    media = is_media[layout.kept]
    if media.any():
        rows[:n_user][media] = make.thought(thought[which[layout.kept[media]]])
    if not media.all():
        rows[:n_user][~media] = make.text(prompt.ids[layout.kept[~media]])
    # beside the text stand: nothing three times, then the codes that begin an answer
    rows[n_user : n_user + 3] = make.text(layout.header)
    rows[n_user + 3 : n_user + 7] = pad
    rows[n_user + 7] = bos
    rows[n_user + 8] = make.text(writer.ids[:1])[0]
    codes = [
        ids.codec_nothink,
        ids.codec_think_bos,
        ids.codec_think_eos,
        speaker,
        ids.codec_pad,
        ids.codec_bos,
    ]
    rows[n_user + 3 :] += make.code(codes)
    shift, places = 0.0, None
    if positions is not None:
        shift = float(positions.max()) + 1 - len(positions)
        places = positions.astype(np.float32)
    return TrailingPrompt(
        rows,
        np.zeros((0, pad.size), np.float32),
        pad,
        (),
        writer,
        1,
        lambda _, tokens: make.text(tokens),
        ids.text_eos,
        positions=places,
        shift=shift,
    )
