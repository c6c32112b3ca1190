"""The header of a model file of whichever architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pyomni.errors import UnsupportedModel
from pyomni.metadata import foreign, omni, speech
from pyomni.metadata.header import Metadata

__all__ = ["is_omni", "read_model", "read_omni"]

READERS: dict[str, Callable[[Path], speech.SpeechMetadata | omni.OmniMetadata]] = {
    speech.ARCHITECTURE: speech.SpeechMetadata.read,
    omni.ARCHITECTURE: omni.OmniMetadata.read,
    foreign.ARCHITECTURE: foreign.read_foreign,
}


def read_model(path: str | Path) -> speech.SpeechMetadata | omni.OmniMetadata:
    """Read what a model file says, as the class of its architecture.

    Raises
    ------
    ModelFileError, ModelFormatError
        As the readers of the classes.
    UnsupportedModel
        An architecture that pyomni does not know.
    """
    m = Metadata.read(path)
    found = m.str("general.architecture")
    if found not in READERS:
        known = ", ".join(map(repr, READERS))
        raise UnsupportedModel(f"{m.path}: general.architecture is {found!r}, expected one of {known}")
    return READERS[found](m.path)


def read_omni(path: str | Path) -> omni.OmniMetadata:
    """Read a file of a model that converses, ours or one made for llama.cpp. Raises as `read_model`."""
    found = read_model(path)
    if not isinstance(found, omni.OmniMetadata):
        raise UnsupportedModel(f"{path}: holds a speech model, expected one that converses")
    return found


def is_omni(path: str | Path) -> bool:
    """Return whether a GGUF file is one of a model that converses. Raises as `Metadata.read`."""
    return Metadata.read(path).str("general.architecture") in (omni.ARCHITECTURE, foreign.ARCHITECTURE)
