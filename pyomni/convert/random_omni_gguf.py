"""Qwen3-Omni GGUF files with random weights, straight to disk: real sizes without 70 GB of checkpoint first.

Experts repeat a few matrices, so a file of 30B parameters takes about as long as writing it does. What it
says is noise; what it costs to run is what the real one costs.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from pyomni.convert.encode import tensor_blocks
from pyomni.convert.floats import f32_to_bf16
from pyomni.convert.json_config import read_config
from pyomni.convert.plan import Planned
from pyomni.convert.policy import check_type
from pyomni.convert.qwen3_omni import ARCHITECTURE, OmniArchitecture, omni_files
from pyomni.convert.random_omni_sizes import OmniDims
from pyomni.convert.random_qwen3_omni import write_texts
from pyomni.convert.safetensors_file import StoredTensor
from pyomni.convert.writer import Progress, write_files

__all__ = ["write_omni_gguf"]

N_VARIANTS = 8  # of an expert's matrix
Bytes = NDArray[np.generic]


def write_omni_gguf(
    out: str | Path,
    dims: OmniDims | None = None,
    file_type: str = "q4_k",
    seed: int = 1234,
    *,
    eos_allowed: bool = False,
    audio_output: bool = True,
    vocab_gguf: str | Path | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write `out` and its siblings.

    Parameters
    ----------
    out : the thinker's file
    file_type : key of `policy.FILE_TYPES`
    dims, seed, eos_allowed, audio_output, vocab_gguf : as `write_omni_checkpoint`
    progress : called as ``progress(tensor, bytes_done, bytes_in_all)`` after each tensor

    Returns
    -------
    the files written

    Raises
    ------
    As `convert`.
    """
    check_type(file_type)
    with tempfile.TemporaryDirectory(prefix="pyomni-") as scratch:
        src = Path(scratch) / "random-qwen3-omni"
        weights = write_texts(src, dims, seed, eos_allowed, audio_output, vocab_gguf)
        config = read_config(src / "config.json")
        model = OmniArchitecture.read(config, read_config(src / "preprocessor_config.json"))
        files = omni_files(model, src, config, Path(out), file_type, f"random-{seed}")
    drawn: dict[str, StoredTensor] = {
        name: Drawn(Path(name), "BF16", shape, 0, make) for name, shape, make in weights
    }
    write_files(files, ARCHITECTURE, drawn, file_type, progress, Repeating())
    return [file.path for file in files]


@dataclass(frozen=True, eq=False)
class Drawn(StoredTensor):
    """A tensor that is made when it is read, bfloat16 as in the release."""

    make: Callable[[], NDArray[np.float32]]
    held: list[NDArray[np.float32]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)  # elements handed out since it was made
    lock: Lock = field(default_factory=Lock)

    def raw(self, begin: int, end: int) -> Bytes:
        """Elements `begin` to `end`, from any thread; the tensor is forgotten once all were asked for."""
        with self.lock:
            if not self.held:
                self.held.append(self.make().reshape(-1))
            part = self.held[0][begin:end]
            self.asked.append(end - begin)
            if sum(self.asked) >= self.held[0].size:
                self.held.clear()
                self.asked.clear()
        return f32_to_bf16(part)


class Repeating:
    """`tensor_blocks`, but of experts' matrices a few are encoded once and stand for all."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, GGMLQuantizationType, int], list[Bytes]] = {}

    def __call__(
        self, planned: Planned, tensors: Mapping[str, StoredTensor], kind: GGMLQuantizationType
    ) -> Iterator[Bytes]:
        """Yield the bytes of a tensor."""
        if "_exps." not in planned.name:
            yield from tensor_blocks(planned, tensors, kind)
            return
        what = ".".join(part for part in planned.name.split(".") if not part.isdecimal())  # in any layer
        for source in planned.sources:
            key = what, kind, zlib.crc32(source.name.encode()) % N_VARIANTS
            if key not in self._known:
                one = Planned(planned.name, source.shape, (source,))
                self._known[key] = list(tensor_blocks(one, tensors, kind))
            yield from self._known[key]
