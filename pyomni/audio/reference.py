"""Reference clips: whatever a user has, as one channel at a model's sample rate.

audio = read_reference("ann.mp3", 24000)          # float32 [n]
audio = read_reference((samples, 48000), 24000)
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.audio.resample import MAX_RATE, mono, resample
from pyomni.errors import AudioError

__all__ = ["Clip", "read_reference"]

#: A path, the bytes of an audio file, or samples with their rate.
Clip = str | os.PathLike[str] | bytes | tuple[npt.ArrayLike, int]

MIN_RATE = 4_000
MAX_CHANNELS = 64
MAX_SECONDS = 300.0  # a voice is known long before; an encoder's memory grows with the length
SILENCE = 1e-4  # half the range of the samples: -80 dB of full scale, three steps of 16 bits
MAX_PEAK = 8.0  # float files may overshoot 1; thousands are integers that nobody scaled


def read_reference(
    source: Clip, sample_rate: int, *, min_samples: int = 1, max_seconds: float = MAX_SECONDS
) -> npt.NDArray[np.float32]:
    """Read a reference clip.

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

    Returns
    -------
    float32 [n]
        The mean of the channels, resampled by `resample`.

    Raises
    ------
    AudioError
        No such file, not audio, empty, silent, too short or too long, too many channels, a sample rate that
        cannot be, or samples that are not finite or not of full scale 1.
    """
    name, array, rate = _load(source, max_seconds)
    try:
        samples = mono(array)
    except AudioError as error:
        raise AudioError(f"{name}: {error}") from None
    if len(samples) > max_seconds * rate:
        raise AudioError(f"{name}: lasts longer than {max_seconds:g} s, expected a clip of some seconds")
    peak = float(np.abs(samples).max())
    if peak > MAX_PEAK:
        raise AudioError(f"{name}: the samples reach {peak:.4g}, expected a full scale of -1 to 1")
    if np.ptp(samples) / 2 < SILENCE:
        raise AudioError(f"{name}: the clip is silent (peak {peak:.2g} of full scale), expected speech")
    out = resample(samples, rate, sample_rate)
    if len(out) < min_samples:
        raise AudioError(
            f"{name}: the clip is too short, {len(samples) / rate:.3f} s, expected at least "
            f"{min_samples / sample_rate:.3f} s"
        )
    return out


def _load(source: Clip, max_seconds: float) -> tuple[str, npt.NDArray[Any], int]:
    """Return a name for messages, samples [n] or [n, n_channels] as floats, and the rate."""
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        try:
            path = Path(name)
            found, folder = path.exists(), path.is_dir()
        except (OSError, ValueError) as error:
            raise AudioError(f"{name!r}: is not a path to an audio clip ({error})") from error
        if not found or folder:
            what = "is a folder" if folder else "there is no such file"
            raise AudioError(f"{name}: {what}, expected an audio clip")
        return name, *_decode(name, str(path), max_seconds)
    if isinstance(source, (bytes, bytearray, memoryview)):
        name = f"the reference ({len(bytes(source))} bytes)"
        if not len(source):
            raise AudioError(f"{name}: is empty, expected an audio file")
        return name, *_decode(name, io.BytesIO(source), max_seconds)
    name = "the reference"
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
    return name, _floats(name, samples), int(rate)


def _decode(name: str, file: str | io.BytesIO, max_seconds: float) -> tuple[npt.NDArray[Any], int]:
    """Decode a file: float32 [n, n_channels] and its rate."""
    import soundfile  # here, so that what reads no file does not load it

    try:
        with soundfile.SoundFile(file) as stored:
            rate, n_channels = int(stored.samplerate), int(stored.channels)
            _check_layout(name, rate, n_channels)
            # one more than allowed tells the caller; a header may promise any number
            samples = stored.read(int(max_seconds * rate) + 1, dtype="float32", always_2d=True)
    except AudioError:
        raise
    except (RuntimeError, TypeError, ValueError, OSError) as error:
        raise AudioError(f"{name}: is not an audio file that can be read ({_reason(error)})") from error
    if not len(samples):
        raise AudioError(f"{name}: is empty, expected at least one sample")
    return samples, rate


def _check_layout(name: str, rate: int, n_channels: int) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"{name}: the sample rate is {rate} Hz, expected {MIN_RATE} to {MAX_RATE}")
    if n_channels > MAX_CHANNELS:
        raise AudioError(f"{name}: has {n_channels} channels, expected at most {MAX_CHANNELS}")


def _reason(error: Exception) -> str:
    """Return the library's own words, without the path it repeats."""
    return str(getattr(error, "error_string", error)).rstrip(".")


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
