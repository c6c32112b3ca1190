"""What a multimodal model hears: powers on Slaney's mel scale, decimal logarithm, a range below the loudest.

    ear = Hearing.read(Metadata.read("model.media.gguf"))
    rows = ear(audio)                              # float32 [n] -> float32 [n_frames, n_mels]
    ear.n_rows(ear.n_frames(audio.size))           # placeholders it stands for in a prompt

The formulas are those of `WhisperFeatureExtractor` in transformers, as Qwen3-Omni's processor calls it: one
clip, neither cut nor padded. As for the speaker encoder, everything is computed in float64. Every number
comes from the keys ``audio_encoder.*`` of the GGUF.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pyomni.audio.clip import MAX_SECONDS, Clip, read_clip
from pyomni.audio.mel import Header, hann, mel_filters, samples_of, spectra
from pyomni.errors import AudioError, ModelFormatError

__all__ = ["Hearing"]

PREFIX = "audio_encoder."


@dataclass(frozen=True)
class Hearing:
    """The front end of an audio encoder; the fields are keys of the GGUF.

    Attributes
    ----------
    sample_rate : Hz
    n_mels, n_fft, window, hop : bands; transform, periodic Hann window and step between frames, samples
    fmin, fmax : Hz
    power_floor : the least power of a band before the logarithm
    range : decades below a clip's loudest band that are kept
    shift, scale : the last step is ``(x + shift) / scale``
    chunk : mel frames the encoder's convolutions see at once
    n_conv, conv_kernel, conv_stride, conv_pad : those convolutions
    """

    sample_rate: int
    n_mels: int
    n_fft: int
    window: int
    hop: int
    fmin: float
    fmax: float
    power_floor: float
    range: float
    shift: float
    scale: float
    chunk: int
    n_conv: int
    conv_kernel: int
    conv_stride: int
    conv_pad: int

    @classmethod
    def read(cls, header: Header) -> Hearing:
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
            fmin=header.f32(mel + "fmin"),
            fmax=header.f32(mel + "fmax"),
            power_floor=header.f32(mel + "power_floor"),
            range=header.f32(mel + "range"),
            shift=header.f32(mel + "shift"),
            scale=header.f32(mel + "scale"),
            chunk=header.u32(PREFIX + "chunk"),
            n_conv=header.u32(PREFIX + "n_conv"),
            conv_kernel=header.u32(PREFIX + "conv_kernel"),
            conv_stride=header.u32(PREFIX + "conv_stride"),
            conv_pad=header.u32(PREFIX + "conv_pad"),
        )

    def __post_init__(self) -> None:
        counts = {
            name: getattr(self, name)
            for name in (
                "sample_rate",
                "n_mels",
                "n_fft",
                "window",
                "hop",
                "chunk",
                "conv_kernel",
                "conv_stride",
            )
        }
        for name, n in counts.items():
            if not 1 <= n <= 1 << 20:
                raise ModelFormatError(f"{PREFIX}{name} is {n}, expected 1 to 1048576")
        if self.window > self.n_fft:
            raise ModelFormatError(
                f"{PREFIX}mel.window is {self.window}, expected at most n_fft, {self.n_fft}"
            )
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise ModelFormatError(
                f"{PREFIX}mel: bands from {self.fmin:g} to {self.fmax:g} Hz, expected a range from 0 to "
                f"{self.sample_rate / 2:g}, half the sample rate"
            )
        if not (self.power_floor > 0 and self.range > 0 and self.scale > 0):
            raise ModelFormatError(
                f"{PREFIX}mel: power_floor is {self.power_floor:g}, range {self.range:g} and scale "
                f"{self.scale:g}, expected more than 0"
            )
        if self.n_conv > 8 or 2 * self.conv_pad + 1 < self.conv_kernel:
            raise ModelFormatError(
                f"{PREFIX[:-1]}: {self.n_conv} convolutions of kernel {self.conv_kernel} and padding "
                f"{self.conv_pad}, expected at most 8, and a padding that keeps the shortest input"
            )

    @property
    def n_samples_min(self) -> int:
        """The fewest samples that can be padded and give a frame."""
        return max(self.n_fft // 2 + 1, self.hop)

    def n_frames(self, n_samples: int) -> int:
        """Return the mel frames of so many samples at `sample_rate`; 0 where they are too few."""
        return n_samples // self.hop if n_samples >= self.n_samples_min else 0

    def n_rows(self, n_frames: int) -> int:
        """Return the rows the encoder makes of so many mel frames: the placeholders of a clip in a prompt."""
        whole, rest = divmod(n_frames, self.chunk)
        return whole * self._convolved(self.chunk) + (self._convolved(rest) if rest else 0)

    def _convolved(self, n: int) -> int:
        for _ in range(self.n_conv):
            n = (n + 2 * self.conv_pad - self.conv_kernel) // self.conv_stride + 1
        return n

    @cached_property
    def filters(self) -> npt.NDArray[np.float32]:
        """The filters, float32 [n_mels, n_fft // 2 + 1]."""
        return mel_filters(self.sample_rate, self.n_fft, self.n_mels, self.fmin, self.fmax)

    def load(self, source: Clip, *, max_seconds: float = MAX_SECONDS) -> npt.NDArray[np.float32]:
        """Read a clip and transform it.

        Parameters
        ----------
        source : path, bytes, or (samples, rate)
            As `read_clip` takes it.
        max_seconds : float
            The longest clip taken.

        Returns
        -------
        float32 [n_frames, n_mels]

        Raises
        ------
        AudioError
            Whatever `read_clip` refuses, and a clip too short for one frame.
        """
        return self(
            read_clip(source, self.sample_rate, min_samples=self.n_samples_min, max_seconds=max_seconds)
        )

    def __call__(self, audio: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Turn samples into a spectrogram.

        Parameters
        ----------
        audio : float32 [n]
            At `sample_rate`, full scale -1 to 1; n at least `n_samples_min`.

        Returns
        -------
        float32 [n_frames, n_mels]
            With ``x = log10(max(filters @ |stft|^2, power_floor))``: ``(max(x, max(x) - range) + shift) /
            scale``, the inner maximum that of the whole clip.

        Raises
        ------
        AudioError
            More than one axis, too few samples, or a sample that is not a finite number.
        """
        samples = samples_of(audio, self.n_samples_min, self.sample_rate)
        filters = self.filters.T.astype(np.float64)  # [n_bins, n_mels]
        out = np.empty((self.n_frames(samples.size), self.n_mels), np.float32)
        taper = hann(self.window, self.n_fft)
        for at, spectrum in spectra(samples, self.n_fft // 2, self.hop, taper, len(out)):  # [.., n_bins]
            power = (spectrum.real**2 + spectrum.imag**2) @ filters
            out[at : at + len(power)] = np.log10(np.maximum(power, self.power_floor))
        np.maximum(out, out.max() - np.float32(self.range), out=out)
        out += np.float32(self.shift)
        out /= np.float32(self.scale)
        if not np.isfinite(out).all():
            raise AudioError(
                "the clip is too loud for its powers to be numbers, expected a full scale of -1 to 1"
            )
        return out
