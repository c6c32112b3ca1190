"""Devices, and the models loaded onto them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pyomni import errors
from pyomni._binding.addons import load_addons
from pyomni._binding.calls import Handle, checked, drained, text_of
from pyomni._native import ffi, lib

__all__ = ["Device", "Found", "Info", "Model", "build_about", "devices", "drain_log", "found_devices"]


@dataclass(frozen=True)
class Found:
    """A device that is here.

    Attributes
    ----------
    name : str
        What ``Device`` and ``--device`` take.
    kind : {"cpu", "gpu", "igpu", "software", "other"}
        ``igpu`` shares the CPU's memory; ``software`` calls itself a GPU and runs on the CPU.
    description : str
    """

    name: str
    kind: str
    description: str


def found_devices() -> list[Found]:
    """List the devices of this build and of the add-ons that are installed."""
    load_addons()
    return [Found(*line.split("\t", 2)) for line in text_of(lib.omni_device_list).splitlines()]


def devices() -> list[tuple[str, str]]:
    """List the devices of this build and of the add-ons that are installed.

    Returns
    -------
    list of (name, description)
        ``name`` is what ``--device`` and `load` take.
    """
    return [(one.name, one.description) for one in found_devices()]


def build_about() -> dict[str, str]:
    """Return what was compiled in: ``ggml`` and its version, then the CPU features its kernels use.

    In a wheel ``cpu`` is the library that was chosen for this CPU; ``error`` is why none, or none of pyomni's
    own kernels, runs here.

    >>> build_about()
    {'ggml': '0.25.3', 'cpu': 'zen4', 'SSE3': '1', 'AVX': '1', 'AVX2': '1', ...}
    """
    lines = (line.partition("\t") for line in text_of(lib.omni_build_about).splitlines())
    return {key: value for key, _, value in lines}


def drain_log() -> str:
    """Return ggml's log lines since the last call."""
    return drained(lib.omni_log_drain)


class Device(Handle):
    """Where weights live and graphs run.

    Parameters
    ----------
    name : str
        ``cpu``, or another name that ``devices()`` lists; `pyomni.machine` knows what ``auto`` is.
    n_threads : int, optional
        CPU threads; None takes one per core this process may use.

    Raises
    ------
    ArgumentError
        No such device, or a thread count out of range.
    """

    def __init__(self, name: str, n_threads: int | None = None) -> None:
        if n_threads is not None and not 1 <= n_threads <= 512:
            raise errors.ArgumentError(f"threads is {n_threads}, expected 1 to 512")
        if name != "cpu":  # which needs none
            load_addons()
        out = ffi.new("omni_device **")
        with checked() as call:
            call(lib.omni_device_open, name.encode(), n_threads or 0, out)
        super().__init__(out[0], lib.omni_device_free)
        self.name: str = text_of(lib.omni_device_name, self.pointer)
        self.n_threads: int = int(lib.omni_device_threads(self.pointer))

    def limit(self, n_threads: int = 0) -> None:
        """Let runs that begin from now on use at most so many threads, 0 for all.

        Raises
        ------
        ArgumentError
            Less than 0.
        """
        with checked() as call:
            call(lib.omni_device_limit, self.pointer, n_threads)


@dataclass(frozen=True)
class Info:
    """What a component is: its kind and the sizes a caller needs (fields of ``omni_info``)."""

    kind: int
    n_embd: int
    n_hidden: int
    n_vocab: int
    n_tables: int
    n_heads_out: int
    n_groups: int
    n_ctx_max: int
    hop: int
    sample_rate: int
    n_rows_min: int
    row_samples: int
    grid_merge: int
    n_deepstack: int
    lead: int
    n_axes: int
    accept_layer: int
    n_projections: int
    n_embd_proj: int
    fast: int
    n_bytes: int


class Model(Handle):
    """Weights and hyperparameters of one component of a GGUF file; immutable, shared between sessions.

    Parameters
    ----------
    device : Device
    path : path of the GGUF
    component : one that the file holds
    mapped : bool, optional
        Whether weights the CPU works on stay in the file, read when they are looked at; by default where they
        are large. A mapped file must not be written to while it is in use.
    experts : str
        Where the matrices of experts are: ``"device"``, or ``"cpu"`` to leave them in the host's memory.
    packed : bool
        Whether matrices the CPU works on are rearranged for its kernels as they are read, where it has such
        (q4_0 and q4_k, mostly): a step is faster, but they are in memory and not mapped, and experts read a
        long prompt row by row. Rounding differs.
    fast : bool
        Whether a codec's convolutions multiply in bfloat16 and add in float32, where this CPU has such
        products; ``info.fast`` says whether they do.

    Raises
    ------
    ModelFileError
        The file cannot be opened.
    ModelFormatError
        A key or tensor is missing, of the wrong type or shape, or not one the component knows.
    UnsupportedModel
        The file, or this build, has no such component.
    OutOfMemory
        The weights do not fit.
    """

    def __init__(
        self,
        device: Device,
        path: str | os.PathLike[str],
        component: str,
        *,
        mapped: bool | None = None,
        experts: str = "device",
        packed: bool = False,
        fast: bool = False,
    ) -> None:
        if experts not in ("device", "cpu"):
            raise errors.ArgumentError(f"experts is {experts!r}, expected 'device' or 'cpu'")
        how = ffi.new("omni_load *")
        how.map = 0 if mapped is None else 1 if mapped else -1
        how.host_experts, how.packed, how.fast = experts == "cpu", packed, fast
        out = ffi.new("omni_model **")
        with checked() as call:
            call(lib.omni_model_load, device.pointer, os.fsencode(path), component.encode(), how, out)
        super().__init__(out[0], lib.omni_model_free)
        self.device_name: str = device.name
        raw = ffi.new("omni_info *")
        lib.omni_model_info(self.pointer, raw)
        self.info: Info = Info(**{name: int(getattr(raw, name)) for name in Info.__dataclass_fields__})
