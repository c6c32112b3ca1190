"""Language models: thinker, talker and code predictor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyomni._binding import Model, Session

TEXT: Final = 0
"""The talker's text table: the text embedding through the text projection."""
CODEC: Final = 1
"""The talker's codec table: control ids, languages, speakers and code group 0."""
TOKENS: Final = 0
"""The thinker's only table."""
TEXT_ROWS: Final = 0
"""The projection of Qwen3-Omni's talker for the thinker's embedding rows, as of text."""
HIDDEN_ROWS: Final = 1
"""The projection of Qwen3-Omni's talker for the thinker's accepted rows, as of sound and sight."""


class Step(NamedTuple):
    """What a decode leaves of each lane.

    Attributes
    ----------
    logits : float32 [n_lanes, n_vocab], last position
    hidden : float32 [n_lanes, n_hidden], last position, normed
    accepted : float32 [n_lanes, n, n_embd], every row behind ``info.accept_layer`` layers, without a norm;
        None where it was not asked for
    """

    logits: NDArray[np.float32]
    hidden: NDArray[np.float32]
    accepted: NDArray[np.float32] | None = None


class DecoderLM:
    """A language model, some rows at a time, for several independent lanes.

    Parameters
    ----------
    model : Model
        A thinker, talker or code predictor.
    n_ctx : int
        Positions each lane can hold.
    n_lanes : int
        Independent sequences that can be decoded together.
    kv : str
        Type of the KV cache: ``f32`` (the reference), ``f16`` (half of it) or ``q8_0`` (a quarter; heads in
        whole blocks of 32 channels).

    Attributes
    ----------
    joins : bool
        Whether who uses it as a talker should `join` it: on the CPU there is nothing to gain.
    """

    def __init__(self, model: Model, n_ctx: int, n_lanes: int = 1, kv: str = "f32") -> None:
        self.session = Session(model, n_ctx, n_lanes, kv)
        self.joins: bool = model.device_name != "cpu"
        self.info = model.info
        self.n_ctx = n_ctx
        self.n_lanes = n_lanes

    def embed(self, table: int, ids: ArrayLike) -> NDArray[np.float32]:
        """Look up ``ids`` (int [n]) in ``table``: float32 [n, n_embd].

        A thinker has ``TOKENS``; a talker ``TEXT`` (Qwen3-TTS only) and ``CODEC``; table g - 1 of a code
        predictor embeds code group g.

        Raises
        ------
        ArgumentError
            No such table, or an id outside it.
        """
        return self.session.lm_embed(table, ids)

    def project(self, which: int, rows: ArrayLike) -> NDArray[np.float32]:
        """Turn a thinker's rows into rows of Qwen3-Omni's talker, one by one.

        Parameters
        ----------
        which : ``TEXT_ROWS`` or ``HIDDEN_ROWS``
        rows : float32 [n, info.n_embd_proj]
            Embedding rows of text, or accepted rows of sound and sight.

        Returns
        -------
        float32 [n, n_embd]

        Raises
        ------
        ArgumentError
            No such projection (other components have none), or rows of another width.
        """
        return self.session.lm_project(which, rows)

    def decode(
        self,
        rows: ArrayLike,
        *,
        lanes: Sequence[int] | None = None,
        head: int = 0,
        positions: ArrayLike | None = None,
        deepstack: ArrayLike | None = None,
        accepted: bool = False,
    ) -> Step:
        """Append rows to lanes and return each lane's last position.

        Parameters
        ----------
        rows : float32 [n_lanes, n, n_embd] or [n, n_embd]
            The same number of rows for each lane; two axes stand for one lane.
        lanes : sequence of int, optional
            Ascending; by default 0, 1, ... as many as ``rows`` has.
        head : int
            Output head of a code predictor: ``g - 1`` predicts code group g.
        positions : float32 [n_lanes, n, n_axes] or [n, n_axes], optional
            Of a thinker or of Qwen3-Omni's talker: time, height and width, not necessarily whole. By default
            a row's place in the cache, on every axis. Places are counted on whatever the positions are.
        deepstack : float32 [n_lanes, n_deepstack, n, n_embd] or [n_deepstack, n, n_embd], optional
            Of a thinker: rows added behind its first layers, zero where nothing is seen.
        accepted : bool
            Whether ``Step.accepted`` is wanted (a thinker's, where ``info.accept_layer`` is not 0).

        Raises
        ------
        ArgumentError
            Shapes that do not fit, or something this component does not have.
        ContextFull
            The rows do not fit into n_ctx; nothing was changed.
        """
        given = np.asarray(rows, np.float32)
        if given.ndim == 2:
            given = given[None]
            positions = None if positions is None else np.asarray(positions, np.float32)[None]
            deepstack = None if deepstack is None else np.asarray(deepstack, np.float32)[None]
        which = range(len(given)) if lanes is None else lanes
        logits, hidden, behind, _ = self.session.lm_decode(given, which, head, positions, deepstack, accepted)
        assert logits is not None
        assert hidden is not None
        return Step(logits, hidden, behind)

    def each(self, rows: ArrayLike, *, lane: int = 0, head: int = 0, n_heads: int = 1) -> NDArray[np.float32]:
        """Append rows to a lane of a code predictor and put every one of them through several heads.

        Parameters
        ----------
        rows : float32 [n, n_embd]
        lane : int
        head, n_heads : int
            Heads ``head`` to ``head + n_heads - 1``; ``g - 1`` predicts code group g.

        Returns
        -------
        float32 [n, n_heads, n_vocab]

        Raises
        ------
        ArgumentError
            Shapes that do not fit, heads that are not there, or a component that is no code predictor.
        ContextFull
            The rows do not fit into n_ctx; nothing was changed.
        """
        given = np.asarray(rows, np.float32)[None]
        each = self.session.lm_decode(given, [lane], head, n_heads=n_heads)[3]
        assert each is not None
        return each[0]

    def groups(
        self,
        hidden: ArrayLike,
        code0: ArrayLike,
        *,
        temperature: float,
        top_k: int,
        top_p: float,
        uniforms: ArrayLike | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Fill one frame per lane, lanes 0 to n - 1, in one graph; the lanes' positions are forgotten.

        Parameters
        ----------
        hidden : float32 [n, n_embd]
            The talker's hidden rows that ``code0`` was drawn from.
        code0 : int [n]
            Code group 0 of each frame.
        temperature, top_k, top_p
            Temperature 0 is greedy; top_k 0 and top_p 1 keep every code.
        uniforms : float64 [n, n_groups - 1], optional
            Numbers in [0, 1), one per draw; greedy draws need none.

        Returns
        -------
        codes : int32 [n, n_groups]
        row_sum : float32 [n, n_embd]
            Sum of the frame's code embeddings, group 0 included: the codec side of the next talker row.
        """
        codes, row_sum = self.session.lm_groups(hidden, code0, temperature, top_k, top_p, uniforms)
        assert row_sum is not None
        return codes, row_sum

    # -- a talker and a code predictor that leave each other rows on their device ----

    def join(self, predictor: DecoderLM) -> None:
        """Let this talker and the predictor of its frames leave each other rows; once is enough.

        From then on a decode of the talker leaves each lane's hidden row on the device, and a frame of the
        predictor its row sum: `joined_groups` and `joined_decode` read them there, and `row` here.

        Raises
        ------
        ArgumentError
            They are no such two, not of one `Device`, or the predictor has fewer lanes.
        """
        self.session.lm_join(predictor.session)

    def joined_decode(
        self, rows: ArrayLike, lanes: Sequence[int], positions: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Append to lanes of a joined talker a row each, to which the sum of its frame is added.

        Parameters
        ----------
        rows : float32 [n_lanes, n_embd]
            The text side of the rows.
        lanes : sequence of int
            Ascending.
        positions : float32 [n_lanes, 1, n_axes], optional
            As of `decode`.

        Returns
        -------
        float32 [n_lanes, n_vocab]
            Logits; the hidden rows stay.

        Raises
        ------
        ArgumentError
            The talker was not joined, or as of `decode`.
        ContextFull
            As of `decode`.
        """
        given = np.asarray(rows, np.float32)[:, None]
        logits = self.session.lm_decode(given, lanes, positions=positions, joined=True)[0]
        assert logits is not None
        return logits

    def joined_groups(
        self,
        code0: ArrayLike,
        lanes: Sequence[int],
        *,
        temperature: float,
        top_k: int,
        top_p: float,
        uniforms: ArrayLike | None = None,
    ) -> NDArray[np.int32]:
        """Fill one frame for each of a joined talker's lanes, ascending; otherwise as `groups`.

        Returns
        -------
        int32 [n, n_groups]
            Codes; the row sums stay.
        """
        return self.session.lm_groups(None, code0, temperature, top_k, top_p, uniforms, lanes)[0]

    def row(self, lane: int) -> NDArray[np.float32]:
        """Return what this joined model left of a lane of the talker, float32 [n_embd]."""
        return self.session.lm_row(lane)

    def put_row(self, lane: int, row: ArrayLike) -> None:
        """Leave another row in its place."""
        self.session.lm_row(lane, row)

    def rewind(self, lane: int = 0, n_past: int = 0) -> None:
        """Forget the positions of ``lane`` from ``n_past`` on."""
        self.session.rewind(lane, n_past)

    def n_past(self, lane: int = 0) -> int:
        """Positions that ``lane`` holds."""
        return self.session.n_past(lane)

    def save(self, lane: int = 0) -> bytes:
        """Return the positions of ``lane``, for ``load``."""
        return self.session.save(lane)

    def load(self, saved: bytes, lane: int = 0) -> None:
        """Put ``lane`` where it was when ``saved`` was made; raises as ``Session.load``."""
        self.session.load(saved, lane)

    def close(self) -> None:
        """Free the session."""
        self.session.close()
