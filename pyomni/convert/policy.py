"""Which type each tensor gets in a file of a given type: one table by name, one by type, and why.

`pyomni convert` and `pyomni quantize` both ask here, and `docs/quantize.md` is printed from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from math import prod
from typing import NamedTuple

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from pyomni.errors import ArgumentError

__all__ = [
    "FILE_TYPES",
    "FREE",
    "PLAIN",
    "RULES",
    "SMALLER_BLOCKS",
    "FileType",
    "Overrides",
    "Role",
    "check_type",
    "file_type_number",
    "n_bytes",
    "role_of",
    "tensor_type",
]

Type = GGMLQuantizationType
PLAIN = (Type.F32, Type.F16, Type.BF16)


class Role(Enum):
    """What a tensor is, as far as its precision goes."""

    BULK = "MLPs and experts, most of the weights: takes the type of the file"
    MATRIX = "attention, projections, the head over text: a step above the smallest types"
    FINE = "of a small network that much depends on: not below q8_0"
    TABLE = "rows are looked up, which devices do for no K type: not below q8_0"
    DELICATE = "codec tables and heads, where a slip is heard, and convolutions: not below 16 bits"
    WIDE = "its input exceeds the range of f16: never f16, and not below bf16"
    FLOAT = "stays f32: norms, biases, routers, everything of the codec and of the speaker encoder"


_ATTENTION = tuple(f"blk.*.attn_{part}.weight" for part in ("q", "k", "v", "output"))
_DENSE = tuple(f"blk.*.ffn_{part}.weight" for part in ("gate", "up", "down"))
_EXPERTS = tuple(f"blk.*.ffn_{part}_exps.weight" for part in ("gate", "up", "down"))
_SHARED = tuple(f"blk.*.ffn_{part}_shexp.weight" for part in ("gate", "up", "down"))
_CODES = ("codec_embd.weight", "codec_head.weight")
_PROJECTIONS = tuple(f"{name}_proj.fc{i}.weight" for name in ("text", "hidden") for i in (1, 2))
_LAYER = tuple(f"blk.*.{part}.weight" for part in ("attn_qkv", "attn_output", "ffn_up", "ffn_down"))
_MERGERS = tuple(f"{name}.fc{i}.weight" for name in ("merger", "deepstack.*") for i in (1, 2))

_Rules = tuple[tuple[str, Role, tuple[str, ...]], ...]
# The frame's inner network: small, and 15 passes over it make a frame.
_PREDICTOR: _Rules = (
    ("code_predictor", Role.WIDE, ("blk.*.ffn_down.weight",)),
    ("code_predictor", Role.FINE, ("input_proj.weight", *_ATTENTION, *_DENSE[:2])),
)

# architecture: (component, role, names behind it), the first that fits; a tensor that none fits, or of one
# axis, is FLOAT. In the talker of Qwen3-Omni the experts are nearly all of it, and there are six of them to
# even out a slip: the rest stays fine.
RULES: dict[str, _Rules] = {
    "qwen3-tts": (
        ("talker", Role.TABLE, ("text_embd.weight", "codec_embd.weight")),
        ("talker", Role.FINE, ("codec_head.weight",)),
        ("talker", Role.MATRIX, (*_PROJECTIONS[:2], *_ATTENTION)),
        ("talker", Role.BULK, _DENSE),
        ("code_predictor", Role.TABLE, ("codec_embd.*.weight",)),
        ("code_predictor", Role.FINE, ("codec_head.*.weight",)),
        *_PREDICTOR,
    ),
    "qwen3-omni": (
        ("thinker", Role.TABLE, ("token_embd.weight",)),
        ("thinker", Role.MATRIX, ("output.weight", *_ATTENTION)),
        ("thinker", Role.BULK, (*_EXPERTS, *_SHARED)),
        ("talker", Role.DELICATE, _CODES),
        ("talker", Role.FINE, (*_PROJECTIONS, *_ATTENTION, *_SHARED)),
        ("talker", Role.BULK, _EXPERTS),
        ("code_predictor", Role.DELICATE, ("codec_embd.*.weight", "codec_head.*.weight")),
        *_PREDICTOR,
        ("audio_encoder", Role.FINE, ("conv_out.weight", *_LAYER, "proj1.weight", "proj2.weight")),
        ("vision_encoder", Role.DELICATE, ("patch_embd.weight",)),
        ("vision_encoder", Role.FINE, (*_LAYER, *_MERGERS)),
    ),
}


class FileType(NamedTuple):
    """A row of `FILE_TYPES`: ggml's number for `general.file_type`, and the type of each role but FLOAT."""

    number: int
    kinds: dict[Role, Type]


_ROLES = tuple(role for role in Role if role is not Role.FLOAT)
_HALF = {Role.DELICATE: Type.BF16, Role.WIDE: Type.BF16}
_BEST = {Role.MATRIX: Type.Q6_K, Role.FINE: Type.Q8_0, Role.TABLE: Type.Q8_0, **_HALF}

# WIDE is the code predictor's ffn_down, whose input reaches 1.5e5: a CPU product with an F16 weight rounds
# its input to F16, whose largest value is 65504, and the codes turn to garbage. Q8_0 would hold it, at one
# scale for 32 numbers: what lies beside the large one is then rounded away (tests/unit/test_wide.py).
# FLOAT tensors are F32 in every file: SnakeBeta takes exponentials, and a codebook row that moves changes
# every code after it. In the smallest types the bulk is small and what little remains is a step or two
# better, as is usual.
FILE_TYPES: dict[str, FileType] = {
    "f32": FileType(0, dict.fromkeys(_ROLES, Type.F32)),
    "f16": FileType(1, {**dict.fromkeys(_ROLES, Type.F16), **_HALF}),
    "bf16": FileType(32, dict.fromkeys(_ROLES, Type.BF16)),
    "q8_0": FileType(7, {**dict.fromkeys(_ROLES, Type.Q8_0), **_HALF}),
    "q6_k": FileType(18, {Role.BULK: Type.Q6_K, **_BEST}),
    "q5_k": FileType(17, {Role.BULK: Type.Q5_K, **_BEST}),
    "q4_k": FileType(15, {Role.BULK: Type.Q4_K, **_BEST}),
    "q4_0": FileType(2, {Role.BULK: Type.Q4_0, **_BEST}),
    "iq4_nl": FileType(25, {Role.BULK: Type.IQ4_NL, **_BEST}),
}
# What takes a type's place where a row is not whole blocks; then F16, which takes any (WIDE: BF16).
SMALLER_BLOCKS = {Type.Q4_K: Type.Q5_0, Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0}
# What may be given another type by name. TABLE, DELICATE and FLOAT have their reasons above.
FREE = (Role.BULK, Role.MATRIX, Role.FINE, Role.WIDE)
#: (pattern of names, key of `FILE_TYPES`), of which the last that fits counts.
Overrides = Sequence[tuple[str, str]]


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
    return FILE_TYPES[file_type].number


@cache
def role_of(arch: str, name: str) -> Role:
    """What the tensor `name` is in a file of this architecture, a key of `RULES`."""
    component, _, rest = name.partition(".")
    for owner, role, patterns in RULES[arch]:
        if owner == component and any(fnmatchcase(rest, pattern) for pattern in patterns):
            return role
    return Role.FLOAT


def tensor_type(
    arch: str, name: str, shape: tuple[int, ...], file_type: str, overrides: Overrides = ()
) -> Type:
    """The ggml type of one tensor.

    Parameters
    ----------
    arch : key of `RULES`
    name : in the GGUF
    shape : last index fastest; a quantised type needs its last axis to be whole blocks
    file_type : a key of `FILE_TYPES`
    overrides : whose last pattern that fits the name decides, where the role is one of `FREE`
    """
    role = role_of(arch, name)
    if len(shape) < 2 or role is Role.FLOAT:
        return Type.F32
    kind, last = FILE_TYPES[file_type].kinds[role], Type.BF16 if role is Role.WIDE else Type.F16
    for pattern, wanted in overrides if role in FREE else ():
        if fnmatchcase(name, pattern):
            kind = FILE_TYPES[wanted].kinds[Role.BULK]
            kind = last if kind is Type.F16 else kind
    for fits in (kind, SMALLER_BLOCKS.get(kind, last)):
        if shape[-1] % GGML_QUANT_SIZES[fits][0] == 0:
            return fits
    return last


def n_bytes(shape: tuple[int, ...], kind: Type) -> int:
    """Bytes a tensor of this shape takes, unpadded."""
    block, size = GGML_QUANT_SIZES[kind]
    return prod(shape) // block * size
