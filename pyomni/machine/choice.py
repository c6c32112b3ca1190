"""Which device runs a model: what was asked for, or the best that is here and computes what it should."""

from __future__ import annotations

import functools
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from pyomni._binding import Device, Found, found_devices
from pyomni.errors import DeviceError, DeviceWarning, PyOmniError

__all__ = ["Picked", "open_device", "pick", "self_test"]

#: Kinds of device that ``auto`` takes, the best first.
WANTED = ("gpu", "igpu")

#: What a self-test runs in: float products and quantised ones are different kernels.
TESTED = ("f32", "q8_0")


@dataclass(frozen=True)
class Picked:
    """A choice and its reasons.

    Attributes
    ----------
    name : str
        The device.
    why : str
        A clause that says so.
    problems : tuple of str
        A clause for each device that would have been taken and failed.
    """

    name: str
    why: str
    problems: tuple[str, ...] = ()


def pick(name: str = "auto") -> Picked:
    """Choose a device and test it; nothing is raised, warned of or kept open.

    Parameters
    ----------
    name : str
        ``auto``: the first GPU with memory of its own that passes its self-test, else the first other GPU,
        else the CPU. Software that calls itself a GPU is never taken. Or the name of a device.
    """
    if name != "auto":
        problem = "" if name == "cpu" else _tested(name)
        return Picked(name, "it was asked for", (problem,) if problem else ())
    found = found_devices()
    problems: list[str] = []
    for one in sorted((f for f in found if f.kind in WANTED), key=lambda f: WANTED.index(f.kind)):
        problem = _tested(one.name)
        if not problem:
            return Picked(one.name, "the best GPU that passed its self-test", tuple(problems))
        problems.append(problem)
    why = "no GPU passed its self-test" if problems else f"no GPU is here{_only_software(found)}"
    return Picked("cpu", why, tuple(problems))


def open_device(name: str = "auto", threads: int | None = None) -> Device:
    """Open the device that `pick` chooses.

    Parameters
    ----------
    name : as `pick`
    threads : of the CPU; None takes one per core this process may use

    Raises
    ------
    DeviceError
        A device that was asked for by name failed its self-test.
    ArgumentError
        No such device, or a thread count out of range.

    Warns
    -----
    DeviceWarning
        ``auto`` had to pass over a GPU.
    """
    picked = pick(name)
    problems = "; ".join(picked.problems)
    if problems and name != "auto":
        raise DeviceError(f"{problems}; expected one that passes, or --device cpu")
    if problems:
        warnings.warn(f"{problems}: running on {picked.name}", DeviceWarning, stacklevel=2)
    return Device(picked.name, threads)


def _only_software(found: list[Found]) -> str:
    names = ", ".join(one.name for one in found if one.kind == "software")
    return f", {names} being software" if names else ""


def _tested(name: str) -> str:
    """Return why a device cannot be used; nothing where it can, or is not here, which opening it tells."""
    if name not in [one.name for one in found_devices()]:
        return ""
    problem = self_test(name)
    return f"device '{name}' failed its self-test: {problem}" if problem else ""


@functools.cache
def self_test(name: str) -> str:
    """Run a small talker on a device and in numpy; return what is wrong, or nothing. Once in a process.

    The limits are those at which ``pyomni doctor`` fails the same comparison, which it makes in every type.
    """
    from pyomni.machine.small_talker import BEARABLE, ELSEWHERE, SmallTalker

    try:
        with tempfile.TemporaryDirectory(prefix="pyomni-test-") as folder:
            for kind in TESTED:
                found = SmallTalker(Path(folder, f"{kind}.gguf"), kind).difference(name)
                most = BEARABLE * ELSEWHERE[kind]
                if not found <= most:
                    return f"{kind} products are {found:.0e} off, expected at most {most:.0e}"
    except PyOmniError as error:
        return " ".join(str(error).split())
    return ""
