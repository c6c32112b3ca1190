"""Where this system keeps a user's files: the one place that knows."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "data_folder", "models_folder"]


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
