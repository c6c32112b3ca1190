"""The readers of strangers' files, each with small valid files and what is done with a damaged one.

A reader goes the way a user's call goes, and further where the file is believed: a component that loads runs
a step, a lane that loads decodes a row. `Reader.read` may end well or in a PyOmniError, and in nothing else.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fuzz.common import N_CTX, any_of, bytes_of, device, layout_of, safetensors_damage
from fuzz.layouts import gguf_layout, wav_layout
from fuzz.mutators import damaged, damaged_json, scribbled
from fuzz.saved import session_damage, session_read, session_seeds

import pyomni
from pyomni._binding import Model
from pyomni.audio.clip import read_clip
from pyomni.components.codec import CodecDecoder, CodecEncoder
from pyomni.components.encoder import Encoder
from pyomni.components.lm import DecoderLM
from pyomni.convert.safetensors_file import Checkpoint
from pyomni.metadata.model import read_model
from pyomni.quantize import ImportanceFile, quantize_files, write_importance
from pyomni.quantize.importance import Seen

__all__ = ["READERS", "Reader"]


class Reader(NamedTuple):
    """One reader.

    Attributes
    ----------
    seeds : writes valid files into an empty folder
    damage : returns (the file's name, its bytes) of a case, from the folder of seeds
    read : reads that file; the folder holds the seeds too
    """

    seeds: Callable[[Path], None]
    damage: Callable[[Path, random.Random], tuple[str, bytes]]
    read: Callable[[Path, Path], None]


# --- GGUF -------------------------------------------------------------------------------------------------


def gguf_seeds(folder: Path) -> None:
    from tiny import tiny_gguf
    from tiny_omni import omni_gguf

    few = {"layers": 1, "cp_layers": 1, "dec_layers": 1, "enc_layers": 1}  # the others are alike
    tiny_gguf(folder / "custom.gguf", **few)
    tiny_gguf(folder / "base.gguf", "q8_0", "base", **few)
    omni_gguf(folder / "omni.gguf", "f16")


def gguf_damage(folder: Path, rng: random.Random) -> tuple[str, bytes]:
    path = any_of(folder, "*.gguf", rng)
    return "case.gguf", damaged(bytes_of(path), layout_of(gguf_layout, path), rng)


def gguf_read(path: Path, folder: Path) -> None:
    """Read the header in Python, then each component in C++ as far as it goes, and run what loads."""
    refused: list[pyomni.PyOmniError] = []
    names = ["talker", "codec_decoder", "thinker"]
    try:
        meta = read_model(path)
        names = list(meta.meta.strings("pyomni.components"))
        for key in meta.meta:
            meta.meta[key]
        meta.summary()
        pyomni.load(path, device="cpu", threads=1).close()
    except pyomni.PyOmniError as error:
        refused.append(error)  # C++ reads what Python refuses too: nothing of it may rest on the other
    for name in names[:8]:
        try:
            with Model(device(), path, name) as model:
                _run(model, name)
        except pyomni.PyOmniError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def _run(model: Model, name: str) -> None:
    info = model.info
    if "encoder" in name and info.n_groups:
        CodecEncoder(model).encode(np.zeros(4 * min(info.hop, 1 << 16), np.float32))
    elif "encoder" in name:
        if not info.grid_merge:
            n_rows = min(max(info.n_rows_min, 1), 1 << 12)
            Encoder(model).encode(np.zeros((n_rows, min(info.n_embd, 1 << 12)), np.float32))
    elif info.n_groups and info.hop:
        CodecDecoder(model).decode(np.zeros((2, info.n_groups), np.int32))
    else:
        lm = DecoderLM(model, min(N_CTX, info.n_ctx_max))
        rows = lm.embed(0, [0]) if info.n_tables else np.zeros((1, info.n_embd), np.float32)
        lm.decode(rows[:, : info.n_embd])


# --- quantizing -------------------------------------------------------------------------------------------


def quantize_seeds(folder: Path) -> None:
    from tiny import tiny_gguf

    few = {"layers": 1, "cp_layers": 1, "dec_layers": 1, "enc_layers": 1, "n_groups": 3}
    tiny_gguf(folder / "model.gguf", "bf16", **few)
    tiny_gguf(folder / "small.gguf", "q8_0", **few)
    name = "talker.blk.0.attn_q.weight"
    n_in = next(info.shape[0] for info in read_model(folder / "model.gguf").meta.tensors if info.name == name)
    seen = Seen(np.ones((1, n_in), np.float32), np.ones(1, np.float32))
    made = ImportanceFile({name: seen, "talker.codec_head.weight": seen}, "texts", 1)
    write_importance(folder / "imatrix.gguf", made)


def quantize_damage(folder: Path, rng: random.Random) -> tuple[str, bytes]:
    path = any_of(folder, "*.gguf", rng)
    return f"{path.stem}-case.gguf", damaged(bytes_of(path), layout_of(gguf_layout, path), rng)


def quantize_read(path: Path, folder: Path) -> None:
    """Quantize a damaged model, or a whole one with a damaged importance matrix."""
    out = path.with_name("out.gguf")
    try:
        if path.stem.startswith("imatrix"):
            quantize_files(folder / "model.gguf", out, "q4_0", imatrix=path)
        else:
            quantize_files(path, out, "q4_0", allow_requantize=True)
    finally:
        out.unlink(missing_ok=True)


# --- voices -----------------------------------------------------------------------------------------------


def voice_seeds(folder: Path) -> None:
    from pyomni import Voice

    row = np.linspace(-1, 1, 64, dtype=np.float32)
    codes = np.arange(5 * 16, dtype=np.int32).reshape(5, 16) % 64
    Voice.clone(row, name="ann").save(folder / "a.voice")
    Voice.clone(row, codes, "What was said.", name="bob").save(folder / "b.voice")
    Voice.design("A deep, slow voice.").save(folder / "c.voice")
    Voice.preset("ryan").save(folder / "d.voice")


def voice_damage(folder: Path, rng: random.Random) -> tuple[str, bytes]:
    return "case.voice", safetensors_damage(bytes_of(any_of(folder, "*.voice", rng)), rng)


def voice_read(path: Path, folder: Path) -> None:
    voice = pyomni.Voice.load(path)
    assert voice.kind in {"preset", "clone", "design", "none"}


# --- checkpoints ------------------------------------------------------------------------------------------


def checkpoint_seeds(folder: Path) -> None:
    from pyomni.convert.safetensors_file import write_shards

    made = [(f"layer.{i}.weight", (4, 6 + i), lambda i=i: np.ones((4, 6 + i), np.float32)) for i in range(6)]
    for name, dtype, n_shards in (("one", "BF16", 1), ("two", "F32", 2)):
        (folder / name).mkdir()
        write_shards(folder / name, made, dtype, n_shards)


def checkpoint_damage(folder: Path, rng: random.Random) -> tuple[str, bytes]:
    path = rng.choice(sorted(folder.glob("*/model*")))
    name = path.relative_to(folder).as_posix()
    if path.suffix != ".json":
        return name, safetensors_damage(bytes_of(path), rng)
    if rng.random() < 0.3:
        return name, scribbled(bytes_of(path), rng)
    return name, json.dumps(damaged_json(json.loads(bytes_of(path)), rng)).encode()


def checkpoint_read(path: Path, folder: Path) -> None:
    for other in (folder / path.parent.name).iterdir():
        if other.name != path.name:
            (path.parent / other.name).write_bytes(bytes_of(other))
    for tensor in Checkpoint(path.parent).values():
        tensor.f32()


# --- sound ------------------------------------------------------------------------------------------------


def wav_seeds(folder: Path) -> None:
    import soundfile

    sound = np.sin(np.arange(900) / 7).astype(np.float32).reshape(-1, 2) / 2
    for i, (form, subtype) in enumerate(
        (("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
         ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAVEX", "PCM_32"), ("RF64", "PCM_16"))
    ):  # fmt: skip
        soundfile.write(folder / f"{i}.wav", sound, 16000, subtype, format=form)


def wav_damage(folder: Path, rng: random.Random) -> tuple[str, bytes]:
    path = any_of(folder, "*.wav", rng)
    return "case.wav", damaged(bytes_of(path), layout_of(wav_layout, path), rng)


def wav_read(path: Path, folder: Path) -> None:
    clip = read_clip(path, 16000, max_seconds=60)
    assert clip.dtype == np.float32
    assert np.isfinite(clip).all()
    read_clip(path.read_bytes(), 16000, max_seconds=60)


READERS = {
    "gguf": Reader(gguf_seeds, gguf_damage, gguf_read),
    "quantize": Reader(quantize_seeds, quantize_damage, quantize_read),
    "voice": Reader(voice_seeds, voice_damage, voice_read),
    "session": Reader(session_seeds, session_damage, session_read),
    "wav": Reader(wav_seeds, wav_damage, wav_read),
    "safetensors": Reader(checkpoint_seeds, checkpoint_damage, checkpoint_read),
}
