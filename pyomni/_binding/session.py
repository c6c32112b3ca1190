"""Sessions: the state of one component, and what can be asked of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pyomni import errors
from pyomni._binding.calls import Floats, Handle, Ints, array_of, checked, pointer_to
from pyomni._binding.device import Info, Model
from pyomni._native import ffi, lib

__all__ = ["KV_TYPES", "Session"]

KV_TYPES = {"f32": lib.OMNI_KV_F32, "f16": lib.OMNI_KV_F16, "q8_0": lib.OMNI_KV_Q8_0}


class Session(Handle):
    """State of one component: KV cache or stream state of ``n_lanes`` lanes, and the graphs built for it.

    One thread at a time: a second caller gets ``SessionBusy``. Every method raises ``ArgumentError`` for ids,
    lanes or shapes out of range, ``SessionBroken`` after a call that failed half way until its lanes are
    rewound to 0, and ``Cancelled`` when ``cancel`` was called. ``kv`` is the type of a language model's KV
    cache, one of ``KV_TYPES``; other components take ``f32``.
    """

    def __init__(self, model: Model, n_ctx: int = 0, n_lanes: int = 1, kv: str = "f32") -> None:
        if kv not in KV_TYPES:
            raise errors.ArgumentError(f"kv is {kv!r}, expected one of {', '.join(KV_TYPES)}")
        out = ffi.new("omni_session **")
        with checked() as call:
            call(lib.omni_session_open, model.pointer, n_ctx, n_lanes, KV_TYPES[kv], out)
        super().__init__(out[0], lib.omni_session_free)
        self.info: Info = model.info
        self.n_ctx = n_ctx
        self.n_lanes = n_lanes

    def rewind(self, lane: int = 0, n_past: int = 0) -> None:
        """Forget the positions of ``lane`` from ``n_past`` on; 0 starts it afresh (all a stream can do)."""
        with checked() as call:
            call(lib.omni_session_rewind, self.pointer, lane, n_past)

    def n_past(self, lane: int = 0) -> int:
        """Positions (or frames) that ``lane`` holds."""
        out = ffi.new("int32_t *")
        with checked() as call:
            call(lib.omni_session_n_past, self.pointer, lane, out)
        return int(out[0])

    def save(self, lane: int = 0) -> bytes:
        """Return ``lane`` as bytes, for ``load``."""
        n = ffi.new("int64_t *")
        with checked() as call:
            call(lib.omni_session_save, self.pointer, lane, ffi.NULL, 0, n)
            out = bytearray(n[0])
            call(lib.omni_session_save, self.pointer, lane, ffi.from_buffer(out), len(out), n)
        return bytes(out)

    def load(self, saved: bytes, lane: int = 0) -> None:
        """Put ``lane`` where it was when ``saved`` was made, by this session or another of the same weights.

        Raises
        ------
        ModelFormatError
            The bytes are damaged or no saved session.
        UnsupportedModel
            They are of another version.
        ArgumentError
            They were made with other weights.
        ContextFull
            They hold more positions than this session can.
        """
        with checked() as call:
            call(lib.omni_session_load, self.pointer, lane, ffi.from_buffer(saved), len(saved))

    def cancel(self) -> None:
        """End the call in progress, from any thread."""
        lib.omni_session_cancel(self.pointer)

    def tap(self, node: str) -> None:
        """Ask that the named node be kept by the runs that follow."""
        with checked() as call:
            call(lib.omni_session_tap, self.pointer, node.encode(), ffi.NULL, 0, ffi.NULL)

    def read_tap(self, node: str) -> Floats:
        """Return the named node of the last run, float32, flat, in ggml's order (first index fastest)."""
        n = ffi.new("int64_t *")
        with checked() as call:
            call(lib.omni_session_tap, self.pointer, node.encode(), ffi.NULL, 0, n)
            out = np.empty(n[0], np.float32)
            call(lib.omni_session_tap, self.pointer, node.encode(), pointer_to(out, "float *"), out.size, n)
        return out

    def lm_embed(self, table: int, ids: ArrayLike) -> Floats:
        """Look up ``ids`` (int [n]) in an embedding table: float32 [n, n_embd]."""
        wanted = array_of(ids, np.int32, 1, "ids")
        out = np.empty((wanted.size, self.info.n_embd), np.float32)
        with checked() as call:
            pointers = pointer_to(wanted, "int32_t *"), wanted.size, pointer_to(out, "float *")
            call(lib.omni_lm_embed, self.pointer, table, *pointers)
        return out

    def lm_project(self, which: int, rows: ArrayLike) -> Floats:
        """Turn another network's ``rows`` (float32 [n, n_embd_proj]) into rows of this one, [n, n_embd]."""
        given = array_of(rows, np.float32, 2, "rows")
        if given.shape[1] != self.info.n_embd_proj and self.info.n_projections:
            raise errors.ArgumentError(
                f"rows have shape {list(given.shape)}, expected [n, {self.info.n_embd_proj}]"
            )
        out = np.empty((given.shape[0], self.info.n_embd), np.float32)
        with checked() as call:
            pointers = pointer_to(given, "float *"), given.shape[0], pointer_to(out, "float *")
            call(lib.omni_lm_project, self.pointer, which, *pointers)
        return out

    def lm_decode(
        self,
        rows: ArrayLike,
        lanes: ArrayLike,
        head: int = 0,
        positions: ArrayLike | None = None,
        deepstack: ArrayLike | None = None,
        accepted: bool = False,
        n_heads: int | None = None,
        joined: bool = False,
    ) -> tuple[Floats | None, Floats | None, Floats | None, Floats | None]:
        """Append ``rows`` (float32 [n_lanes, n, n_embd]) to ``lanes`` (int [n_lanes], ascending).

        Parameters
        ----------
        rows, lanes
            As above.
        head : int
            Output head.
        positions : float32 [n_lanes, n, n_axes], optional
            Where a component has several axes; by default places in the cache, on every axis.
        deepstack : float32 [n_lanes, n_deepstack, n, n_embd], optional
            Rows added behind the first layers.
        accepted : bool
            Whether the rows behind ``info.accept_layer`` layers are wanted.
        n_heads : int, optional
            Of a code predictor: put every row through so many heads, from `head` on, in place of the last
            position alone through `head`.
        joined : bool
            Of a talker that was joined: add to each lane's row, the only one, what the predictor left for it.

        Returns
        -------
        logits : float32 [n_lanes, n_vocab], or None where `n_heads` is given
        hidden : float32 [n_lanes, n_hidden], or None where `joined`
            Of each lane's last position.
        accepted : float32 [n_lanes, n, n_embd] or None
        each : float32 [n_lanes, n, n_heads, n_vocab], or None where `n_heads` is not given

        Raises
        ------
        ContextFull
            The rows do not fit; nothing was changed.
        """
        embeds = array_of(rows, np.float32, 3, "rows")
        which = array_of(lanes, np.int32, 1, "lanes")
        info, n_lanes, n = self.info, which.size, embeds.shape[1]
        if embeds.shape[0] != n_lanes or embeds.shape[2] != info.n_embd:
            raise errors.ArgumentError(
                f"rows have shape {list(embeds.shape)}, expected [{n_lanes}, n, {info.n_embd}]"
            )
        places = _shaped(positions, (n_lanes, n, info.n_axes), "positions")
        added = _shaped(deepstack, (n_lanes, info.n_deepstack, n, info.n_embd), "deepstack rows")
        every, n_every = n_heads is not None, n_heads or 0
        # as many as there are, at most: the call below refuses others
        shape = (n_lanes, n, max(0, min(n_every, info.n_heads_out)), info.n_vocab)
        each = np.empty(shape, np.float32) if every else None
        logits = None if every else np.empty((n_lanes, info.n_vocab), np.float32)
        hidden = None if joined else np.empty((n_lanes, info.n_hidden), np.float32)
        behind = np.empty(embeds.shape, np.float32) if accepted else None
        given = ffi.new("omni_lm_input *")
        given.lanes, given.embeds = pointer_to(which, "int32_t *"), pointer_to(embeds, "float *")
        given.positions, given.deepstack = pointer_to(places, "float *"), pointer_to(added, "float *")
        given.n_lanes, given.n, given.head, given.n_heads = n_lanes, n, head, n_every
        given.joined = joined
        wanted = ffi.new("omni_lm_output *")
        wanted.logits, wanted.hidden = pointer_to(logits, "float *"), pointer_to(hidden, "float *")
        wanted.accepted, wanted.each = pointer_to(behind, "float *"), pointer_to(each, "float *")
        with checked() as call:
            call(lib.omni_lm_decode, self.pointer, given, wanted)
        return logits, hidden, behind, each

    def lm_join(self, predictor: Session) -> None:
        """Let this talker and the code predictor of its frames leave each other rows on their device."""
        with checked() as call:
            call(lib.omni_lm_join, self.pointer, predictor.pointer)

    def lm_row(self, lane: int, row: ArrayLike | None = None) -> Floats:
        """Return the row, float32 [n_embd], this joined session left of a lane; replace it by one given."""
        shape = (self.info.n_embd,)  # of a talker that was joined n_hidden as well
        out, given = np.empty(shape, np.float32), _shaped(row, shape, "the row")
        with checked() as call:
            pointers = pointer_to(out, "float *"), pointer_to(given, "float *")
            call(lib.omni_lm_row, self.pointer, lane, *pointers)
        return out

    def lm_groups(
        self,
        hidden: ArrayLike | None,
        code0: ArrayLike,
        temperature: float,
        top_k: int,
        top_p: float,
        uniforms: ArrayLike | None,
        lanes: ArrayLike | None = None,
    ) -> tuple[Ints, Floats | None]:
        """Fill a frame per lane in one graph.

        Parameters
        ----------
        hidden : float32 [n_lanes, n_embd], or None
            The talker's hidden rows; those that a joined talker left.
        code0 : int [n_lanes]
            Group 0 of each frame.
        temperature, top_k, top_p
            How to draw; temperature 0 is greedy, top_k 0 and top_p 1 keep all.
        uniforms : float64 [n_lanes, n_groups - 1], optional
            In [0, 1); only greedy draws need none.
        lanes : int [n_lanes], optional
            Of the joined talker, ascending; 0 and on where they are not given.

        Returns
        -------
        codes : int32 [n_lanes, n_groups]
        row_sum : float32 [n_lanes, n_embd], or None where `hidden` is
            The sum of the embeddings of the frame's codes.
        """
        rows = None if hidden is None else array_of(hidden, np.float32, 2, "hidden rows")
        first = array_of(code0, np.int32, 1, "codes of group 0")
        n_lanes, n_groups = first.size, self.info.n_groups
        if rows is not None and rows.shape != (n_lanes, self.info.n_embd):
            raise errors.ArgumentError(
                f"hidden rows have shape {list(rows.shape)}, expected [{n_lanes}, {self.info.n_embd}]"
            )
        numbers = None if uniforms is None else array_of(uniforms, np.float64, 2, "uniforms")
        if numbers is not None and numbers.shape != (n_lanes, n_groups - 1):
            raise errors.ArgumentError(
                f"uniforms have shape {list(numbers.shape)}, expected [{n_lanes}, {n_groups - 1}]"
            )
        codes = np.empty((n_lanes, n_groups), np.int32)
        row_sum = None if rows is None else np.empty((n_lanes, self.info.n_embd), np.float32)
        which = None if lanes is None else array_of(lanes, np.int32, 1, "lanes")
        if which is not None and which.size != n_lanes:
            raise errors.ArgumentError(f"{which.size} lanes were given for {n_lanes} codes, expected as many")
        draw = ffi.new("omni_draw *")
        draw.temperature, draw.top_p, draw.top_k = temperature, top_p, top_k
        draw.uniforms = pointer_to(numbers, "double *")
        given = (
            pointer_to(which, "int32_t *"),
            pointer_to(rows, "float *"),
            pointer_to(first, "int32_t *"),
            draw,
        )
        with checked() as call:
            wanted = pointer_to(codes, "int32_t *"), pointer_to(row_sum, "float *")
            call(lib.omni_lm_groups, self.pointer, n_lanes, *given, *wanted)
        return codes, row_sum

    def codec_decode(self, codes: ArrayLike, lane: int = 0) -> Floats:
        """Turn ``codes`` (int [n_frames, n_groups]) into PCM where ``lane`` was, float32 [n_samples]."""
        frames = array_of(codes, np.int32, 2, "codes")
        if frames.shape[1] != self.info.n_groups:
            raise errors.ArgumentError(
                f"codes have shape {list(frames.shape)}, expected [n_frames, {self.info.n_groups}]"
            )
        pcm = np.empty(self.codec_samples(len(frames), lane), np.float32)
        if len(frames):
            n_out = ffi.new("int64_t *")
            with checked() as call:
                given = pointer_to(frames, "int32_t *"), len(frames), pointer_to(pcm, "float *"), pcm.size
                call(lib.omni_codec_decode, self.pointer, lane, *given, n_out)
        return pcm

    def codec_samples(self, n_frames: int, lane: int = 0) -> int:
        """Samples that ``codec_decode`` would make of ``n_frames`` where ``lane`` is: ``n_frames * hop``.

        Less ``info.lead`` where the lane holds no frames yet; 0 of no frames.
        """
        if n_frames == 0:
            return 0
        n_out = ffi.new("int64_t *")
        with checked() as call:
            call(lib.omni_codec_decode, self.pointer, lane, ffi.NULL, n_frames, ffi.NULL, 0, n_out)
        return int(n_out[0])

    def encode(self, rows: ArrayLike) -> Floats:
        """Turn ``rows`` (float32 [n, n_embd], n from ``n_rows_min`` on) into float32 [n_out, n_hidden]."""
        given = array_of(rows, np.float32, 2, "rows")
        if given.shape[1] != self.info.n_embd:
            raise errors.ArgumentError(
                f"rows have shape {list(given.shape)}, expected [n, {self.info.n_embd}]"
            )
        return self._encode(given, None)[0]

    def encode_grid(self, rows: ArrayLike, grid: ArrayLike) -> Floats:
        """Turn the patches of a grid into rows.

        Parameters
        ----------
        rows : float32 [n, n_embd]
            Frame by frame and, within one, in blocks of ``grid_merge * grid_merge`` patches.
        grid : int [3]
            Frames, rows and columns of patches, ``n`` in all; rows and columns are multiples of
            ``grid_merge``.

        Returns
        -------
        float32 [1 + n_deepstack, n / grid_merge**2, n_hidden]
        """
        given = array_of(rows, np.float32, 2, "rows")
        if given.shape[1] != self.info.n_embd:
            raise errors.ArgumentError(
                f"rows have shape {list(given.shape)}, expected [n, {self.info.n_embd}]"
            )
        sides = array_of(grid, np.int32, 1, "sides of a grid")
        if sides.size != 3:
            raise errors.ArgumentError(
                f"the grid has {sides.size} sides, expected 3: frames, rows and columns"
            )
        return self._encode(given, sides)

    def _encode(self, given: Floats, grid: Ints | None) -> Floats:
        n_out = ffi.new("int32_t *")
        with checked() as call:
            what = pointer_to(given, "float *"), given.shape[0], pointer_to(grid, "int32_t *")
            call(lib.omni_encode, self.pointer, *what, ffi.NULL, 0, n_out)
            out = np.empty((1 + self.info.n_deepstack, n_out[0], self.info.n_hidden), np.float32)
            call(lib.omni_encode, self.pointer, *what, pointer_to(out, "float *"), n_out[0], n_out)
        return out

    def codec_encode(self, pcm: ArrayLike) -> Ints:
        """Turn a clip, float32 [n], into codes, int32 [ceil(n / hop), n_groups]; n_ctx bounds its length."""
        clip = array_of(pcm, np.float32, 1, "samples")
        codes = np.empty((-(-clip.size // max(self.info.hop, 1)), self.info.n_groups), np.int32)
        n_frames = ffi.new("int32_t *")
        with checked() as call:
            given = (
                pointer_to(clip, "float *"),
                clip.size,
                pointer_to(codes, "int32_t *"),
                len(codes),
                n_frames,
            )
            call(lib.omni_codec_encode, self.pointer, *given)
        return codes[: n_frames[0]]


def _shaped(x: ArrayLike | None, shape: tuple[int, ...], what: str) -> Floats | None:
    """``x`` in float32 where it is given, or ArgumentError."""
    if x is None:
        return None
    array = array_of(x, np.float32, len(shape), what)
    if array.shape != shape:
        raise errors.ArgumentError(f"{what} have shape {list(array.shape)}, expected {list(shape)}")
    return array
