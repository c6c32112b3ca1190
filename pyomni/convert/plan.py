"""What one GGUF tensor is made of: which checkpoint tensors, of which shapes, through which relayout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from pyomni.convert.safetensors_file import StoredTensor
from pyomni.errors import ModelFormatError

__all__ = [
    "Planned",
    "Shape",
    "Source",
    "books",
    "check_sources",
    "copy",
    "relayout",
    "snake",
    "stack",
    "transposed",
]

Array = NDArray[np.float32]
Shape = tuple[int, ...]
USAGE_FLOOR = np.float32(1e-5)  # EuclideanCodebook.epsilon
SNAKE_FLOOR = np.float32(1e-9)  # SnakeBeta.no_div_by_zero


@dataclass(frozen=True)
class Source:
    """A checkpoint tensor and the shape it must have, as PyTorch prints it."""

    name: str
    shape: Shape


@dataclass(frozen=True)
class Planned:
    """One GGUF tensor.

    Attributes
    ----------
    name : in the GGUF
    shape : last index fastest; ggml's `ne` is this reversed
    sources : read in this order
    build : float32 arrays of the sources' shapes to an array of `shape`; None: the sources'
        elements one after the other
    stored : the type it gets whatever the policy says of its name; None: what it says
    """

    name: str
    shape: Shape
    sources: tuple[Source, ...]
    build: Callable[..., Array] | None = None
    stored: GGMLQuantizationType | None = None

    @property
    def n_elements(self) -> int:
        """Elements in all."""
        return prod(self.shape)


def copy(name: str, source: str, shape: Shape, *, out: Shape | None = None) -> Planned:
    """The source's elements in their order; `out` drops axes of size 1."""
    return Planned(name, out or shape, (Source(source, shape),))


def stack(name: str, sources: Iterable[str], shape: Shape) -> Planned:
    """Matrices of one `shape`, a new first axis over them."""
    each = tuple(Source(source, shape) for source in sources)
    return Planned(name, (len(each), *shape), each)


def relayout(name: str, source: str, shape: Shape, out: Shape, build: Callable[[Array], Array]) -> Planned:
    """The source in another order."""
    return Planned(name, out, (Source(source, shape),), build)


def transposed(name: str, source: str, n_in: int, n_out: int, kernel: int) -> list[Planned]:
    """A transposed convolution's weight and bias.

    PyTorch's ``[IC, OC, K]`` becomes rows ``k*OC + oc`` over IC, so the convolution is one matrix product
    whose result holds, for each input step, the K output steps it adds to.
    """

    def build(w: Array) -> Array:
        return w.transpose(2, 1, 0).reshape(kernel * n_out, n_in)

    return [
        relayout(f"{name}.weight", f"{source}.weight", (n_in, n_out, kernel), (n_out * kernel, n_in), build),
        copy(f"{name}.bias", f"{source}.bias", (n_out,)),
    ]


def snake(name: str, source: str, n: int) -> list[Planned]:
    """SnakeBeta's ``a = exp(alpha)`` and ``b = 1 / (exp(beta) + 1e-9)``: the checkpoint stores logarithms."""
    return [
        relayout(f"{name}.a", f"{source}.alpha", (n,), (n,), np.exp),
        relayout(
            f"{name}.b",
            f"{source}.beta",
            (n,),
            (n,),
            lambda beta: np.float32(1) / (np.exp(beta) + SNAKE_FLOOR),
        ),
    ]


def _rows(total: Array, usage: Array) -> Array:
    return total / np.maximum(usage, USAGE_FLOOR)[:, None]


def _square_lengths(total: Array, usage: Array) -> Array:
    rows = _rows(total, usage).astype(np.float64)
    return (rows * rows).sum(axis=1).astype(np.float32)


def books(name: str, source: str, leaf: str, size: int, dim: int, *, lengths: bool = False) -> list[Planned]:
    """A codebook's rows, ``sum / max(usage, 1e-5)``, and with `lengths` their squared lengths.

    Formula: `EuclideanCodebook` of the official classes and of HF's Mimi.
    """
    sources = (Source(source + leaf, (size, dim)), Source(f"{source}cluster_usage", (size,)))
    planned = [Planned(f"{name}.weight", (size, dim), sources, _rows)]
    if lengths:
        planned.append(Planned(f"{name}.sqlen", (size,), sources, _square_lengths))
    return planned


def check_sources(
    plan: Iterable[Planned], unused: Iterable[str], tensors: Mapping[str, StoredTensor], where: object
) -> None:
    """Refuse a checkpoint that lacks a planned tensor, or has one of another shape or that nobody asked for.

    Parameters
    ----------
    plan : all GGUF tensors made from this checkpoint
    unused : names that may be there and are left out on purpose
    tensors : the checkpoint
    where : its folder, for messages

    Raises
    ------
    ModelFormatError
        Naming the tensor, what was found and what was expected.
    """
    wanted = {source.name: source.shape for planned in plan for source in planned.sources}
    for name, shape in wanted.items():
        if name not in tensors:
            raise ModelFormatError(
                f"{where}: tensor {name!r} is missing, expected one of shape {list(shape)}"
            )
        if tensors[name].shape != shape:
            raise ModelFormatError(
                f"{tensors[name].path}: tensor {name!r} has shape {list(tensors[name].shape)}, "
                f"expected {list(shape)}"
            )
    extra = sorted(set(tensors) - set(wanted) - set(unused))
    if extra:
        more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
        first = tensors[extra[0]]
        raise ModelFormatError(
            f"{first.path}: tensor {extra[0]!r} of shape {list(first.shape)}{more} found, expected "
            "only tensors this model type has"
        )
