"""Toy models and clips the codec encoder's parity is checked on. No torch here."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint

#: The quick brown fox, spoken by flite 2.2 (Debian) with its voice slt, resampled from 16 kHz by
#: `pyomni.audio.resample` and rounded to 16 bits: see `record_encoder.speech`.
SPEECH = Path(__file__).parent / "recorded" / "speech.flac"
TAPS = ("seanet", "encoder_transformer", "downsample")
PCM_STEP = 7  # of the decoded speech, every so many samples are committed
ROUND_TRIP = "real_strides"  # the case whose decoder has as many groups and the same hop


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
    out = Path(_scratch().name) / name
    case = ENCODERS[name]
    write_checkpoint(out, "custom_voice", checkpoint_dims("tiny", **CODEC | case.dims), case.seed)
    return out


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyomni-encoder-")


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


def speech() -> NDArray[np.float32]:
    """Return the committed speech, float32 [n] at 24 kHz."""
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    assert rate == 24000
    return samples


def clips(name: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield every clip of a case with its label."""
    for n in ENCODERS[name].lengths:
        yield str(n), clip(name, n)
    if name == ROUND_TRIP:
        yield "speech", speech()
