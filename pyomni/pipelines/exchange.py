"""What talker and code predictor hand each other with every frame, by lane of the talker.

The talker's hidden row is the predictor's input, and the sum of the frame's embeddings is the codec side of
the row the talker reads next. On the CPU they are arrays here; on a device they stay there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.options import Draw

if TYPE_CHECKING:
    from pyomni.components.lm import DecoderLM

__all__ = ["Exchange", "exchange"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]


class Exchange(Protocol):
    """The rows of each lane, and the two calls that pass them on."""

    def hidden(self, lane: int) -> F32:
        """Return the hidden row, float32 [n_hidden], that the talker left of a lane."""

    def put_hidden(self, lane: int, row: F32) -> None:
        """Put a lane's hidden row where it was once, or where a prefill left it."""

    def put_sum(self, lane: int, row: F32) -> None:
        """Leave for the talker the sum, float32 [n_embd], of a frame that was filled elsewhere."""

    def fill(self, lanes: Sequence[int], code0: Sequence[int], draw: Draw, uniforms: F64) -> I32:
        """Fill a frame of each lane and keep its sum.

        Parameters
        ----------
        lanes : sequence of int
            Ascending.
        code0 : sequence of int
            Group 0 of each.
        draw : Draw
        uniforms : float64 [n_lanes, n_groups - 1]

        Returns
        -------
        int32 [n_lanes, n_groups]
        """

    def read(self, lanes: Sequence[int], text: F32, places: Mapping[str, Any]) -> F32:
        """Let the talker read the sum that was kept of each lane, and its text; keep the hidden row.

        Parameters
        ----------
        lanes : sequence of int
            Ascending.
        text : float32 [n_lanes, n_embd]
            The text side of the rows.
        places : mapping
            ``positions`` of `DecoderLM.decode`, or nothing.

        Returns
        -------
        float32 [n_lanes, n_vocab]
            Logits of group 0.
        """


class _OnHost:
    """Rows as arrays."""

    def __init__(self, talker: DecoderLM, predictor: DecoderLM) -> None:
        self._talker, self._predictor = talker, predictor
        self._hidden: dict[int, F32] = {}
        self._sums: dict[int, F32] = {}

    def hidden(self, lane: int) -> F32:
        return self._hidden[lane]

    def put_hidden(self, lane: int, row: F32) -> None:
        self._hidden[lane] = row

    def put_sum(self, lane: int, row: F32) -> None:
        self._sums[lane] = row

    def fill(self, lanes: Sequence[int], code0: Sequence[int], draw: Draw, uniforms: F64) -> I32:
        codes, sums = self._predictor.groups(
            np.stack([self._hidden[lane] for lane in lanes]),  # [n_lanes, n_hidden]
            np.array(code0, np.int32),
            **_how(draw),
            uniforms=uniforms,
        )
        self._sums.update(zip(lanes, sums, strict=True))
        return codes

    def read(self, lanes: Sequence[int], text: F32, places: Mapping[str, Any]) -> F32:
        rows = np.stack([self._sums[lane] for lane in lanes]) + text  # [n_lanes, n_embd]
        step = self._talker.decode(rows[:, None], lanes=lanes, **places)
        self._hidden.update(zip(lanes, step.hidden, strict=True))
        return step.logits


class _OnDevice:
    """Rows that stay on the device of both."""

    def __init__(self, talker: DecoderLM, predictor: DecoderLM) -> None:
        talker.join(predictor)
        self._talker, self._predictor = talker, predictor

    def hidden(self, lane: int) -> F32:
        return self._talker.row(lane)

    def put_hidden(self, lane: int, row: F32) -> None:
        self._talker.put_row(lane, row)

    def put_sum(self, lane: int, row: F32) -> None:
        self._predictor.put_row(lane, row)

    def fill(self, lanes: Sequence[int], code0: Sequence[int], draw: Draw, uniforms: F64) -> I32:
        return self._predictor.joined_groups(
            np.array(code0, np.int32), lanes, **_how(draw), uniforms=uniforms
        )

    def read(self, lanes: Sequence[int], text: F32, places: Mapping[str, Any]) -> F32:
        return self._talker.joined_decode(text, lanes, **places)


def exchange(talker: DecoderLM, predictor: DecoderLM) -> Exchange:
    """Return how these two pass each other their rows."""
    return _OnDevice(talker, predictor) if talker.joins else _OnHost(talker, predictor)


def _how(draw: Draw) -> dict[str, Any]:
    return {"temperature": draw.temperature, "top_k": draw.top_k, "top_p": draw.top_p}
