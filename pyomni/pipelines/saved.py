"""State as bytes: safetensors with a format, a version, a checksum and whatever else it takes to go on.

Metadata, all strings: ``format`` names the kind, ``version`` is a whole number, ``about`` the rest as JSON,
``checksum`` the `content_key` of ``about`` and the tensors in order of their names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyomni.digests import content_key
from pyomni.errors import ArgumentError, ModelFormatError, UnsupportedModel

__all__ = ["Kind", "checksum", "pack", "unpack"]

Arrays = Mapping[str, npt.NDArray[Any]]


class Kind(NamedTuple):
    """One kind of saved state.

    Attributes
    ----------
    format : str
    version : int
        The newest this pyomni knows.
    what : str
        What messages call it, such as ``the saved speech``.
    source : str
        What makes it, for messages.
    """

    format: str
    version: int
    what: str
    source: str


def pack(kind: Kind, about: Mapping[str, Any], tensors: Arrays) -> bytes:
    """Return state as bytes, for `unpack`."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    text = json.dumps(dict(about))
    metadata = {
        "format": kind.format,
        "version": str(kind.version),
        "about": text,
        "checksum": checksum(text, arrays),
    }
    return bytes(save(arrays, metadata))


def unpack(kind: Kind, saved: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read what `pack` made: ``about`` and the tensors.

    Raises
    ------
    ArgumentError
        Not bytes.
    ModelFormatError
        The bytes are damaged, or of another kind.
    UnsupportedModel
        A newer pyomni made them.
    """
    if not isinstance(saved, (bytes, bytearray, memoryview)):
        raise ArgumentError(f"{kind.what} is {type(saved).__name__}, expected the bytes of {kind.source}")
    metadata, tensors = _open(kind, bytes(saved))
    if metadata.get("format") != kind.format:
        raise ModelFormatError(f"the bytes are safetensors of another kind, expected those of {kind.source}")
    version = metadata.get("version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise ModelFormatError(f"{kind.what} has version {version!r}, expected a whole number from 1")
    if int(version) > kind.version:
        raise UnsupportedModel(
            f"{kind.what} has version {version}, expected at most {kind.version}: a newer pyomni made it"
        )
    text = metadata.get("about", "")
    if metadata.get("checksum") != checksum(text, tensors):
        raise ModelFormatError(
            f"{kind.what} is damaged: its checksum is not that of what it holds, expected the same"
        )
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{kind.what} does not hold what it should ({error})") from error
    if not isinstance(about, dict):
        raise ModelFormatError(f"{kind.what} does not hold what it should (about is no object)")
    return about, tensors


def _open(kind: Kind, saved: bytes) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(saved)
        n_header = int.from_bytes(saved[:8], "little")  # `load` has checked it
        return dict(json.loads(saved[8 : 8 + n_header]).get("__metadata__") or {}), tensors
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ModelFormatError(
            f"the bytes are damaged or no{kind.what.removeprefix('the')} ({reason}), "
            f"expected those of {kind.source}"
        ) from error


def checksum(about: str, tensors: Arrays) -> str:
    """Return what tells a whole state from a damaged one."""
    parts: list[bytes | str] = [about]
    for name in sorted(tensors):
        parts += [name, repr(tensors[name].shape), tensors[name].tobytes()]
    return content_key(*parts)
