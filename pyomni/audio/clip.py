"""Clips: whatever a user has, as one channel of float32 samples, read some seconds at a time.

audio = read_clip("question.mp3", 16000)          # float32 [n]
audio = read_clip((samples, 48000), 16000)
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.audio.resample import MAX_RATE, mono, resample_blocks
from pyomni.errors import AudioError

__all__ = ["MAX_SECONDS", "Clip", "Sound", "open_clip", "read_clip"]

F32 = npt.NDArray[np.float32]

#: A path, the bytes of an audio file, or samples with their rate.
Clip = str | os.PathLike[str] | bytes | tuple[npt.ArrayLike, int]

#: The longest clip taken unless the caller says otherwise: an hour is 230 MB at 16 kHz.
MAX_SECONDS = 3600.0
MIN_RATE = 4_000
MAX_CHANNELS = 64
MAX_PEAK = 8.0  # float files may overshoot 1; thousands are integers that nobody scaled
BLOCK = 1 << 20  # samples of all channels decoded at once: 4 MB


@dataclass(frozen=True)
class Sound:
    """An opened clip.

    Attributes
    ----------
    name : for messages
    rate : Hz
    blocks : float32 [n] each, mixed and checked; to be read once, and raising AudioError on the way
    """

    name: str
    rate: int
    blocks: Iterator[F32]


def read_clip(
    source: Clip,
    sample_rate: int,
    *,
    min_samples: int = 1,
    max_seconds: float = MAX_SECONDS,
    what: str = "the clip",
) -> F32:
    """Read a clip.

    Parameters
    ----------
    source : path, bytes, or (samples, rate)
        A file, or its bytes, in any format soundfile reads. Samples are float [n] or [n, n_channels] of full
        scale -1 to 1, or 8-, 16- or 32-bit integers, which are divided by their full scale; the
        rate is in Hz.
    sample_rate : int
        Of the result, Hz.
    min_samples : int
        The fewest samples the result may have.
    max_seconds : float
        The longest clip taken.
    what : str
        What messages call a clip that is no file.

    Returns
    -------
    float32 [n]
        The mean of the channels, resampled as by `resample`.

    Raises
    ------
    AudioError
        No such file, not audio, empty, too short or too long, too many channels, a sample rate that cannot
        be, or samples that are not finite or not of full scale 1.
    """
    sound = open_clip(source, max_seconds, what)
    out = resample_blocks(sound.blocks, sound.rate, sample_rate)
    if not len(out):
        raise AudioError(f"{sound.name}: is empty, expected at least one sample")
    if len(out) < min_samples:
        raise AudioError(
            f"{sound.name}: the clip is too short, {len(out) / sample_rate:.3f} s, expected at least "
            f"{min_samples / sample_rate:.3f} s"
        )
    return out


def open_clip(source: Clip, max_seconds: float, what: str) -> Sound:
    """Open a clip without reading it; the parameters are `read_clip`'s.

    Raises
    ------
    AudioError
        What can be told before the samples are read.
    """
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        try:
            path = Path(name)
            found, folder = path.exists(), path.is_dir()
        except (OSError, ValueError) as error:
            raise AudioError(f"{name!r}: is not a path to an audio clip ({error})") from error
        if not found or folder:
            reason = "is a folder" if folder else "there is no such file"
            raise AudioError(f"{name}: {reason}, expected an audio clip")
        rate, blocks = _open(name, str(path))
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name = f"{what} ({len(bytes(source))} bytes)"
        if not len(source):
            raise AudioError(f"{name}: is empty, expected an audio file")
        rate, blocks = _open(name, io.BytesIO(source))
    else:
        name = what
        rate, blocks = _samples(name, source)
    return Sound(name, rate, _checked(name, blocks, rate, max_seconds))


def _checked(name: str, blocks: Iterator[F32], rate: int, max_seconds: float) -> Iterator[F32]:
    """Look at every block: its samples, and the length so far. A file's header may promise any number."""
    n_read = 0
    for block in blocks:
        if n_read + len(block) > max_seconds * rate:
            raise AudioError(f"{name}: lasts longer than {max_seconds:g} s, expected a clip of at most that")
        bad = np.flatnonzero(~np.isfinite(block))
        if len(bad):
            raise AudioError(
                f"{name}: the audio holds samples that are not finite, the first at {n_read + int(bad[0])} "
                f"({block[bad[0]]}), expected numbers"
            )
        peak = float(np.abs(block).max(initial=0.0))
        if peak > MAX_PEAK:
            raise AudioError(f"{name}: the samples reach {peak:.4g}, expected a full scale of -1 to 1")
        n_read += len(block)
        yield block
    if not n_read:
        raise AudioError(f"{name}: is empty, expected at least one sample")


def _open(name: str, file: str | io.BytesIO) -> tuple[int, Iterator[F32]]:
    """Open a file: its rate, and its samples a block at a time."""
    import soundfile  # here, so that what reads no file does not load it

    try:
        stored = soundfile.SoundFile(file)
        rate, n_channels = int(stored.samplerate), int(stored.channels)
    except (RuntimeError, TypeError, ValueError, OSError) as error:
        raise _unreadable(name, error) from error
    try:
        if not MIN_RATE <= rate <= MAX_RATE:
            raise AudioError(f"{name}: the sample rate is {rate} Hz, expected {MIN_RATE} to {MAX_RATE}")
        if n_channels > MAX_CHANNELS:
            raise AudioError(f"{name}: has {n_channels} channels, expected at most {MAX_CHANNELS}")
    except AudioError:
        stored.close()
        raise
    return rate, _decoded(name, stored, n_channels)


def _decoded(name: str, stored: Any, n_channels: int) -> Iterator[F32]:
    with stored:
        while True:
            try:
                block = stored.read(BLOCK // n_channels, dtype="float32", always_2d=True)
            except (RuntimeError, TypeError, ValueError, OSError) as error:
                raise _unreadable(name, error) from error
            if not len(block):
                return
            yield block.mean(axis=1) if n_channels > 1 else block[:, 0]


def _unreadable(name: str, error: Exception) -> AudioError:
    reason = str(getattr(error, "error_string", error)).rstrip(".")  # without the path it repeats
    return AudioError(f"{name}: is not an audio file that can be read ({reason})")


def _samples(name: str, source: Any) -> tuple[int, Iterator[F32]]:
    """Look at (samples, rate): the rate, and the samples mixed, as one block."""
    if not isinstance(source, (tuple, list)) or len(source) != 2:
        raise AudioError(
            f"{name} is a {type(source).__name__}, expected a path, the bytes of an audio file, or "
            "(samples, rate)"
        )
    samples, rate = source
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            f"{name}: the sample rate is {rate!r}, expected a whole number from {MIN_RATE} to {MAX_RATE}"
        )
    array = _floats(name, samples)
    try:
        return int(rate), iter([mono(array)])
    except AudioError as error:
        raise AudioError(f"{name}: {error}") from None


def _floats(name: str, samples: npt.ArrayLike) -> npt.NDArray[Any]:
    """Scale integers to full scale 1 and look at the shape; the rest is `mono`'s."""
    try:
        array: npt.NDArray[Any] = np.asarray(samples)
    except (TypeError, ValueError) as error:
        raise AudioError(f"{name}: the samples are not an array ({error})") from error
    if array.ndim == 2 and array.shape[1] > MAX_CHANNELS:
        raise AudioError(
            f"{name}: the samples have shape {list(array.shape)}, expected [n] or [n, channels], at most "
            f"{MAX_CHANNELS} channels"
        )
    if array.dtype == np.uint8:
        return (array.astype(np.float32) - 128) / 128
    if array.dtype in (np.int8, np.int16, np.int32):
        return array / np.float64(2 ** (8 * array.itemsize - 1))
    return array
