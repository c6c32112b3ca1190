"""The toy codec encoders parity is checked on, the clips they hear, and our side of it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder, CodecEncoder
from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint
from pyomni.verify import recording
from pyomni.verify.figure import Figure, figure, share_apart
from pyomni.verify.folders import converted, scratch

TAPS = ("seanet", "encoder_transformer", "downsample")
PACKAGED = "real_strides"  # the toy whose recording comes with the package


@dataclass(frozen=True)
class EncoderCase:
    """One toy model and the lengths of the noise it encodes.

    Attributes
    ----------
    why : what this shape is there to catch
    seed : of the weights and of the noise
    dims : sizes that differ from `CODEC`
    lengths : samples; around frames, pieces of the convolutions, and blocks of rows
    tapped : lengths whose hidden rows are recorded too
    """

    why: str
    seed: int
    dims: dict[str, Any]
    lengths: tuple[int, ...]
    tapped: tuple[int, ...]


#: The codec of every case, in full: recordings outlive changes of the tiny scale.
CODEC: dict[str, Any] = {
    "size": "0b6", "sample_rate": 24000, "n_groups": 16, "codebook_size": 64, "layer_scale": 0.3,
    "rvq_dim": 64, "latent": 32, "decoder_dim": 32, "dec_hidden": 32, "dec_layers": 2, "dec_ff": 64,
    "dec_heads": 2, "dec_kv_heads": 2, "dec_head_dim": 32, "window": 72, "wave_gain": 0.2,
    "upsample_rates": (8, 5, 4, 3), "upsampling_ratios": (2, 2), "enc_filters": 4, "enc_residuals": 1,
    "enc_ratios": (8, 6, 5, 4), "enc_hidden": 32, "enc_layers": 2, "enc_ff": 64, "enc_heads": 2,
    "enc_kv_heads": 2, "enc_head_dim": 16, "enc_book_dim": 16, "enc_groups": 17,
}  # fmt: skip

ENCODERS = {
    "real_strides": EncoderCase(
        "hop 1920 in rows of 960: the convolutions take 17 rows a piece, the transformer 64 a block", 21, {},
        (1, 2, 959, 960, 961, 1919, 1920, 1921, 3841, 16319, 16320, 16321, 61440, 61441, 72011),
        (1, 1921, 16321, 61441),
    ),
    "odd": EncoderCase(
        "two residual units, grouped heads, odd widths; more rows than the config's sliding_window", 22,
        {"n_groups": 5, "codebook_size": 128, "enc_filters": 6, "enc_residuals": 2, "enc_ratios": (3, 2),
         "enc_hidden": 40, "enc_layers": 3, "enc_ff": 72, "enc_heads": 4, "enc_kv_heads": 2,
         "enc_head_dim": 12, "enc_book_dim": 10, "enc_groups": 7},
        (1, 5, 6, 7, 11, 12, 13, 383, 384, 385, 767, 769, 4001),
        (13, 385),
    ),
}  # fmt: skip


@functools.cache
def folder(name: str) -> Path:
    """Return the checkpoint folder of a case, written once a process; it goes away with the process."""
    out = scratch("codec") / name
    case = ENCODERS[name]
    write_checkpoint(out, "custom_voice", checkpoint_dims("tiny", **CODEC | case.dims), case.seed)
    return out


def weights_hash(name: str) -> str:
    """Return the sha256 of the codec's weights and configuration."""
    digest = hashlib.sha256()
    for part in ("config.json", "model.safetensors"):
        digest.update((folder(name) / "speech_tokenizer" / part).read_bytes())
    return digest.hexdigest()


def clip(name: str, n: int) -> NDArray[np.float32]:
    """Return a clip of n samples, in 16 bits and so the same on every machine: noise, with pauses."""
    rng = np.random.Generator(np.random.PCG64([ENCODERS[name].seed, n]))
    steps = rng.integers(-12000, 12001, n)
    steps[(np.arange(n) // 700) % 3 == 1] //= 64
    return (steps / 32768).astype(np.float32)


class OursEncoder:
    """Encoder, and decoder, of one case.

    Parameters
    ----------
    name : case of `ENCODERS`
    kind : type of its file
    device : two threads of the CPU where none is given
    """

    def __init__(self, name: str, kind: str = "f32", device: Device | None = None) -> None:
        self.path = converted(folder(name), kind)
        self._device = device or Device("cpu", 2)
        self._encoder = Model(self._device, self.path, "codec_encoder")
        self.n_embd = self._encoder.info.n_embd

    def encode(self, samples: NDArray[Any]) -> NDArray[np.int32]:
        """Return a clip's codes [F, G] as a user gets them, from an encoder that did nothing before."""
        encoder = CodecEncoder(self._encoder)
        try:
            return encoder.encode(samples)
        finally:
            encoder.close()

    def tapped(self, samples: NDArray[Any]) -> tuple[NDArray[np.int32], dict[str, NDArray[np.float32]]]:
        """Return a clip's codes [F, G] and its hidden rows, each [n, n_embd]."""
        encoder = CodecEncoder(self._encoder)
        try:
            encoder.encode(samples)  # opens a session that is long enough, and leaves its state
            for tap in TAPS:
                encoder.session.tap(tap)
            codes = encoder.encode(samples)
            taps = {tap: encoder.session.read_tap(tap).reshape(-1, self.n_embd) for tap in TAPS}
        finally:
            encoder.close()
        return codes, taps

    @functools.cached_property
    def _decoder(self) -> Model:
        return Model(self._device, self.path, "codec_decoder")

    def decode(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """Decode codes [F, G] to float32 [F * hop]."""
        decoder = CodecDecoder(self._decoder)
        try:
            return decoder.decode(codes)
        finally:
            decoder.close()


def figures(device: Device, kind: str = "f32") -> Iterator[tuple[str, Figure]]:
    """Compare codes and hidden rows of the packaged toy."""
    official, ours = recording.load(f"encoder_{PACKAGED}"), OursEncoder(PACKAGED, kind, device)
    for n in ENCODERS[PACKAGED].lengths:
        codes, taps = ours.tapped(clip(PACKAGED, n))
        yield "codec encoder", share_apart("codes", f"{n} samples", codes, official[f"{n}.codes"])
        for tap, rows in taps.items():
            if f"{n}.{tap}" in official:
                yield (
                    "codec encoder",
                    figure("codec encoder", f"{n} samples, {tap}", rows, official[f"{n}.{tap}"]),
                )
