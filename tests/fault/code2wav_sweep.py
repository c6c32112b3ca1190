"""Loads and runs code2wav out of one damaged file after the other; run in a process of its own.

    python code2wav_sweep.py MODEL.gguf SCRATCH

Prints ``refused`` or ``ran`` with each damage; any other end of one is the end of this process.
"""

from __future__ import annotations

import resource
import shutil
import sys
from pathlib import Path

import numpy as np
from mutate import Header

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder

MEMORY = (
    4 << 30
)  # bytes of address space: a size that was believed is then an error rather than a dead machine


def tried(device: Device, path: Path) -> str:
    """Decode three frames and one; say how it went."""
    try:
        with Model(device, path, "code2wav") as model:
            codec = CodecDecoder(model)
            codes = np.arange(4 * codec.n_groups).reshape(4, -1) % model.info.n_vocab
            pcm = np.concatenate([codec.decode(codes[:3]), codec.decode(codes[3:])])
            assert pcm.size == 4 * codec.hop - codec.lead
            assert not (np.abs(pcm) > 1).any()
            codec.close()
    except (errors.ModelFormatError, errors.UnsupportedModel, errors.OutOfMemory) as error:
        text = f"{type(error).__name__}: {error}"
    else:
        return "ran\t"
    assert "\n" not in text, text
    return f"refused\t{text}"


def put(path: Path, at: int, new: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)


def main(src: Path, scratch: Path) -> None:
    """Try every damage there is."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    path = Path(shutil.copy(src, scratch / "damaged.gguf"))
    with Device("cpu", 1) as device:
        assert tried(device, src) == "ran\t"
        header = Header(src)
        for damage in header.damages("code2wav."):
            print(damage.words, end="\t", flush=True)
            end = damage.at + len(damage.new)
            put(path, damage.at, damage.new)
            print(tried(device, path), flush=True)
            put(path, damage.at, header.data[damage.at : end])
        assert tried(device, path) == "ran\t"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
