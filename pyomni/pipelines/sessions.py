"""The sessions speech takes: opened late, sized to the request, replaced when they must grow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyomni.errors import InternalError, SessionBusy
from pyomni.pipelines.priming import hear

if TYPE_CHECKING:
    from pyomni.components.codec import CodecDecoder
    from pyomni.components.lm import DecoderLM
    from pyomni.pipelines.beside import Beside

__all__ = ["CONTEXT_STEP", "SpeechSessions", "one_at_a_time", "rounded"]

#: Sessions hold a multiple of this many positions, so that requests of similar length share one.
CONTEXT_STEP = 512


@contextmanager
def one_at_a_time(lock: threading.Lock, doing: str) -> Iterator[None]:
    """Hold a model's sessions for one run; `doing` says in an error what the other caller is about.

    Raises
    ------
    SessionBusy
        Someone holds them.
    """
    if not lock.acquire(blocking=False):
        raise SessionBusy(
            f"the model is already {doing}, in another thread or in a stream that was not read to its "
            "end or closed; expected one caller at a time"
        )
    try:
        yield
    finally:
        lock.release()


def rounded(n: int, n_max: int) -> int:
    """Return the positions a session for `n` has: a multiple of `CONTEXT_STEP`, at most `n_max`."""
    return min(-(-n // CONTEXT_STEP) * CONTEXT_STEP, n_max)


class SpeechSessions:
    """A talker, a code predictor and a codec decoder of one model.

    Parameters
    ----------
    open_lm : callable (component, n_ctx, n_lanes) -> DecoderLM
        Opens a session of ``talker`` or ``code_predictor``.
    open_codec : callable () -> CodecDecoder
        Opens a session of the codec decoder with one lane.
    beside : Beside, optional
        May be at work in the codec decoder.
    """

    def __init__(
        self,
        open_lm: Callable[[str, int, int], DecoderLM],
        open_codec: Callable[[], CodecDecoder],
        beside: Beside | None = None,
    ) -> None:
        self._open_lm, self._open_codec, self._beside = open_lm, open_codec, beside
        self._talker: DecoderLM | None = None
        self._predictor: DecoderLM | None = None
        self._codec: CodecDecoder | None = None

    def lms(self, n_ctx: int, lanes: int, n_groups: int) -> tuple[DecoderLM, DecoderLM]:
        """Return talker and code predictor, with room for `n_ctx` positions in each of `lanes` lanes."""
        if self._talker is None or self._talker.n_ctx < n_ctx or self._talker.n_lanes < lanes:
            if self._talker is not None:
                n_ctx, lanes = max(n_ctx, self._talker.n_ctx), max(lanes, self._talker.n_lanes)
                old, self._talker = self._talker, None
                old.close()  # first, so that the two caches are never there together
            self._talker = self._open_lm("talker", n_ctx, lanes)
        if self._predictor is None or self._predictor.n_lanes < self._talker.n_lanes:
            if self._predictor is not None:
                old, self._predictor = self._predictor, None
                old.close()
            self._predictor = self._open_lm("code_predictor", n_groups, self._talker.n_lanes)
        return self._talker, self._predictor

    def codec(self) -> CodecDecoder:
        """Return the codec decoder, once nothing is at work in it."""
        self._settle()
        if self._codec is None:
            self._codec = self._open_codec()
        return self._codec

    def another_codec(self) -> CodecDecoder:
        """Open a codec decoder beside that one; whoever asked for it closes it."""
        return self._open_codec()

    def levels(self, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Decode frames on their own and return how loud each is; the codec's stream stays where it is.

        Parameters
        ----------
        codes : int32 [n, n_groups]
            Cut out of a speech: the first few frames are heard without what came before them.

        Returns
        -------
        float32 [n], dB of full scale
        """
        codec = self.codec()
        stream = codec.save(0)
        codec.rewind(0)
        try:
            pcm = hear(codec, codes)
        finally:
            codec.load(stream, 0)
        short = -len(pcm) % len(codes)  # a stream of code2wav begins with a shorter frame
        frames = np.concatenate([np.zeros(short, np.float32), pcm]).reshape(len(codes), -1)
        power = np.square(frames, dtype=np.float64).mean(1)
        return (10 * np.log10(np.maximum(power, 1e-20))).astype(np.float32)

    def save_lanes(self, n_past: int) -> tuple[bytes, bytes]:
        """Return where the talker, with its first `n_past` positions, and the codec decoder are, in lane 0.

        Raises
        ------
        InternalError
            They are not open.
        """
        if self._talker is None or self._codec is None:
            raise InternalError("the talker or the codec decoder is closed, expected both in a run")
        talker = self._talker.save(0)
        if self._talker.n_past(0) > n_past:
            whole = talker
            self._talker.rewind(0, n_past)
            talker = self._talker.save(0)
            self._talker.load(whole, 0)
        return talker, self._codec.save(0)

    def close(self) -> None:
        """Close them; they open again when needed."""
        self._settle()
        for session in (self._talker, self._predictor, self._codec):
            if session is not None:
                session.close()
        self._talker = self._predictor = self._codec = None

    def _settle(self) -> None:
        if self._beside is not None:
            self._beside.wait()
