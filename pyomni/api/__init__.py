"""The Python face: `load` a model, `SpeechModel.speak` and its relatives."""

from __future__ import annotations

import os
from pathlib import Path

from pyomni.api.model import COMPONENTS, SpeechModel
from pyomni.api.result import Speech, SpeechStream
from pyomni.errors import ModelFileError

__all__ = ["COMPONENTS", "Speech", "SpeechModel", "SpeechStream", "load", "model_path"]

PathLike = str | os.PathLike[str]


def load(
    path: PathLike | None = None, device: str = "auto", threads: int | None = None, lanes: int = 1
) -> SpeechModel:
    """Open a model file.

    Parameters
    ----------
    path : path, optional
        A GGUF file made by ``pyomni convert``. Without one, ``$PYOMNI_MODEL``; without that, a toy model that
        makes noise instead of speech.
    device : str
        ``auto``, ``cpu``, or a name from ``pyomni.devices()``.
    threads : int, optional
        CPU threads; None takes one per core.
    lanes : int
        Texts `SpeechModel.speak_many` decodes together, at most.

    Raises
    ------
    ModelFileError
        The file cannot be read.
    ModelFormatError
        It is not a model file, or a damaged one.
    UnsupportedModel
        It is one this build cannot run.
    ArgumentError
        No such device, or a count below 1.
    OutOfMemory
        The weights do not fit.
    """
    return SpeechModel(model_path(path), device=device, threads=threads, lanes=lanes)


def model_path(path: PathLike | None = None) -> Path:
    """Return the file `load` opens: `path`, else ``$PYOMNI_MODEL``, else the toy model.

    Raises
    ------
    ModelFileError
        It is not there, or a folder.
    """
    if path is None:
        path = os.environ.get("PYOMNI_MODEL") or None
    if path is None:
        from pyomni.toy import toy_model_path  # writes the file on first use

        return Path(toy_model_path())
    found = Path(path)
    if found.is_dir():
        raise ModelFileError(
            f"model {os.fspath(path)!r} is a folder, expected a GGUF file; "
            "`pyomni convert` makes one from a checkpoint folder"
        )
    if not found.exists():
        raise ModelFileError(f"model {os.fspath(path)!r} does not exist, expected a GGUF file")
    return found
