"""Tensors of a GGUF as numbers, and copies of a file with other numbers in some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants
from numpy.typing import NDArray

from pyomni.convert.writer import add_key
from pyomni.metadata import Metadata, TensorInfo

__all__ = ["BLOCK", "dequantised", "is_matrix", "raw_parts", "read_tensor", "requantised", "scales_finite"]

F32 = NDArray[np.float32]
BLOCK = 1 << 24  # bytes looked at in one go

#: Where the half precision scales of a block lie, in halves, and halves of a block; a K type's first or last.
SCALES = {
    "q4_0": ([0], 9), "q4_1": ([0, 1], 10), "q5_0": ([0], 11), "q5_1": ([0, 1], 12), "q8_0": ([0], 17),
    "q2_k": ([40, 41], 42), "q3_k": ([54], 55), "q4_k": ([0, 1], 72), "q5_k": ([0, 1], 88),
    "q6_k": ([104], 105), "iq4_nl": ([0], 9), "iq4_xs": ([0], 68),
}  # fmt: skip


def raw_parts(path: Path, info: TensorInfo, step: int = 1) -> Iterator[NDArray[np.uint8]]:
    """Yield the bytes of a tensor in parts of whole blocks; with `step`, every so manyth part."""
    halves = SCALES[info.type][1] * 2 if info.type in SCALES else 8
    part = BLOCK // halves * halves
    data = (
        np.memmap(path, np.uint8, "r", info.offset, (info.n_bytes,))
        if info.n_bytes
        else np.empty(0, np.uint8)
    )
    for begin in range(0, info.n_bytes, part * step):
        yield np.asarray(data[begin : begin + part])


def scales_finite(kind: str, part: NDArray[np.uint8]) -> bool:
    """Return whether what the bytes stand for is finite: values, or the scales of blocks."""
    if kind == "f32":
        return bool(np.isfinite(part.view("<f4")).all())
    if kind == "bf16":
        return not ((part.view("<u2") & 0x7F80) == 0x7F80).any()
    if kind == "f16":
        return bool(np.isfinite(part.view("<f2")).all())
    if kind in SCALES:
        at, width = SCALES[kind]
        return bool(np.isfinite(part.view("<f2").reshape(-1, width)[:, at]).all())
    return True


def read_tensor(path: Path, info: TensorInfo) -> F32:
    """Return a tensor as floats, in numpy's order: the reverse of `info.shape`."""
    raw = np.fromfile(path, np.uint8, info.n_bytes, offset=info.offset)
    if info.type == "f32":
        return raw.view("<f4").reshape(info.shape[::-1])
    kind = GGMLQuantizationType[info.type.upper()]
    rows = raw.reshape(*info.shape[:0:-1], -1)
    if info.type == "f16":
        return rows.view("<f2").astype(np.float32)
    return quants.dequantize(rows, kind).astype(np.float32, copy=False).reshape(info.shape[::-1])


def dequantised(meta: Metadata, out: Path, keep: Callable[[TensorInfo], bool]) -> None:
    """Write a copy of a file in which every tensor that `keep` takes is float32; others are left out.

    Keys are copied, but for the vocabulary, so that the copy says of itself what the file says.
    """
    _copy(meta, out, [info for info in meta.tensors if keep(info)], lambda info, values: (values, None))


def requantised(meta: Metadata, out: Path, keep: Callable[[TensorInfo], bool], kind: str = "q8_0") -> None:
    """Write a copy of a file whose matrices, where `keep` takes them, are of a block type of 32."""
    from pyomni._binding import quantize

    def change(info: TensorInfo, values: F32) -> tuple[NDArray[np.generic], GGMLQuantizationType | None]:
        if not is_matrix(info) or info.shape[0] % 32:
            return values, None
        rows = quantize(kind, values.reshape(-1, values.shape[-1]))
        return rows.reshape(*values.shape[:-1], -1), GGMLQuantizationType[kind.upper()]

    _copy(meta, out, [info for info in meta.tensors if keep(info)], change)


def is_matrix(info: TensorInfo) -> bool:
    """Return whether a tensor of a language model is one of those a conversion quantises."""
    name = info.name
    return (
        len(info.shape) == 2
        and (".attn_" in name or ".ffn_" in name or "_head" in name)
        and "norm" not in name
    )


def _copy(
    meta: Metadata,
    out: Path,
    kept: list[TensorInfo],
    change: Callable[[TensorInfo, F32], tuple[NDArray[np.generic], GGMLQuantizationType | None]],
) -> None:
    writer = GGUFWriter(out, meta.str("general.architecture"))
    try:
        for name in meta:
            if (
                not name.startswith("tokenizer.") and name != "general.architecture"
            ):  # a vocabulary takes long
                add_key(writer, name, meta[name])
        for info in kept:
            values, kind = change(info, read_tensor(meta.path, info))
            writer.add_tensor(info.name, values, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
