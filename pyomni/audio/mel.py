"""Log-mel spectrograms as the speaker encoder was trained on: magnitudes, Slaney's scale, natural logarithm.

What every such spectrogram is made of is here too: Slaney's filters, the window, the transform in blocks.

    mel = LogMel.read(SpeechMetadata.read("model.gguf").meta)
    rows = mel(audio)                              # float32 [n] -> float32 [n_frames, n_mels]

The formulas are those of ``mel_spectrogram`` in the official ``qwen_tts.core.models.modeling_qwen3_tts`` and
of ``librosa.filters.mel``. Everything is computed in float64: a float32 transform leaves noise of its own in
the quiet bands of a loud clip. Every number comes from the keys ``speaker_encoder.mel.*`` of the GGUF.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pyomni.errors import AudioError, ModelFormatError

__all__ = ["Header", "LogMel", "hann", "mel_filters", "samples_of", "spectra"]

PREFIX = "speaker_encoder."
CHUNK = 1024  # frames transformed at once: 8 MB of spectrum at an n_fft of 1024

# Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above.
HZ_PER_MEL = 200.0 / 3.0
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27.0


class Header(Protocol):
    """What is asked of a GGUF header; ``pyomni.metadata.Metadata`` is one."""

    def u32(self, key: str) -> int:
        """Return a count."""

    def f32(self, key: str) -> float:
        """Return a number."""


def hz_to_mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Turn frequencies in Hz into Slaney's mels."""
    f = np.asarray(hz, np.float64)
    above = BREAK_MEL + np.log(np.maximum(f, BREAK_HZ) / BREAK_HZ) / LOG_STEP
    return np.where(f < BREAK_HZ, f / HZ_PER_MEL, above)


def mel_to_hz(mel: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Turn Slaney's mels into frequencies in Hz."""
    m = np.asarray(mel, np.float64)
    above = BREAK_HZ * np.exp(LOG_STEP * (np.maximum(m, BREAK_MEL) - BREAK_MEL))
    return np.where(m < BREAK_MEL, m * HZ_PER_MEL, above)


def mel_filters(
    sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float
) -> npt.NDArray[np.float32]:
    """Make triangular filters of equal area, evenly spaced on Slaney's scale.

    Parameters
    ----------
    sample_rate : Hz
    n_fft : length of the transform, samples
    n_mels : number of filters
    fmin, fmax : Hz
        Where the first filter begins and the last one ends.

    Returns
    -------
    float32 [n_mels, n_fft // 2 + 1]
        As ``librosa.filters.mel`` with its defaults.
    """
    bins = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)  # [n_bins], Hz
    edges = mel_to_hz(np.linspace(hz_to_mel(fmin), hz_to_mel(fmax), n_mels + 2))  # [n_mels + 2], Hz
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]  # [n_mels, n_bins]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return (np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)


def hann(window: int, n_fft: int) -> npt.NDArray[np.float64]:
    """Make a periodic Hann window, float64 [n_fft], zero where it is shorter than the transform."""
    taper = np.sin(np.arange(window) * (np.pi / window)) ** 2
    left = (n_fft - window) // 2
    return np.pad(taper, (left, n_fft - window - left))


def samples_of(audio: npt.ArrayLike, n_min: int, sample_rate: int) -> npt.NDArray[np.floating]:
    """Check a clip before it is transformed.

    Returns
    -------
    float32 or float64 [n]

    Raises
    ------
    AudioError
        More than one axis, fewer than `n_min` samples, or a sample that is not a finite number.
    """
    array = np.asarray(audio)
    samples = array if array.dtype == np.float32 else array.astype(np.float64)
    if samples.ndim != 1:
        raise AudioError(f"the clip has shape {list(samples.shape)}, expected one axis of samples")
    if samples.size < n_min:
        raise AudioError(f"the clip has {samples.size} samples at {sample_rate} Hz, expected {n_min} or more")
    if not np.isfinite(samples).all():
        where = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise AudioError(f"sample {where} of the clip is {samples[where]}, expected a finite number")
    return samples


def spectra(
    samples: npt.NDArray[np.floating], pad: int, hop: int, taper: npt.NDArray[np.float64], n_frames: int
) -> Iterator[tuple[int, npt.NDArray[np.complex128]]]:
    """Transform a clip some frames at a time.

    Parameters
    ----------
    samples : float [n], more than `pad`
    pad : samples reflected at both ends
    hop : samples between frames
    taper : float64 [n_fft]
    n_frames : how many are wanted

    Yields
    ------
    (int, complex128 [n, n_fft // 2 + 1])
        The first frame of a block, and the block.
    """
    padded = np.pad(samples, pad, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, len(taper))[::hop][:n_frames]
    for at in range(0, n_frames, CHUNK):
        yield at, np.fft.rfft(frames[at : at + CHUNK] * taper)  # in float64, whatever the samples are


@dataclass(frozen=True)
class LogMel:
    """A mel front end; the fields are the keys of the GGUF.

    Attributes
    ----------
    sample_rate : Hz
    n_mels, n_fft : bands; length of the transform, samples
    window, hop : length of the periodic Hann window and step between frames, samples
    pad : samples reflected at both ends; frames are not centred
    fmin, fmax : Hz
    power_floor : added to ``re^2 + im^2`` before the root
    floor : the least magnitude of a band before the logarithm
    """

    sample_rate: int
    n_mels: int
    n_fft: int
    window: int
    hop: int
    pad: int
    fmin: float
    fmax: float
    power_floor: float
    floor: float

    @classmethod
    def read(cls, header: Header) -> LogMel:
        """Read the settings from a model's header.

        Raises
        ------
        ModelFormatError
            A key is missing, or the numbers do not fit together.
        """
        mel = PREFIX + "mel."
        return cls(
            sample_rate=header.u32(PREFIX + "sample_rate"),
            n_mels=header.u32(mel + "n_mels"),
            n_fft=header.u32(mel + "n_fft"),
            window=header.u32(mel + "window"),
            hop=header.u32(mel + "hop"),
            pad=header.u32(mel + "pad"),
            fmin=header.f32(mel + "fmin"),
            fmax=header.f32(mel + "fmax"),
            power_floor=header.f32(mel + "power_floor"),
            floor=header.f32(mel + "floor"),
        )

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_mels", "n_fft", "window", "hop"):
            if getattr(self, name) < 1:
                raise ModelFormatError(f"{PREFIX}mel: {name} is {getattr(self, name)}, expected 1 or more")
        if self.n_fft > 1 << 20 or self.n_mels > 1 << 12:
            raise ModelFormatError(
                f"{PREFIX}mel: n_fft is {self.n_fft} and n_mels {self.n_mels}, expected at most 1048576 "
                "and 4096"
            )
        if self.window > self.n_fft or not 0 <= self.pad <= 1 << 20:
            raise ModelFormatError(
                f"{PREFIX}mel: window is {self.window} and pad {self.pad}, expected a window of at most "
                f"n_fft, {self.n_fft}, and a pad of at most 1048576"
            )
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise ModelFormatError(
                f"{PREFIX}mel: bands from {self.fmin:g} to {self.fmax:g} Hz, expected a range from 0 to "
                f"{self.sample_rate / 2:g}, half the sample rate"
            )
        if not (self.floor > 0 and self.power_floor >= 0):
            raise ModelFormatError(
                f"{PREFIX}mel: floor is {self.floor:g} and power_floor {self.power_floor:g}, expected more "
                "than 0, and 0 or more"
            )

    @property
    def n_samples_min(self) -> int:
        """The fewest samples that can be padded and give a frame."""
        return max(self.pad + 1, self.n_samples(1))

    def n_samples(self, n_frames: int) -> int:
        """Return the fewest samples that give so many frames."""
        return max(0, self.n_fft + (n_frames - 1) * self.hop - 2 * self.pad)

    def n_frames(self, n_samples: int) -> int:
        """Return the frames that so many samples give; 0 where they are fewer than `n_samples_min`."""
        if n_samples < self.n_samples_min:
            return 0
        return (n_samples + 2 * self.pad - self.n_fft) // self.hop + 1

    @cached_property
    def filters(self) -> npt.NDArray[np.float32]:
        """The filters, float32 [n_mels, n_fft // 2 + 1]."""
        return mel_filters(self.sample_rate, self.n_fft, self.n_mels, self.fmin, self.fmax)

    @cached_property
    def taper(self) -> npt.NDArray[np.float64]:
        """The periodic Hann window, float64 [n_fft], zero where it is shorter than the transform."""
        return hann(self.window, self.n_fft)

    def __call__(self, audio: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Turn samples into a spectrogram.

        Parameters
        ----------
        audio : float32 [n]
            At `sample_rate`, full scale -1 to 1; n at least `n_samples_min`.

        Returns
        -------
        float32 [n_frames, n_mels]
            ``log(max(filters @ sqrt(|stft|^2 + power_floor), floor))``.

        Raises
        ------
        AudioError
            More than one axis, too few samples, or a sample that is not a finite number.
        """
        samples = samples_of(audio, self.n_samples_min, self.sample_rate)
        filters = self.filters.T.astype(np.float64)  # [n_bins, n_mels]
        out = np.empty((self.n_frames(samples.size), self.n_mels), np.float32)
        for at, spectrum in spectra(samples, self.pad, self.hop, self.taper, len(out)):  # [.., n_bins]
            magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + self.power_floor)
            out[at : at + CHUNK] = np.log(np.maximum(magnitude @ filters, self.floor))
        return out
