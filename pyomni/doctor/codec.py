"""The codec on its own: silence, held frames and streams, whatever was trained into it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyomni.doctor.check import FAIL, OK, WARN, Check, graded

if TYPE_CHECKING:
    from pyomni.components.codec import CodecDecoder, CodecEncoder

__all__ = ["codec_checks", "dbfs", "periodicity"]

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
QUIET, BEARABLY_QUIET = -40.0, -25.0  # dBFS of what silence decodes to
N_TRIED, N_SILENCE = 24, 12
#: A held frame is exactly periodic once its first frames have left the windows of all layers; held for at
#: most so many frames. Then the first bound holds, before that the second; beyond the third is no rounding.
N_HELD = 160
PERIODIC, SETTLING, NOISE = 1e-4, 2e-2, 0.1
STREAM, STREAM_MOST = 1e-4, 1e-2


def dbfs(pcm: F32) -> float:
    """Return the level of samples in dB of full scale; -200 for none but zeros."""
    return float(20 * np.log10(max(float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64)))), 1e-10)))


def codec_checks(codec: CodecDecoder, settles: int, encoder: CodecEncoder | None = None) -> Iterator[Check]:
    """Yield the checks of a codec decoder.

    Parameters
    ----------
    codec : with a lane to use
    settles : frames after which the first one has left the windows of all layers
    encoder : of the same codec, where there is one
    """
    rng = np.random.default_rng(11)
    n_codes = codec.session.info.n_vocab
    frames = rng.integers(0, n_codes, (N_TRIED, codec.n_groups)).astype(np.int32)
    yield _silence(codec, frames, encoder)
    yield _periodic(codec, frames[:2], settles)
    yield _streams(codec, frames)


def _held(codec: CodecDecoder, frame: I32, n: int) -> F32:
    """Decode one frame of codes, n times over, from the start of a stream."""
    codec.rewind()
    return codec.decode(np.repeat(frame[None], n, axis=0))


def _silence(codec: CodecDecoder, frames: I32, encoder: CodecEncoder | None) -> Check:
    normal = f"below {QUIET:.0f} dBFS"
    means = "hum, hiss or noise between words: a codec that was not trained on silence, or is broken"
    if encoder is not None:
        codes = encoder.encode(np.zeros(N_SILENCE * encoder.hop, np.float32))
        codec.rewind()
        level = dbfs(codec.decode(codes)[N_SILENCE // 2 * codec.hop :])
        measured = f"{level:.0f} dBFS: zeros, encoded and decoded"
    else:
        # nobody says which codes are silence: the quietest of some held frames bounds it from above
        codec.rewind()
        level = min(dbfs(_held(codec, frame, 6)[-2 * codec.hop :]) for frame in frames)
        measured = f"{level:.0f} dBFS: the quietest of {len(frames)} random frames, held (no encoder here)"
    status = OK if level <= QUIET else WARN  # no bound fails: a file may be meant to make noise
    if not np.isfinite(level):
        status = FAIL
    elif level > BEARABLY_QUIET and encoder is not None:
        means += "; random weights, as a toy model has, make noise of everything"
    return Check("silence", status, measured, normal, means, "listen to a pause; convert it again")


def periodicity(pcm: F32, hop: int) -> float:
    """Return how much the last frame of samples differs from the one before, relative to its size."""
    last, before = pcm[-hop:].astype(np.float64), pcm[-2 * hop : -hop].astype(np.float64)
    size = float(np.sqrt((last**2).mean()))
    return float(np.sqrt(((last - before) ** 2).mean())) / max(size, 1e-4)


def _periodic(codec: CodecDecoder, frames: I32, settles: int) -> Check:
    """Hold a frame: what comes out must repeat from frame to frame, whatever the weights are."""
    n = min(settles + 8, N_HELD)
    held = [_held(codec, frame, n)[-2 * codec.hop :] for frame in frames]
    found = [periodicity(pcm, codec.hop) for pcm in held]
    worst = max(found) if np.isfinite(found).all() else float("inf")
    good = PERIODIC if n > settles else SETTLING
    return Check(
        "held frame",
        graded(worst, good, NOISE),
        f"{len(held)} frames, {n} times each: the last two differ by {worst:.0e} of their size, at "
        f"{min(map(dbfs, held)):.0f} to {max(map(dbfs, held)):.0f} dBFS",
        f"the same sound from frame to frame: below {good:.0e}",
        "noise in place of a buzz: the stream's state, positions or a kernel of the decoder are wrong",
        "--device cpu; if that is right, report the device; convert the file again",
    )


def _streams(codec: CodecDecoder, frames: I32) -> Check:
    """Decode frames at once and one by one."""
    codec.rewind()
    whole = codec.decode(frames)
    codec.rewind()
    pieces = np.concatenate([codec.decode(frame[None]) for frame in frames])
    codec.rewind()
    expected = len(frames) * codec.hop - codec.lead
    if len(whole) != expected or len(pieces) != expected:
        difference, measured = float("inf"), f"{len(whole)} and {len(pieces)} samples, expected {expected}"
    else:
        size = max(float(np.abs(whole).max()), 1e-6)
        difference = float(np.abs(whole - pieces).max()) / size
        measured = f"{len(frames)} frames at once and one by one: {difference:.0e} of the peak apart"
    return Check(
        "stream",
        graded(difference, STREAM, STREAM_MOST),
        measured,
        f"below {STREAM:.0e}: how speech is cut into blocks does not matter",
        "clicks at the seams of blocks",
        "--device cpu; report it with the device's name",
    )
