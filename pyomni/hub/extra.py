"""The optional packages that pulling needs, or the line that says how to get them."""

from __future__ import annotations

import importlib
from typing import Any

from pyomni.errors import DownloadError

__all__ = ["need"]

INSTALL = "pip install 'pyomni[hub]'"
FIRST_HUB = 1  # huggingface_hub before 1.0 speaks through another HTTP client


def need(package: str) -> Any:
    """Import an optional package.

    Raises
    ------
    DownloadError
        It is not installed, or too old.
    """
    try:
        module = importlib.import_module(package)
    except ImportError:
        raise DownloadError(
            f"pulling models needs the package {package}, which is not installed; {INSTALL}"
        ) from None
    if package == "huggingface_hub":
        importlib.import_module("huggingface_hub.errors")  # submodules are no attributes until then
        importlib.import_module("huggingface_hub.utils")
    version = str(getattr(module, "__version__", ""))
    major = version.partition(".")[0]
    if package == "huggingface_hub" and major.isdigit() and int(major) < FIRST_HUB:
        raise DownloadError(
            f"pulling models needs huggingface_hub {FIRST_HUB}.0 or newer, found {version}; {INSTALL}"
        )
    return module
