"""Add-ons, ``pyomni-cuda`` and ``pyomni-vulkan``: packages that bring a wheel one backend more each."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings
from dataclasses import dataclass
from pathlib import Path

from pyomni import __version__, errors
from pyomni._binding.calls import checked
from pyomni._native import lib

__all__ = ["ADDONS", "Addon", "load_addons"]

ADDONS = ("cuda", "vulkan")


@dataclass(frozen=True)
class Addon:
    """An add-on that is installed.

    Attributes
    ----------
    name : str
        Its backend, which the names of its devices begin with.
    version : str
    problem : str
        Why it was not loaded; empty where it was.
    """

    name: str
    version: str
    problem: str = ""


@functools.cache
def load_addons() -> tuple[Addon, ...]:
    """Load the libraries of the add-ons that are installed, once in a process; return what came of each.

    An add-on is made for one version of pyomni, since its library stands on pyomni's; another is left alone.

    Warns
    -----
    DeviceWarning
        One was not loaded.
    """
    found = tuple(_loaded(name) for name in ADDONS if importlib.util.find_spec(f"pyomni_{name}"))
    for addon in found:
        if addon.problem:
            said = f"the add-on pyomni-{addon.name} is not used: {addon.problem}"
            warnings.warn(said, errors.DeviceWarning, stacklevel=3)
    return found


def _loaded(name: str) -> Addon:
    try:
        package = importlib.import_module(f"pyomni_{name}")
        version = str(package.__version__)
    except (ImportError, AttributeError) as error:
        return Addon(name, "unknown", f"its package is damaged ({error})")
    if version != __version__:
        return Addon(name, version, f"it is version {version}, expected {__version__}, that of pyomni")
    library = Path(str(package.__file__)).with_name(f"libpyomni-ggml-{name}.so")
    try:
        with checked() as call:
            call(lib.omni_addon_load, str(library).encode())
    except errors.PyOmniError as error:
        return Addon(name, version, str(error))
    return Addon(name, version)
