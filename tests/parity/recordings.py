"""The recordings of the official packages: part of them comes with pyomni, the rest lies here. No torch.

`pyomni verify` needs little of what the tests compare. A recording is therefore written as two files of one
name, and read as one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyomni.audio.clip import read_clip
from pyomni.verify import recording, toy_codec

FOLDER = Path(__file__).parent / "recorded"

#: Which arrays come with the package, by recording; of any other, none does.
PACKAGED = {
    "gqa": r"(?!wave\.|prompt\.[1-9])",
    "encoder_real_strides": r"(?!speech\.|(61441|16321)\.(seanet|encoder_transformer|downsample))",
    "speaker_real": r"embedding\.|mel\.(385|511|1281)$|weights",
    "audio_real": r"mel\.(201|319|320|1600)$|features\.(1|8|9|57|97|100|101|163|845)$|weights",
    "vision_odd": "",
    "vision_plain": "",
    "code2wav_real_rates": r"(1|2|25)\.|weights",
    "omni_lm_tiny": r"(?!talker\.film\.)",
}

#: The quick brown fox, spoken by flite 2.2 (Debian) with its voice slt, resampled from 16 kHz by
#: `pyomni.audio.resample` and rounded to 16 bits: see `record_encoder.speech`.
SPEECH = FOLDER / "speech.flac"
PCM_STEP = 7  # of the decoded speech, every so many samples are committed
ROUND_TRIP = "real_strides"  # the toy codec whose decoder has as many groups and the same hop


def load(name: str, folder: Path | None = None) -> dict[str, NDArray]:
    """Read a recording: the committed one, or one that `store` put into a folder."""
    arrays: dict[str, NDArray] = {}
    for place in (recording.FOLDER, FOLDER) if folder is None else (folder,):
        if (place / f"{name}.npz").exists():
            with np.load(place / f"{name}.npz") as stored:
                arrays |= stored
    assert arrays, f"{name}: nothing was recorded"
    return arrays


def store(name: str, arrays: Mapping[str, NDArray], folder: Path | None = None) -> None:
    """Write a recording where `load` finds it, or whole into a folder."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"{name}.npz", arrays)
        return
    inside = {key for key in arrays if name in PACKAGED and re.match(PACKAGED[name], key)}
    _write(recording.FOLDER / f"{name}.npz", {key: arrays[key] for key in arrays if key in inside})
    _write(FOLDER / f"{name}.npz", {key: arrays[key] for key in arrays if key not in inside})


def _write(path: Path, arrays: Mapping[str, NDArray]) -> None:
    if not arrays:
        path.unlink(missing_ok=True)
        return
    np.savez_compressed(path, **arrays)
    print(f"{path}: {path.stat().st_size} bytes", flush=True)


@functools.cache
def speech(rate: int) -> NDArray[np.float32]:
    """Return the committed sentence, float32 [n]."""
    return read_clip(SPEECH, rate)


def codec_clips(name: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield every clip of a toy codec with its label."""
    for n in toy_codec.ENCODERS[name].lengths:
        yield str(n), toy_codec.clip(name, n)
    if name == ROUND_TRIP:
        yield "speech", speech(24000)
