"""Which type each tensor gets in a file of a given type: one table, and why."""

from __future__ import annotations

from math import prod

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from pyomni.convert.plan import Role, Shape
from pyomni.errors import ArgumentError

__all__ = ["FILE_TYPES", "check_type", "file_type_number", "n_bytes", "tensor_type"]

Type = GGMLQuantizationType

_ALL = (Role.BULK, Role.MATRIX, Role.FINE, Role.TABLE, Role.DELICATE, Role.WIDE_MATRIX)
_HALF = {Role.DELICATE: Type.BF16, Role.WIDE_MATRIX: Type.BF16}
_BEST = {Role.MATRIX: Type.Q6_K, Role.FINE: Type.Q8_0, Role.TABLE: Type.Q8_0, **_HALF}

# file type: (ggml's number for general.file_type, type by role); what is not named is F32.
#
# WIDE_MATRIX is the code predictor's ffn_down, whose input reaches 1.5e5: a CPU product with an F16 weight
# rounds its input to F16, whose largest value is 65504, and the codes turn to garbage. FLOAT tensors are F32
# in every file: SnakeBeta takes exponentials, and a codebook row that moves changes every code after it. In
# the smallest types the bulk is small and what little remains is a step or two better, as is usual.
FILE_TYPES: dict[str, tuple[int, dict[Role, Type]]] = {
    "f32": (0, {}),
    "f16": (1, {**dict.fromkeys(_ALL, Type.F16), **_HALF}),
    "bf16": (32, dict.fromkeys(_ALL, Type.BF16)),
    "q8_0": (7, {**dict.fromkeys(_ALL, Type.Q8_0), **_HALF}),
    "q6_k": (18, {Role.BULK: Type.Q6_K, **_BEST}),
    "q5_k": (17, {Role.BULK: Type.Q5_K, **_BEST}),
    "q4_k": (15, {Role.BULK: Type.Q4_K, **_BEST}),
}
# What takes a type's place where a row is not whole blocks; then F16, which takes any.
SMALLER_BLOCKS = {Type.Q4_K: Type.Q5_0, Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0}


def check_type(file_type: str) -> None:
    """Refuse a type there is no row for.

    Raises
    ------
    ArgumentError
    """
    if file_type not in FILE_TYPES:
        raise ArgumentError(f"type {file_type!r} is unknown, expected one of {', '.join(FILE_TYPES)}")


def file_type_number(file_type: str) -> int:
    """ggml's number, for `general.file_type`."""
    return FILE_TYPES[file_type][0]


def tensor_type(role: Role, shape: Shape, file_type: str) -> Type:
    """The ggml type of one tensor.

    Parameters
    ----------
    role : from the plan
    shape : last index fastest; a quantised type needs its last axis to be whole blocks
    file_type : a key of `FILE_TYPES`
    """
    if len(shape) < 2:
        return Type.F32
    if role is Role.STORED_HALF:
        return Type.F16
    kind = FILE_TYPES[file_type][1].get(role, Type.F32)
    for fits in (kind, SMALLER_BLOCKS.get(kind, Type.F16)):
        if shape[-1] % GGML_QUANT_SIZES[fits][0] == 0:
            return fits
    return Type.F16


def n_bytes(shape: Shape, kind: Type) -> int:
    """Bytes a tensor of this shape takes, unpadded."""
    block, size = GGML_QUANT_SIZES[kind]
    return prod(shape) // block * size
