"""Speaker encoder, `Qwen3TTSSpeakerEncoder` (ECAPA-TDNN, https://arxiv.org/abs/2005.07143): keys and tensors.

A checkpoint's configuration names the output width and the sample rate; the other sizes are the class's
defaults unless it names them. The mel front end is in the code of `Qwen3TTSForConditionalGeneration` and of
its mel function.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned
from pyomni.convert.tensors_trunk import conv
from pyomni.convert.writer import Value
from pyomni.errors import UnsupportedModel

__all__ = ["SpeakerEncoder"]

MEL: dict[str, Value] = {
    "n_fft": 1024,
    "window": 1024,
    "hop": 256,
    "pad": 384,  # (n_fft - hop) / 2, reflected, on both sides; frames are not centred
    "fmin": 0.0,
    "fmax": 12000.0,
    "power_floor": 1e-9,  # added to re^2 + im^2 before the root
    "floor": 1e-5,  # mel magnitudes below it are raised to it before the logarithm
}
VARIANCE_FLOOR = 1e-12  # AttentiveStatisticsPooling.eps


@dataclass(frozen=True)
class SpeakerEncoder:
    """Sizes of the speaker encoder."""

    sample_rate: int
    n_mels: int
    n_embd_out: int
    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    res2net_scale: int
    se_channels: int
    attention_channels: int

    @classmethod
    def read(cls, c: Config) -> SpeakerEncoder:
        """Sizes from `speaker_encoder_config`.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        channels = tuple(c.wholes("enc_channels", [512, 512, 512, 512, 1536]))
        kernels = tuple(c.wholes("enc_kernel_sizes", [5, 3, 3, 3, 1]))
        dilations = tuple(c.wholes("enc_dilations", [1, 2, 3, 4, 1]))
        sizes = cls(
            sample_rate=c.whole("sample_rate"),
            n_mels=c.whole("mel_dim", 128),
            n_embd_out=c.whole("enc_dim"),
            channels=channels,
            kernels=kernels,
            dilations=dilations,
            res2net_scale=c.whole("enc_res2net_scale", 8, low=2),
            se_channels=c.whole("enc_se_channels", 128),
            attention_channels=c.whole("enc_attention_channels", 128),
        )
        if not 3 <= len(channels) == len(kernels) == len(dilations):
            raise c.fail("enc_channels", "three or more, and as many as enc_kernel_sizes and enc_dilations")
        if any(n % sizes.res2net_scale for n in channels[1:-1]) or channels[-1] != sum(channels[1:-1]):
            raise c.fail(
                "enc_channels", f"multiples of {sizes.res2net_scale}, the last one the sum of the middle ones"
            )
        # The SE block's input is added to its output, so the widths of neighbours are one.
        if len({*channels[:-1]}) != 1:
            raise c.fail("enc_channels", "one width for all but the last")
        if kernels[-1] != 1:
            raise UnsupportedModel(
                f"{c.path}: {c.where}.enc_kernel_sizes ends with {kernels[-1]}, expected 1"
            )
        return sizes

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        s = "speaker_encoder."
        return {
            s + "sample_rate": self.sample_rate,
            s + "n_embd_out": self.n_embd_out,
            s + "channels": list(self.channels),
            s + "kernels": list(self.kernels),
            s + "dilations": list(self.dilations),
            s + "res2net_scale": self.res2net_scale,
            s + "se_channels": self.se_channels,
            s + "attention_channels": self.attention_channels,
            s + "variance_floor": VARIANCE_FLOOR,
            s + "mel.n_mels": self.n_mels,
            **{f"{s}mel.{name}": value for name, value in MEL.items()},
        }

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        o, last = "speaker_encoder.", self.channels[-1]
        planned = conv(o + "blk.0.conv", o + "blocks.0.conv", self.channels[0], self.n_mels, self.kernels[0])
        for i in range(1, len(self.channels) - 1):
            b, s, n = f"{o}blk.{i}.", f"{o}blocks.{i}.", self.channels[i]
            part = n // self.res2net_scale
            planned += conv(b + "tdnn1", s + "tdnn1.conv", n, self.channels[i - 1], 1)
            for j in range(self.res2net_scale - 1):
                planned += conv(
                    f"{b}res2net.{j}", f"{s}res2net_block.blocks.{j}.conv", part, part, self.kernels[i]
                )
            planned += conv(b + "tdnn2", s + "tdnn2.conv", n, n, 1)
            planned += conv(b + "se1", s + "se_block.conv1", self.se_channels, n, 1)
            planned += conv(b + "se2", s + "se_block.conv2", n, self.se_channels, 1)
        planned += conv(o + "mfa", o + "mfa.conv", last, last, 1)
        planned += conv(o + "asp.tdnn", o + "asp.tdnn.conv", self.attention_channels, 3 * last, 1)
        planned += conv(o + "asp.conv", o + "asp.conv", last, self.attention_channels, 1)
        return planned + conv(o + "fc", o + "fc", self.n_embd_out, 2 * last, 1)
