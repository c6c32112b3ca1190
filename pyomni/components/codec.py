"""The codec: codes to PCM, a stream per lane; and PCM to codes, a clip at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyomni._binding import Model, Session
from pyomni.errors import ContextFull

#: Sessions of an encoder hold a multiple of this many positions, so that clips of similar length share one.
POSITIONS_STEP: Final = 256


class CodecDecoder:
    """Turns frames of codes into PCM; each lane is a stream that continues where it stopped.

    The decoder is causal and keeps its state between calls, so any way of cutting a sequence of frames into
    calls gives the same samples up to rounding (below 1e-6).

    Parameters
    ----------
    model : Model
        ``codec_decoder`` of a Qwen3-TTS file, ``code2wav`` of a Qwen3-Omni one.
    n_lanes : int
        Independent streams.

    Attributes
    ----------
    hop : int
        Samples of a frame.
    lead : int
        Samples that a stream's first frame falls short of that: n frames from the start give n * hop - lead.
        0 for ``codec_decoder``.
    """

    def __init__(self, model: Model, n_lanes: int = 1) -> None:
        self.session = Session(model, n_lanes=n_lanes)
        self.n_groups = model.info.n_groups
        self.hop = model.info.hop
        self.lead = model.info.lead
        self.sample_rate = model.info.sample_rate
        self.n_lanes = n_lanes

    def decode(self, codes: ArrayLike, lane: int = 0) -> NDArray[np.float32]:
        """Decode ``codes`` (int [n_frames, n_groups]) to float32 [n_samples(n_frames, lane)] in [-1, 1].

        Raises
        ------
        ArgumentError
            The wrong number of groups, or a code outside the codebook.
        """
        return self.session.codec_decode(codes, lane)

    def n_samples(self, n_frames: int, lane: int = 0) -> int:
        """Samples that ``n_frames`` more frames give where ``lane`` is.

        ``n_frames * hop``, less ``lead`` where the lane holds no frames yet.

        Raises
        ------
        ArgumentError
            No such lane, or less than 0 frames.
        """
        return self.session.codec_samples(n_frames, lane)

    def rewind(self, lane: int = 0) -> None:
        """Start the stream of ``lane`` afresh."""
        self.session.rewind(lane)

    def save(self, lane: int = 0) -> bytes:
        """Return where the stream of ``lane`` is, for ``load``."""
        return self.session.save(lane)

    def load(self, saved: bytes, lane: int = 0) -> None:
        """Put the stream of ``lane`` where it was when ``saved`` was made; raises as ``Session.load``."""
        self.session.load(saved, lane)

    def close(self) -> None:
        """Free the session."""
        self.session.close()


class CodecEncoder:
    """Turns whole clips into frames of codes; nothing is remembered from clip to clip.

    Beside 30 MB at the released sizes, a session keeps 32 KB for each position of its longest clip, 0.04 s.

    Parameters
    ----------
    model : Model
        A codec encoder.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.n_groups = model.info.n_groups
        self.hop = model.info.hop
        self.sample_rate = model.info.sample_rate
        self.session = Session(model, n_ctx=POSITIONS_STEP)

    def encode(self, pcm: ArrayLike) -> NDArray[np.int32]:
        """Encode ``pcm`` (float [n] at ``sample_rate``) to int32 [ceil(n / hop), n_groups].

        A frame depends on the samples up to its end alone, except in the last frame, which is completed as if
        each layer had nothing more to say. Equally near codebook rows give the first.

        Raises
        ------
        ArgumentError
            No samples, another shape, or a sample that is not finite.
        ContextFull
            The clip is longer than the encoder takes (hours).
        """
        clip = np.asarray(pcm, np.float32)
        n_positions = -(-clip.size // self._model.info.row_samples)
        if n_positions > self._model.info.n_ctx_max:
            raise ContextFull(
                f"{clip.size} samples take {n_positions} positions, "
                f"expected at most {self._model.info.n_ctx_max}"
            )
        return self._session(n_positions).codec_encode(clip)

    def _session(self, n_positions: int) -> Session:
        """Return the session, a longer one where it is too short."""
        n_ctx = min(-(-n_positions // POSITIONS_STEP) * POSITIONS_STEP, self._model.info.n_ctx_max)
        session = self.session
        if n_ctx > session.n_ctx:
            # The old one goes when nothing uses it: it stays if there is no memory for this one, and a thread
            # that is still inside it is not cut off.
            self.session = session = Session(self._model, n_ctx=n_ctx)
        return session

    def close(self) -> None:
        """Free the session."""
        self.session.close()
