"""What the official package takes as audio and as batches, in pyomni's terms."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import urllib.request
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError, AudioError

__all__ = ["array", "clip", "device", "each", "samples"]

#: A clip from the network is read up to this size.
MAX_DOWNLOAD = 256 * 2**20
TIMEOUT_S = 60

#: Longer than any path to a clip, this is the clip itself. A name with an extension has a dot.
BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")


def each(name: str, value: Any, n: int) -> list[Any]:
    """Return one value per text: a list of that length, or one value for all of them.

    Raises
    ------
    ArgumentError
        A list of another length.
    """
    values = list(value) if isinstance(value, list) else [value]
    if len(values) == 1:
        values *= n
    if len(values) != n:
        raise ArgumentError(f"Batch size mismatch: {n} texts and {len(values)} in {name}, expected as many")
    return values


def array(value: Any) -> npt.NDArray[Any]:
    """Return an array, or a tensor of another library, as numpy's."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)


def clip(value: Any) -> str | bytes | tuple[npt.NDArray[Any], int]:
    """Return a reference as `read_reference` takes it.

    Parameters
    ----------
    value : str or (array, sample rate)
        A path, an http or https address, base64 text (with or without ``data:audio...,``), or samples.

    Raises
    ------
    ArgumentError
        Samples without their rate, or something else.
    AudioError
        The address cannot be read, or the text is not base64.
    """
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        if text.startswith(("http://", "https://")):
            return _download(text)
        if text.startswith("data:audio") or (len(text) > 256 and BASE64.fullmatch(text)):
            return _base64(text)
        return text
    if isinstance(value, tuple) and len(value) == 2:
        return array(value[0]), int(value[1])
    if isinstance(value, np.ndarray):
        raise ArgumentError("the audio is an array alone, expected a tuple (audio, sr)")
    raise ArgumentError(f"the audio is a {type(value).__name__}, expected a path or a tuple (audio, sr)")


def samples(value: Any) -> tuple[npt.NDArray[Any], int]:
    """Return a clip as float samples [n] or [n, n_channels], and its rate in Hz; otherwise as `clip`."""
    source = clip(value)
    if isinstance(source, tuple):
        return source
    import soundfile

    try:
        data, rate = soundfile.read(
            io.BytesIO(source) if isinstance(source, bytes) else source, dtype="float32"
        )
    except (RuntimeError, TypeError, ValueError, OSError) as error:
        raise AudioError(f"the audio could not be read: {error}") from error
    return data, int(rate)


def device(device_map: Any) -> str:
    """Return pyomni's name of an official device; one that is not there is left to pyomni."""
    from pyomni._binding import devices

    wanted = str(device_map or "auto").lower().replace(":", "")
    wanted = "cuda0" if wanted == "cuda" else wanted
    return wanted if wanted in {name.lower() for name, _ in devices()} else "auto"


def _download(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response:
            data: bytes = response.read(MAX_DOWNLOAD + 1)
    except (OSError, ValueError) as error:
        raise AudioError(f"{address}: could not be read: {error}") from error
    if len(data) > MAX_DOWNLOAD:
        raise AudioError(f"{address}: has more than {MAX_DOWNLOAD} bytes, expected a clip of some seconds")
    return data


def _base64(text: str) -> bytes:
    body = text.split(",", 1)[1] if text.startswith("data:") and "," in text else text
    try:
        return base64.b64decode(body)
    except (binascii.Error, ValueError) as error:
        raise AudioError(f"the audio is {len(text)} characters that are not base64 ({error})") from error
