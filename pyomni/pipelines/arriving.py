"""Text that trails behind the prompt, and may still be on its way: a prompt that waits for its text.

In the streaming layout each frame takes one more text token. A text known from the start and one that arrives
in pieces go through the same prompt, whose rows are made one by one when a frame needs them; so they give the
same codes. When text is late, the loop waits for it: the end of the text, and the padding after it, come only
when the iterator has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pyomni.components.lm import TEXT
from pyomni.errors import ArgumentError
from pyomni.pipelines.lane import TextLate
from pyomni.pipelines.prompt import Embed, PromptLayout, TalkerPrompt
from pyomni.pipelines.speech import Request
from pyomni.text.incremental import IncrementalEncoder
from pyomni.text.length import SpokenTime, spoken_time

__all__ = ["Arrival", "Arriving", "ArrivingText", "trailing_prompt"]

F32 = npt.NDArray[np.float32]


class Written(Protocol):
    """A text of which more may come: `ArrivingText`, or an answer that is being written."""

    @property
    def ids(self) -> list[int]: ...

    def wait(self, n: int) -> bool: ...


class Arrival(Iterator[str]):
    """Pieces of text that one thread adds and another reads, which is not made to wait for them.

    Attributes
    ----------
    n_chars : int
        Added so far.
    ended : bool
        Whether that is all.
    """

    def __init__(self) -> None:
        self.n_chars, self.ended = 0, False
        self._pieces: deque[str] = deque()

    def add(self, piece: str) -> None:
        """Append a piece."""
        self.n_chars += len(piece)
        self._pieces.append(piece)

    def end(self) -> None:
        """Say that nothing more comes."""
        self.ended = True

    def __next__(self) -> str:
        """Return the next piece.

        Raises
        ------
        TextLate
            It has not come.
        """
        ended = self.ended  # first: a piece may come between the two looks, and the end after it
        if self._pieces:
            return self._pieces.popleft()
        raise StopIteration if ended else TextLate


class ArrivingText:
    """The ids of a text that comes from an iterator, which is asked for a piece only when one is needed.

    Parameters
    ----------
    pieces : iterable of str
        Pieces of the text, of any length.
    encoder : IncrementalEncoder
        New.
    """

    def __init__(self, pieces: Iterable[str], encoder: IncrementalEncoder) -> None:
        self.ids: list[int] = []
        self.time = SpokenTime(0, 0)  # of the pieces read
        self._pieces: Iterator[str] | None = iter(pieces)
        self._encoder = encoder
        self._says = False

    def wait(self, n: int) -> bool:
        """Read the iterator until n ids are certain or it ends; return whether there are n.

        Raises
        ------
        ArgumentError
            It ended without anything to say, or gave something other than text.
        Exception
            Whatever the iterator raises; after `TextLate` it can be called again.
        """
        while len(self.ids) < n and self._read():
            pass
        return len(self.ids) >= n

    def wait_for_time(self, least: int) -> None:
        """Read on until the text takes that many milliseconds at least, or ends; raises as `wait`."""
        while self.time.least < least and self._read():
            pass

    def _read(self) -> bool:
        """Read one piece; return whether there was one."""
        if self._pieces is None:
            return False
        for piece in self._pieces:
            self.ids += self._encoder.feed(piece)
            self.time = self.time.plus(spoken_time(piece))
            self._says = self._says or bool(piece.strip())
            return True
        self._pieces = None
        if not self._says:
            raise ArgumentError("the pieces of text are empty or white space, expected something to say")
        self.ids += self._encoder.finish()
        return False

    def close(self) -> None:
        """Close the iterator, where it can be closed; what was not read of it stays unread."""
        pieces, self._pieces = self._pieces, None
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


@dataclass(frozen=True)
class Arriving:
    """What a plan has instead of its final layout while the text is on its way.

    Attributes
    ----------
    text : ArrivingText
        Where the ids come from.
    lay_out : callable (ids) -> PromptLayout
        The layout of a text.
    n_first : int
        Ids the prompt itself takes; with at least as many, the rest trails.
    limit, least : callable () -> int
        Most frames for the text known so far; fewest that the text can be said in.
    """

    text: ArrivingText
    lay_out: Callable[[Sequence[int]], PromptLayout]
    n_first: int
    limit: Callable[[], int]
    least: Callable[[], int]

    def begins(self) -> bool:
        """Whether the text that the prompt takes is there, where the pieces are an `Arrival`.

        Raises
        ------
        ArgumentError
            It has ended without anything to say.
        """
        try:
            self.text.wait(self.n_first)
        except TextLate:
            return False
        return True

    def first_layout(self) -> PromptLayout:
        """Wait for the text that the prompt takes, and lay it out with what is known.

        The last id of `PromptLayout.trailing`, the end of the text, holds only if the text is not longer.
        """
        self.text.wait(self.n_first)
        return self.lay_out(self.text.ids)


@dataclass(frozen=True)
class TrailingPrompt(TalkerPrompt):
    """A prompt whose trailing rows are looked up when they are needed, one at a time.

    Attributes
    ----------
    lead : tuple of int
        Ids that trail before those of the text from `begin` on.
    text : Written or None
        None where `lead` is all there is.
    begin : int
        Where in the text the rest begins.
    embed : Embed
        `DecoderLM.embed` of the talker.
    end_id : int
        Follows the text.
    """

    lead: tuple[int, ...]
    text: Written | None
    begin: int
    embed: Embed
    end_id: int = -1

    def text_row(self, frame: int) -> F32:
        """Return the text-side row added after a frame, waiting for its text: float32 [n_embd]."""
        at = frame - len(self.lead)
        if at < 0:
            return self._row(self.lead[frame])
        if self.text is None:
            return self.pad_row
        if self.text.wait(self.begin + at + 1):
            return self._row(self.text.ids[self.begin + at])
        return self._row(self.end_id) if self.begin + at == len(self.text.ids) else self.pad_row

    def _row(self, i: int) -> F32:
        # always alone: the rows of a batch may differ from it in the last bit
        row: F32 = self.embed(TEXT, [i])[0]
        return row


@dataclass(frozen=True)
class ArrivingRequest(Request):
    """A request whose limits grow with its text."""

    limit: Callable[[], int] = field(default=lambda: 0)
    least: Callable[[], int] = field(default=lambda: 0)

    @property
    def max_frames(self) -> int:
        """Most frames, for the text known so far."""
        return self.limit()

    @property
    def capped(self) -> bool:
        """Whether it is the text that limits them."""
        return self.options.guard is not None and self.limit() < self.options.max_frames

    @property
    def least_frames(self) -> int:
        """Fewest frames the text can be said in, waiting for as much of it as that takes to tell."""
        return 0 if self.options.guard is None else self.least()


def trailing_prompt(
    layout: PromptLayout,
    arriving: Arriving | None,
    embed: Embed,
    build: Callable[[PromptLayout], TalkerPrompt],
) -> TalkerPrompt:
    """Return the prompt of a layout; text that trails is looked up when its frame comes.

    Parameters
    ----------
    layout : PromptLayout
        Of the text; not used for one that is arriving.
    arriving : Arriving or None
        The text that is arriving: this waits until the prompt can be made.
    embed : callable (table, ids) -> float32 [n, n_embd]
        `DecoderLM.embed` of the talker.
    build : callable (PromptLayout) -> TalkerPrompt
        Makes the rows of a layout.
    """
    if arriving is not None:
        layout = arriving.first_layout()
    if not layout.trailing:
        return build(layout)
    made = build(replace(layout, trailing=()))
    if arriving is None or len(arriving.text.ids) < arriving.n_first:  # all of the text is in the layout
        return TrailingPrompt(
            made.rows, made.trailing, made.pad_row, layout.trailing, None, 0, embed, n_voice=made.n_voice
        )
    lead = layout.trailing[:-1]
    return TrailingPrompt(
        made.rows, made.trailing, made.pad_row, lead, arriving.text, len(arriving.text.ids), embed,
        layout.trailing[-1], n_voice=made.n_voice,
    )  # fmt: skip
