"""What tells one model file from another without reading all of it.

A fingerprint covers all of a file up to 64 MiB. Of a larger one it covers the size, the header to the
last byte (every key, and the name, shape, type and place of every tensor) and 256 samples of 4 KiB,
evenly spread over the weights. Another conversion, type or training changes it; a few damaged bytes may
not, and finding those is the doctor's business.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from pyomni.digests import short_key
from pyomni.errors import ModelFileError
from pyomni.metadata.header import Metadata

__all__ = ["checkpoint_fingerprint", "fingerprint"]

N_SAMPLES, SAMPLE = 256, 4096
SMALL = 64 << 20  # bytes of a file that is read whole


def fingerprint(path: str | Path) -> str:
    """Return the fingerprint of a GGUF file, 32 hexadecimal digits.

    Remembered for as long as the process lives and the file keeps its size and time of change.

    Raises
    ------
    ModelFileError, ModelFormatError
        As `Metadata.read`.
    """
    path = Path(path)
    try:
        found = path.stat()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    return _fingerprint(path.resolve(), found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _fingerprint(path: Path, size: int, changed: int) -> str:
    tensors = Metadata.read(path).tensors
    begin = size if size <= SMALL else min((info.offset for info in tensors), default=size)
    parts = [size.to_bytes(8, "little")]
    try:
        with path.open("rb") as file:
            parts.append(file.read(begin))
            if begin < size:
                for at in np.linspace(begin, size - SAMPLE, N_SAMPLES).astype(np.int64).tolist():
                    file.seek(at)
                    parts.append(file.read(SAMPLE))
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    return short_key(*parts)


def checkpoint_fingerprint(meta: Metadata) -> str:
    """Return what files of one checkpoint share, whatever their types: 32 hexadecimal digits.

    It covers the vectors of the talker and the code predictor, norms that is, which every type keeps in
    float32. A model whose training changed no norm has that of the model it was trained from.

    Raises
    ------
    ModelFileError
        The file cannot be read.
    """
    parts: list[bytes | str] = []
    try:
        with meta.path.open("rb") as file:
            for info in sorted(meta.tensors, key=lambda info: info.name):
                owner = info.name.partition(".")[0]
                if owner in ("talker", "code_predictor") and len(info.shape) == 1 and info.type == "f32":
                    file.seek(info.offset)
                    parts += [info.name, file.read(info.n_bytes)]
    except OSError as error:
        raise ModelFileError(f"{meta.path}: cannot be read ({error.strerror or error})") from error
    return short_key(*parts)
