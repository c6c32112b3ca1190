"""Voice files: safetensors with what the voice is in its metadata.

Metadata, all strings: ``format`` is ``pyomni-voice``, ``version`` a whole number, ``kind``, ``name``,
``family``, ``transcript`` and ``description`` as in `Voice`. Tensors: ``embedding`` F32 [n_embd] of a clone,
``codes`` I32 [n_frames, n_groups] of one in context.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pyomni.audio.formats import output_file
from pyomni.errors import ArgumentError
from pyomni.voices.value import Voice

__all__ = ["FORMAT", "MAX_BYTES", "VERSION", "read", "write"]

FORMAT, VERSION = "pyomni-voice", 1

#: No voice comes near this (an hour of reference is 3 MB): a larger file is something else.
MAX_BYTES = 64 * 2**20


def write(path: str | os.PathLike[str], voice: Voice) -> None:
    """Write a voice file, whole or not at all.

    Raises
    ------
    OutputFileError
        The path cannot be written.
    """
    from safetensors.numpy import save

    tensors = {name: getattr(voice, name) for name in ("embedding", "codes")}
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "kind": voice.kind,
        "name": voice.name,
        "family": voice.family,
        "description": voice.description,
    }
    if voice.transcript is not None:
        metadata["transcript"] = voice.transcript
    data = save({name: array for name, array in tensors.items() if array is not None}, metadata)
    with output_file(path) as file:
        file.write(data)


def read(path: str | os.PathLike[str]) -> Voice:
    """Read a voice file.

    Raises
    ------
    ArgumentError
        It is not there, damaged, no voice file, or a newer pyomni made it.
    """
    where = f"voice file {os.fspath(path)!r}"
    try:
        n_bytes = Path(path).stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArgumentError(f"{where} could not be read: {reason}") from error
    if Path(path).is_dir():
        raise ArgumentError(f"{where} is a folder, expected a file made by Voice.save")
    if n_bytes > MAX_BYTES:
        raise ArgumentError(f"{where} has {n_bytes} bytes, expected a voice of at most {MAX_BYTES}")
    metadata, tensors = _open(path, where)
    if metadata.get("format") != FORMAT:
        raise ArgumentError(f"{where} is a safetensors file of another kind, expected one of Voice.save")
    version = metadata.get("version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise ArgumentError(f"{where} has version {version!r}, expected a whole number from 1")
    if int(version) > VERSION:
        raise ArgumentError(
            f"{where} has version {version}, expected at most {VERSION}: a newer pyomni made it"
        )
    return _voice(where, metadata, tensors)


def _open(path: str | os.PathLike[str], where: str) -> tuple[dict[str, str], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118, no mapping
            return dict(stored.metadata() or {}), tensors
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ArgumentError(f"{where} is damaged or no voice file ({reason})") from error


def _voice(where: str, metadata: dict[str, str], tensors: dict[str, Any]) -> Voice:
    """Build the voice, so that a file holds to what a caller is held to."""
    kind, name = metadata.get("kind", ""), metadata.get("name", "")
    wanted = {"clone": {"embedding"}, "preset": set(), "design": set(), "none": set()}.get(kind)
    if wanted is None:
        raise ArgumentError(f"{where} is of kind {kind!r}, expected preset, clone, design or none")
    if kind == "clone" and "transcript" in metadata:
        wanted.add("codes")
    if set(tensors) != wanted:
        found, expected = (", ".join(sorted(names)) or "no tensors" for names in (tensors, wanted))
        raise ArgumentError(f"{where} holds {found}, expected {expected} for a {kind}")
    try:
        if kind == "clone":
            voice = Voice.clone(
                tensors["embedding"], tensors.get("codes"), metadata.get("transcript"), name=name
            )
            family = metadata.get("family", "")
            return Voice("clone", name, voice.embedding, voice.codes, voice.transcript, family=family)
        if kind == "design":
            return Voice.design(metadata.get("description", ""), name=name)
        return Voice.none() if kind == "none" else Voice.preset(name)
    except ArgumentError as error:
        raise ArgumentError(f"{where}: {error}") from error
