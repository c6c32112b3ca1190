"""Which type each tensor gets in a file of a given type: one table, and why."""

from __future__ import annotations

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from pyomni.convert.plan import Role, Shape
from pyomni.errors import ArgumentError

__all__ = ["FILE_TYPES", "check_type", "n_bytes", "tensor_type"]

Type = GGMLQuantizationType

# file type: (ggml's number for general.file_type, type of a MATRIX, of a WIDE_MATRIX, of rows that do not
# fill blocks)
#
# WIDE_MATRIX is the code predictor's ffn_down, whose input reaches 1.5e5: a CPU product with an F16 weight
# rounds its input to F16, whose largest value is 65504, and the codes turn to garbage. FLOAT tensors are F32
# in every file: SnakeBeta takes exponentials, and a codebook row that moves changes every code after it.
FILE_TYPES: dict[str, tuple[int, Type, Type, Type]] = {
    "f32": (0, Type.F32, Type.F32, Type.F32),
    "f16": (1, Type.F16, Type.BF16, Type.F16),
    "bf16": (32, Type.BF16, Type.BF16, Type.BF16),
    "q8_0": (7, Type.Q8_0, Type.BF16, Type.F16),
}


def check_type(file_type: str) -> None:
    """Refuse a type there is no row for.

    Raises
    ------
    ArgumentError
    """
    if file_type not in FILE_TYPES:
        raise ArgumentError(f"type {file_type!r} is unknown, expected one of {', '.join(FILE_TYPES)}")


def tensor_type(role: Role, shape: Shape, file_type: str) -> Type:
    """The ggml type of one tensor.

    Parameters
    ----------
    role : from the plan
    shape : last index fastest; a quantised type needs its last axis to be whole blocks
    file_type : a key of `FILE_TYPES`
    """
    _, matrix, wide, partial = FILE_TYPES[file_type]
    if role is Role.FLOAT or len(shape) < 2:
        return Type.F32
    if role is Role.WIDE_MATRIX:
        return wide
    return partial if shape[-1] % GGML_QUANT_SIZES[matrix][0] else matrix


def n_bytes(shape: Shape, kind: Type) -> int:
    """Bytes a tensor of this shape takes, unpadded."""
    block, size = GGML_QUANT_SIZES[kind]
    total = 1
    for n in shape:
        total *= n
    return total // block * size
