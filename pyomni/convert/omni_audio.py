"""Qwen3-Omni's audio encoder, `Qwen3OmniMoeAudioEncoder`: sizes, GGUF keys and tensors.

The mel front end is transformers' `WhisperFeatureExtractor`, whose sizes are in `preprocessor_config.json`.
Constants below that neither file names are in the code of these classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, Source, copy, relayout
from pyomni.convert.tensors_talker import MAX_LAYERS
from pyomni.convert.writer import Value
from pyomni.errors import UnsupportedModel

__all__ = ["AudioEncoder"]

PREFIX = "thinker.audio_tower."
N_CONV, CONV_KERNEL, CONV_STRIDE, CONV_PAD = 3, 3, 2, 1
LAYER_NORM_EPS = 1e-5
POSITION_TIMESCALE = 10000.0
MAX_HZ = 8000.0  # where the last mel band ends, whatever the sample rate
MEL: dict[str, Value] = {
    "fmin": 0.0,
    "fmax": MAX_HZ,
    "power_floor": 1e-10,  # powers below it are raised to it before the logarithm
    "range": 8.0,  # decades below a clip's loudest band that are kept
    "shift": 4.0,  # the last step is (x + shift) / scale
    "scale": 4.0,
}


@dataclass(frozen=True)
class AudioEncoder:
    """Sizes of the audio encoder and of its mel front end."""

    n_layer: int
    n_embd: int
    n_ff: int
    n_head: int
    n_embd_out: int
    conv_channels: int
    chunk: int  # mel frames the convolutions see at once
    window_chunks: int  # chunks whose rows attend to each other
    sample_rate: int
    n_mels: int
    n_fft: int
    hop: int

    @classmethod
    def read(cls, config: Config, preprocessor: Config) -> AudioEncoder:
        """Sizes from a whole `config.json` and from `preprocessor_config.json`.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        c = config.sub("thinker_config").sub("audio_config")
        if c.text("activation_function") != "gelu":
            raise UnsupportedModel(
                f"{c.path}: {c.where}.activation_function is {c.text('activation_function')!r}, "
                "expected 'gelu'"
            )
        chunk = 2 * c.whole("n_window", high=1 << 20)
        sizes = cls(
            n_layer=c.whole("encoder_layers", high=MAX_LAYERS),
            n_embd=c.whole("d_model"),
            n_ff=c.whole("encoder_ffn_dim"),
            n_head=c.whole("encoder_attention_heads"),
            n_embd_out=c.whole("output_dim"),
            conv_channels=c.whole("downsample_hidden_size"),
            chunk=chunk,
            window_chunks=c.whole("n_window_infer", low=chunk) // chunk,
            sample_rate=preprocessor.whole("sampling_rate", low=2 * int(MAX_HZ)),
            n_mels=preprocessor.whole("feature_size"),
            n_fft=preprocessor.whole("n_fft"),
            hop=preprocessor.whole("hop_length"),
        )
        if sizes.n_embd % sizes.n_head or sizes.n_embd < 4 or sizes.n_embd % 2:
            raise c.fail("d_model", f"an even number from 4, a multiple of the heads, {sizes.n_head}")
        if c.whole("num_mel_bins") != sizes.n_mels:
            raise c.fail("num_mel_bins", f"feature_size of {preprocessor.path.name}, {sizes.n_mels}")
        if halved(chunk) > c.whole("max_source_positions"):
            raise c.fail("max_source_positions", f"{halved(chunk)} or more, the rows of a chunk")
        return sizes

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        mel = {name: getattr(self, name) for name in ("n_mels", "n_fft", "hop")}
        values: dict[str, Value] = {name: value for name, value in vars(self).items() if name not in mel}
        values |= {
            "head_dim": self.n_embd // self.n_head,
            "layer_norm_eps": LAYER_NORM_EPS,
            "n_conv": N_CONV,
            "conv_kernel": CONV_KERNEL,
            "conv_stride": CONV_STRIDE,
            "conv_pad": CONV_PAD,
            "position_timescale": POSITION_TIMESCALE,
        }
        values |= {f"mel.{name}": value for name, value in (mel | {"window": self.n_fft} | MEL).items()}
        return {f"audio_encoder.{name}": value for name, value in values.items()}

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        o, c, bands = "audio_encoder.", self.conv_channels, self.n_mels
        planned: list[Planned] = []
        for i in range(N_CONV):
            planned += _conv(f"{o}conv.{i}", f"{PREFIX}conv2d{i + 1}", c, c if i else 1)
        bands = halved(self.n_mels)

        def turn(
            w: NDArray[np.float32],
        ) -> NDArray[np.float32]:  # a band's channels together, as in activations
            return w.reshape(-1, c, bands).transpose(0, 2, 1).reshape(-1, bands * c)

        shape = (self.n_embd, c * bands)
        source = Source(f"{PREFIX}conv_out.weight", shape)
        planned.append(Planned(o + "conv_out.weight", shape, (source,), turn))
        for i in range(self.n_layer):
            planned += self._layer(f"{o}blk.{i}.", f"{PREFIX}layers.{i}.")
        planned += _norm(o + "output_norm", f"{PREFIX}ln_post", self.n_embd)
        planned += _linear(o + "proj1", f"{PREFIX}proj1", self.n_embd, self.n_embd)
        return planned + _linear(o + "proj2", f"{PREFIX}proj2", self.n_embd_out, self.n_embd)

    def _layer(self, o: str, s: str) -> list[Planned]:
        n = self.n_embd
        planned = _norm(o + "attn_norm", s + "self_attn_layer_norm", n)
        weights, biases = (
            tuple(Source(f"{s}self_attn.{name}_proj.{leaf}", shape) for name in "qkv")
            for leaf, shape in (("weight", (n, n)), ("bias", (n,)))
        )
        planned.append(Planned(o + "attn_qkv.weight", (3 * n, n), weights))
        planned.append(Planned(o + "attn_qkv.bias", (3 * n,), biases, _joined))
        planned += _linear(o + "attn_output", s + "self_attn.out_proj", n, n)
        planned += _norm(o + "ffn_norm", s + "final_layer_norm", n)
        planned += _linear(o + "ffn_up", s + "fc1", self.n_ff, n)
        return planned + _linear(o + "ffn_down", s + "fc2", n, self.n_ff)


def halved(n: int) -> int:
    """Steps that the convolutions leave of `n`."""
    for _ in range(N_CONV):
        n = (n + 2 * CONV_PAD - CONV_KERNEL) // CONV_STRIDE + 1
    return n


def _conv(name: str, source: str, n_out: int, n_in: int) -> list[Planned]:
    """PyTorch's ``[OC, IC, band, time]`` becomes ``[OC, time, band, IC]``: a place's channels together."""
    k = CONV_KERNEL
    turned = (n_out, k, k, n_in)
    return [
        relayout(
            f"{name}.weight",
            f"{source}.weight",
            (n_out, n_in, k, k),
            turned,
            lambda w: w.transpose(0, 3, 2, 1),
        ),
        copy(f"{name}.bias", f"{source}.bias", (n_out,)),
    ]


def _linear(name: str, source: str, n_out: int, n_in: int) -> list[Planned]:
    return [
        copy(f"{name}.weight", f"{source}.weight", (n_out, n_in)),
        copy(f"{name}.bias", f"{source}.bias", (n_out,)),
    ]


def _joined(*parts: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate(parts)


def _norm(name: str, source: str, n: int) -> list[Planned]:
    return [copy(f"{name}.{leaf}", f"{source}.{leaf}", (n,)) for leaf in ("weight", "bias")]
