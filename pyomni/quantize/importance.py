"""Importance matrices: how large the inputs of each matrix were, which says where an error costs most.

The file is a GGUF as llama.cpp writes it: for each matrix, by its name, the sum of the squares of each input
column (`NAME.in_sum2`, f32 [n_in, n_matrices]) and the rows that were summed (`NAME.counts`, f32
[1, n_matrices]). Stacked experts are as many matrices. `docs/quantize.md` lists the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from numpy.typing import NDArray

from pyomni.convert.writer import beside
from pyomni.errors import ArgumentError, ModelFileError, ModelFormatError
from pyomni.metadata import Metadata

__all__ = ["ImportanceFile", "Seen", "check_importance", "read_importance", "write_importance"]

KIND = "imatrix"
SUMS, COUNTS = ".in_sum2", ".counts"
FLOOR = 1e-6  # of a matrix's mean: a column that was never used must not cost nothing


@dataclass(frozen=True, eq=False)
class Seen:
    """What went into the matrices of one tensor.

    Attributes
    ----------
    sums : float32 [n_matrices, n_in], of the squares
    counts : float32 [n_matrices], rows summed
    """

    sums: NDArray[np.float32]
    counts: NDArray[np.float32]

    def importance(self) -> NDArray[np.float32]:
        """Mean squares, float32 [n_matrices, n_in], above zero; ones for a matrix that saw nothing."""
        mean = self.sums / np.maximum(self.counts, 1)[:, None]
        level = mean.mean(axis=1, keepdims=True)
        return np.where(level > 0, np.maximum(mean, FLOOR * level), 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ImportanceFile:
    """An importance matrix.

    Attributes
    ----------
    seen : by the tensors' names
    dataset : name of the texts it was made of, and how many
    n_texts : texts in it
    checkpoint : fingerprint of the weights it is of, of whatever type; empty where the file does not say
    """

    seen: Mapping[str, Seen]
    dataset: str
    n_texts: int
    checkpoint: str = ""


def write_importance(path: str | Path, made: ImportanceFile) -> None:
    """Write a file; it appears whole or not at all.

    Raises
    ------
    ModelFileError
        It cannot be written, or the disk has no room.
    """
    path = Path(path)
    needed = sum(seen.sums.nbytes + seen.counts.nbytes for seen in made.seen.values())
    with beside(path, needed) as part:
        writer = GGUFWriter(part, KIND)
        try:
            writer.add_type(KIND)
            writer.add_array("imatrix.datasets", [made.dataset])
            writer.add_uint32("imatrix.chunk_count", made.n_texts)
            writer.add_uint32("imatrix.chunk_size", 1)  # a chunk here is a text, of no fixed length
            writer.add_string("pyomni.checkpoint", made.checkpoint)
            for name in sorted(made.seen):
                seen, f32 = made.seen[name], GGMLQuantizationType.F32
                writer.add_tensor(name + SUMS, seen.sums.astype("<f4"), raw_dtype=f32)
                writer.add_tensor(name + COUNTS, seen.counts.astype("<f4").reshape(-1, 1), raw_dtype=f32)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def read_importance(path: str | Path) -> ImportanceFile:
    """Read a file, of ours or of llama.cpp's `--output-format gguf`.

    Raises
    ------
    ModelFileError
        It is not there, or cannot be read.
    ModelFormatError
        It is no importance matrix, or one of its tensors is not what it should be.
    """
    path = Path(path)
    m = Metadata.read(path)
    if m.get("general.type") != KIND:
        raise ModelFormatError(f"{path}: general.type is {m.get('general.type')!r}, expected {KIND!r}")
    tensors = {info.name: info for info in m.tensors}
    seen: dict[str, Seen] = {}
    for name, info in tensors.items():
        if not name.endswith(SUMS):
            continue
        counted = tensors.get(name.removesuffix(SUMS) + COUNTS)
        n_in, n = (*info.shape, 1, 1)[:2]
        fits = min(n_in, n) > 0 and info.shape in ((n_in,), (n_in, n)) and info.type == "f32"
        if counted is None or not fits or counted.shape not in ((n,), (1, n)) or counted.type != "f32":
            other = "none" if counted is None else f"{counted.type} of shape {list(counted.shape)}"
            raise ModelFormatError(
                f"{path}: tensor {name!r} is {info.type} of shape {list(info.shape)} with counts {other}, "
                "expected f32 [n_in, n] with f32 [1, n]"
            )
        sums, counts = _floats(path, info.offset, n_in * n), _floats(path, counted.offset, n)
        if not (np.isfinite(sums).all() and np.isfinite(counts).all()) or min(sums.min(), counts.min()) < 0:
            raise ModelFormatError(f"{path}: tensor {name!r} holds values that are not finite or below zero")
        seen[name.removesuffix(SUMS)] = Seen(sums.reshape(n, n_in), counts)
    if not seen:
        raise ModelFormatError(f"{path}: holds no sums, expected a tensor NAME{SUMS} for each matrix")
    datasets = m.strings("imatrix.datasets")
    n_texts = m.u32("imatrix.chunk_count") if "imatrix.chunk_count" in m else 0
    checkpoint = m.str("pyomni.checkpoint") if "pyomni.checkpoint" in m else ""
    return ImportanceFile(seen, datasets[0] if datasets else "", n_texts, checkpoint)


def check_importance(made: ImportanceFile, path: str | Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse what is of another model.

    Parameters
    ----------
    made, path : the importance matrix and its file
    shapes : of the model's tensors, last index fastest

    Raises
    ------
    ArgumentError
        No tensor is in both, or one is of another shape.
    """
    both = [name for name in made.seen if name in shapes]
    if not both:
        first = next(iter(made.seen))
        raise ArgumentError(f"{path}: is of another model: it knows {first!r}, expected tensors of this one")
    for name in both:
        shape = shapes[name]
        found, expected = made.seen[name].sums.shape, (shape[0] if len(shape) == 3 else 1, shape[-1])
        if found != expected:
            raise ArgumentError(
                f"{path}: is of another model: {name!r} has {found[0]} matrices of {found[1]} columns, "
                f"expected {expected[0]} of {expected[1]}"
            )


def _floats(path: Path, offset: int, n: int) -> NDArray[np.float32]:
    try:
        found = np.fromfile(path, "<f4", n, offset=offset)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    if found.size < n:
        raise ModelFileError(f"{path}: became shorter while it was read")
    return found
