"""Model files to smaller ones: GGUF in, GGUF out, tensor by tensor and in flat memory.

What each tensor becomes is the policy's (`pyomni/convert/policy.py`), so that a file made of an f32
conversion is byte for byte what `convert` makes of the checkpoint. Floats are never stored wider than they
came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize
from numpy.typing import NDArray

from pyomni.convert.encode import BLOCK, Importances, tensor_blocks
from pyomni.convert.plan import Planned, Source
from pyomni.convert.policy import (
    FREE,
    PLAIN,
    RULES,
    Overrides,
    check_type,
    file_type_number,
    n_bytes,
    role_of,
    tensor_type,
)
from pyomni.convert.safetensors_file import StoredTensor
from pyomni.convert.writer import File, Progress, Value, write_files
from pyomni.errors import ArgumentError, ModelFileError, ModelFormatError, UnsupportedModel
from pyomni.metadata import Metadata, TensorInfo, checkpoint_fingerprint
from pyomni.quantize.importance import ImportanceFile, check_importance, read_importance
from pyomni.siblings import SIBLINGS, main_path, sibling_path

__all__ = ["checkpoint_of", "keys_of", "quantize_files", "stored_tensors"]

Type = GGMLQuantizationType
VALUES = ("u32", "f32", "bool", "str", "arr[i32]", "arr[f32]", "arr[str]")
BITS = {Type.F32: 32, Type.F16: 16, Type.BF16: 16}  # of the types that are no blocks


def quantize_files(
    src: str | Path,
    out: str | Path,
    type: str,  # noqa: A002 - what users type, as in --type
    progress: Progress | None = None,
    *,
    imatrix: str | Path | None = None,
    tensor_types: Overrides = (),
    allow_requantize: bool = False,
) -> list[Path]:
    """Write a model again in another type; of Qwen3-Omni its siblings too, those that are there.

    Parameters
    ----------
    src : GGUF of `convert`, of type f32, bf16 or f16
    out : GGUF to write; all files appear whole or none does
    type : a key of `FILE_TYPES`
    progress : called as ``progress(tensor_name, bytes_done, bytes_in_all)`` after each tensor
    imatrix : importance matrix of this checkpoint; where an input is large, errors become smaller
    tensor_types : (pattern of tensor names, type), as ``("code_predictor.*", "q4_k")``: what those matrices
        get in place of the policy's; the last that fits counts. Tables and what stays f32 are left alone
    allow_requantize : take a file that is quantised already, whose errors then add up

    Returns
    -------
    the files written, `out` first

    Raises
    ------
    ArgumentError
        An unknown type, a pattern that fits no matrix, `out` is one of the files to read, the source is
        quantised, or the importance matrix is of another model.
    ModelFileError
        A file cannot be read or written, or the disk is full.
    ModelFormatError
        A file is damaged, or a weight is not finite or too large for the type.
    UnsupportedModel
        An architecture `convert` does not write; a K type or importances without the compiled module.
    """
    check_type(type)
    src, out = Path(src), Path(out)
    sources = _files(src, out)
    headers = {path: _header(path) for path in sources}
    arch = headers[src].str("general.architecture")
    for path, m in headers.items():
        if m.str("general.architecture") != arch:
            raise ModelFormatError(f"{path}: is {m['general.architecture']!r}, expected {arch!r} as {src}")
        _check_plain(m, allow_requantize=allow_requantize)
    made: ImportanceFile | None = None
    note: dict[str, Value] = {}
    if imatrix is not None:
        made = read_importance(imatrix)
        _check_of_this(made, imatrix, list(headers.values()))
        note = _note(made, imatrix)
    _check_overrides(tensor_types, arch, list(headers.values()))
    if tensor_types:
        note["quantize.tensor_types"] = [f"{pattern}={kind}" for pattern, kind in tensor_types]
    files: list[File] = []
    tensors: dict[str, StoredTensor] = {}
    for path, m in headers.items():
        keys: dict[str, Value] = {
            **keys_of(m),
            "general.file_type": file_type_number(type),
            "pyomni.type": type,
        }
        plan = [_planned(arch, info, type, tensor_types) for info in m.tensors]
        here = stored_tensors(m)
        if twice := sorted(tensors.keys() & here.keys()):
            raise ModelFormatError(f"{path}: tensor {twice[0]!r} is in another of the model's files as well")
        tensors |= here
        files.append(File(sources[path], {**keys, **note}, plan))
    importances = None if made is None else {name: seen.importance() for name, seen in made.seen.items()}
    write_files(files, arch, tensors, type, progress, partial(_blocks, importances=importances))
    return [file.path for file in files]


def _files(src: Path, out: Path) -> dict[Path, Path]:
    """The files to read, and what each becomes."""
    if main_path(src) != src:
        raise ArgumentError(
            f"{src}: is a sibling of {main_path(src)}, expected that one: its siblings go along"
        )
    found = {src: out}
    siblings = {sibling_path(src, name): name for name in SIBLINGS}
    found |= {path: sibling_path(out, name) for path, name in siblings.items() if path.is_file()}
    if len(found) > 1 and (main_path(out) != out or out.suffix != ".gguf"):
        raise ArgumentError(f"{out}: is no name for a file with siblings, expected NAME.gguf")
    read = {path.resolve() for path in found}
    for path in found.values():
        if path.resolve() in read or any(
            path.exists() and one.exists() and path.samefile(one) for one in read
        ):
            raise ArgumentError(f"{path}: is the file to read, expected another name to write")
    return found


def _header(path: Path) -> Metadata:
    m = Metadata.read(path)
    arch = m.str("general.architecture")
    if arch not in RULES:
        known = ", ".join(map(repr, RULES))
        raise UnsupportedModel(f"{path}: general.architecture is {arch!r}, expected one of {known}")
    return m


def _check_plain(m: Metadata, *, allow_requantize: bool) -> None:
    for info in m.tensors:
        if not info.shape or min(info.shape) < 1:
            raise ModelFormatError(
                f"{m.path}: tensor {info.name!r} has shape {list(info.shape)}, expected axes from 1"
            )
    types = {info.type: info.name for info in reversed(m.tensors)}
    for kind, name in types.items():
        ours = Type.__members__.get(kind.upper())
        if ours is None or (ours not in PLAIN and GGML_QUANT_SIZES[ours][0] == 1):
            raise ModelFormatError(f"{m.path}: tensor {name!r} is {kind}, expected floats or blocks of them")
        if ours not in PLAIN and not allow_requantize:
            raise ArgumentError(
                f"{m.path}: is quantised already (tensor {name!r} is {kind}), expected a file of type "
                "f32, bf16 or f16, or --allow-requantize, with which errors add up"
            )


def _check_of_this(made: ImportanceFile, path: str | Path, headers: list[Metadata]) -> None:
    shapes = {info.name: info.shape[::-1] for m in headers for info in m.tensors}
    check_importance(made, path, shapes)
    ours = {checkpoint_of(m) for m in headers}
    if made.checkpoint and made.checkpoint not in ours:
        raise ArgumentError(
            f"{path}: is of the checkpoint {made.checkpoint}, expected that of the model, "
            f"{' or '.join(sorted(ours))}"
        )


def _check_overrides(overrides: Overrides, arch: str, headers: list[Metadata]) -> None:
    names = [info.name for m in headers for info in m.tensors if len(info.shape) > 1]
    free = [name for name in names if role_of(arch, name) in FREE]
    for pattern, kind in overrides:
        check_type(kind)
        if not any(fnmatchcase(name, pattern) for name in free):
            raise ArgumentError(
                f"{pattern!r} fits no matrix of the model whose type is free, expected names such as "
                f"{free[0] if free else 'none'!r}, or patterns such as 'code_predictor.*'"
            )


def checkpoint_of(m: Metadata) -> str:
    """What files of one checkpoint share, whatever their types."""
    return str(m.get("pyomni.checkpoint") or checkpoint_fingerprint(m))


def _note(made: ImportanceFile, path: str | Path) -> dict[str, Value]:
    """Where the importances came from, in llama.cpp's keys."""
    return {
        "quantize.imatrix.file": Path(path).name,
        "quantize.imatrix.dataset": made.dataset,
        "quantize.imatrix.entries_count": len(made.seen),
        "quantize.imatrix.chunks_count": made.n_texts,
    }


def keys_of(m: Metadata) -> dict[str, Value]:
    """All keys but those the writer makes, and those of an earlier quantization.

    Raises
    ------
    ModelFormatError
        A key of a type that `convert` does not write.
    """
    keys: dict[str, Value] = {}
    for key in m:
        if key in ("general.architecture", "general.alignment") or key.startswith("quantize."):
            continue
        if m.kind(key) not in VALUES:
            raise ModelFormatError(
                f"{m.path}: key {key!r} is {m.kind(key)}, expected one of {', '.join(VALUES)}"
            )
        keys[key] = m[key]
    return keys


def _planned(arch: str, info: TensorInfo, file_type: str, overrides: Overrides) -> Planned:
    shape = info.shape[::-1]
    now = GGMLQuantizationType[info.type.upper()]
    kind = tensor_type(arch, info.name, shape, file_type, overrides)
    wider = now in PLAIN and kind in PLAIN and BITS[kind] > BITS[now]
    return Planned(info.name, shape, (Source(info.name, shape),), stored=now if wider else kind)


def stored_tensors(m: Metadata, prefix: str = "") -> dict[str, StoredTensor]:
    """A GGUF's tensors whose names begin with `prefix`, where they lie; their types are floats or blocks."""
    found: dict[str, StoredTensor] = {}
    for info in m.tensors:
        if info.name.startswith(prefix):
            kind = GGMLQuantizationType[info.type.upper()]
            make = StoredTensor if kind in PLAIN else Quantised
            found[info.name] = make(m.path, kind.name, info.shape[::-1], info.offset)
    return found


@dataclass(frozen=True)
class Quantised(StoredTensor):
    """A tensor of blocks."""

    def raw(self, begin: int, end: int) -> NDArray[np.generic]:
        """The bytes of elements `begin` to `end`, whole rows, read now."""
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType[self.dtype]]
        n, at = (end - begin) // block * size, self.offset + begin // block * size
        try:
            found = np.fromfile(self.path, np.uint8, n, offset=at)
        except OSError as error:
            raise ModelFileError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        if found.size < n:
            raise ModelFileError(f"{self.path}: became shorter while it was read")
        return found

    def f32(self, begin: int = 0, end: int | None = None) -> NDArray[np.float32]:
        """Elements `begin` to `end`, whole rows, as a new flat float32 array."""
        kind = GGMLQuantizationType[self.dtype]
        rows = self.raw(begin, prod(self.shape) if end is None else end)
        flat = dequantize(rows.reshape(-1, n_bytes(self.shape[-1:], kind)), kind).reshape(-1)
        return flat.astype(np.float32, copy=False)


def _blocks(
    planned: Planned, tensors: Mapping[str, StoredTensor], kind: Type, importances: Importances | None
) -> Iterator[NDArray[np.generic]]:
    """`tensor_blocks`, but what has its type already is copied."""
    stored = tensors[planned.name]
    if not isinstance(stored, Quantised) or stored.dtype != kind.name:
        yield from tensor_blocks(planned, tensors, kind, importances)
        return
    width, n = planned.shape[-1], planned.n_elements
    step = max(1, BLOCK // width) * width
    for begin in range(0, n, step):
        yield stored.raw(begin, min(begin + step, n))
