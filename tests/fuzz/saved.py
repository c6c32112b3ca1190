"""Lanes, saved speeches and saved conversations: damaged as a liar would, with checksums that fit."""

from __future__ import annotations

import json
import random
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.common import N_CTX, bytes_of, device, safetensors_damage, split, whole
from fuzz.layouts import lane_layout
from fuzz.mutators import damaged, damaged_json

import pyomni
from pyomni._binding import Model
from pyomni.components.codec import CodecDecoder
from pyomni.components.lm import DecoderLM
from pyomni.pipelines.saved import checksum

__all__ = ["session_damage", "session_read", "session_seeds"]


def session_seeds(folder: Path) -> None:
    from tiny import tiny_gguf
    from tiny_omni import omni_gguf

    tiny_gguf(folder / "tts.gguf")
    omni_gguf(folder / "omni.gguf")
    for name in ("talker", "codec_decoder"):
        session, info = _session(folder, name)
        _step(session, info, 5)
        (folder / f"{name}.lane").write_bytes(session.save())
    with pyomni.load(folder / "tts.gguf", device="cpu", threads=1) as model:
        options = pyomni.SpeechOptions(seed=1, max_frames=12, guard=False)
        with model.stream("Hello there.", voice=model.speakers[0], options=options) as stream:
            next(iter(stream))
            (folder / "tts.saved").write_bytes(stream.save())
    chat = _omni(folder).conversation("Be brief.")
    noise = np.random.default_rng(0).standard_normal(4000).astype(np.float32) / 10
    chat.say([{"audio": (noise, 16000)}, "What?"], options=_text(2))
    (folder / "omni.saved").write_bytes(chat.to_bytes())


def _text(n: int) -> pyomni.ChatOptions:
    return pyomni.ChatOptions(greedy=True, max_tokens=n)


@lru_cache
def _session(folder: Path, name: str) -> tuple[Any, Any]:
    model = Model(device(), folder / "tts.gguf", name)
    return DecoderLM(model, N_CTX) if name == "talker" else CodecDecoder(model), model.info


def _step(session: Any, info: Any, n: int) -> None:
    if isinstance(session, DecoderLM):
        session.decode(np.ones((n, info.n_embd), np.float32))
    else:
        session.decode(np.zeros((n, info.n_groups), np.int32))


@lru_cache
def _tts(folder: Path) -> Any:
    return pyomni.load(folder / "tts.gguf", device="cpu", threads=1)


@lru_cache
def _omni(folder: Path) -> Any:
    return pyomni.load(folder / "omni.gguf", device="cpu", threads=1)


def session_damage(folder: Path, rng: random.Random) -> tuple[str, bytes]:
    path = rng.choice([*sorted(folder.glob("*.lane")), *sorted(folder.glob("*.saved"))])
    if path.suffix == ".lane":
        return path.name, _lane_damage(bytes_of(path), rng)
    if rng.random() < 0.2:
        return path.name, safetensors_damage(bytes_of(path), rng)
    return path.name, _saved_damage(bytes_of(path), rng)


def _lane_damage(data: bytes, rng: random.Random) -> bytes:
    layout = lane_layout(data)
    layout.entries.append(whole(min(64, len(data))))
    out = bytearray(damaged(data, layout, rng))
    if rng.random() < 0.8 and len(out) >= 48:  # as a liar would: length and checksum fit what follows
        struct.pack_into("<QQ", out, 32, len(out) - 48, _fingerprint(bytes(out[48:])))
    return bytes(out)


def _fingerprint(data: bytes) -> int:
    """Return what `fingerprint` of csrc/core/snapshot.cpp does."""
    words = np.frombuffer(data + b"\0" * (-len(data) % 8), "<u8").tolist()
    value = 14695981039346656037
    for word in words:
        value = (value ^ word) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return value


def _saved_damage(data: bytes, rng: random.Random) -> bytes:
    """Damage what a saved state says or holds, and make its checksum anew."""
    from safetensors.numpy import load, save

    metadata, tensors = dict(split(data)[0]["__metadata__"]), dict(load(data))
    text = metadata["about"]
    if rng.random() < 0.6:
        about = json.loads(text)
        text = json.dumps(damaged_json(about, rng))
        if rng.random() < 0.03:
            text = rng.choice(("[" * 100_000, '{"a":' * 50_000, "1" * 5000, text[:-1]))
    for _ in range(rng.choice((0, 1, 1, 2))):
        name = rng.choice(sorted(tensors))
        tensors[name] = _other_array(tensors[name], rng)
        if rng.random() < 0.1:
            del tensors[name]
    return bytes(save(tensors, {**metadata, "about": text, "checksum": checksum(text, tensors)}))


def _other_array(array: Any, rng: random.Random) -> Any:
    way = rng.randrange(6)
    if array.dtype == np.uint8 and array.ndim == 1 and bytes(array[:8]) == b"omnilane" and way < 4:
        return np.frombuffer(_lane_damage(array.tobytes(), rng), np.uint8)
    if way == 0:
        return array[: rng.randrange(len(array) + 1)]
    if way == 1:
        return np.concatenate([array, array])
    if way == 2:
        return array.astype(rng.choice(("<f8", "<i8", "<i4", "<f4", "u1")))
    if way == 3:
        return array.reshape(rng.choice(([-1], [*array.shape, 1], [1, *array.shape])))
    other = array.copy().reshape(-1)
    if other.size:
        at = rng.randrange(other.size)
        new = rng.choice(
            (0, -1, 63, 64, 1 << 20, (1 << 31) - 1, -(1 << 31), float("nan"), float("inf"), 1e30)
        )
        with np.errstate(all="ignore"):
            other[at] = np.float64(new).astype(other.dtype)
    return other.reshape(array.shape)


def session_read(path: Path, folder: Path) -> None:
    data = path.read_bytes()
    if path.suffix == ".lane":
        session, info = _session(folder, path.stem)
        session.load(data)
        _step(session, info, 2)
    elif path.stem == "tts":
        with _tts(folder).resume(data) as stream:
            next(iter(stream), None)
    else:
        _omni(folder).load_conversation(data).say("And?", options=_text(1))
