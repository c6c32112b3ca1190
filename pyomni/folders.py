"""Where this system keeps a user's files: the one place that knows."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pyomni.errors import ModelFileError

__all__ = [
    "cache_folder",
    "data_folder",
    "is_device_name",
    "is_packaged",
    "models_folder",
    "original_voice",
    "packaged_voice",
]

DATA = Path(__file__).parent / "data"
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:[. ].*)?", re.IGNORECASE)


def is_device_name(name: str) -> bool:
    """Whether Windows takes a file name for a device, as ``nul.wav``: refused everywhere, as files move."""
    return bool(_DEVICES.fullmatch(name))


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``$PYOMNI_CACHE``, else the system's place for caches."""
    import platformdirs  # late: most runs never ask

    return Path(os.environ.get("PYOMNI_CACHE") or platformdirs.user_cache_dir("pyomni", appauthor=False))


def data_folder() -> Path:
    """Return the folder of what a user saved, in the system's place for such."""
    import platformdirs

    return Path(platformdirs.user_data_dir("pyomni", appauthor=False))


def models_folder() -> Path:
    """Return the folder of pulled models: ``$PYOMNI_MODELS``, else ``models`` in the data folder."""
    named = os.environ.get("PYOMNI_MODELS")
    return Path(named) if named else data_folder() / "models"


def packaged_voice() -> Path:
    """Return the file of the small English voice that comes with the package.

    Raises
    ------
    ModelFileError
        It was taken out of the package.
    """
    path = DATA / "demo.gguf"
    if not path.is_file():
        raise ModelFileError(
            f"no model was given, and the packaged voice {os.fspath(path)!r} is not there; "
            "expected one or the other: give a model file, or install pyomni again"
        )
    return path


def is_packaged(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is the voice that comes with the package, whatever leads to it."""
    return Path(path).resolve() == (DATA / "demo.gguf").resolve()


def original_voice() -> Path:
    """Return the recording of the voice that the packaged one learned from, saying the doctor's sentence."""
    return DATA / "flite.opus"
