"""The Python face: `load` a model, `SpeechModel.speak`, `OmniModel.reply` and their relatives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyomni.api.conversation import Conversation
from pyomni.api.model import COMPONENTS, SpeechModel
from pyomni.api.omni import OmniModel
from pyomni.api.reply import Reply, ReplyEvent, ReplyStream
from pyomni.api.result import Speech, SpeechStream
from pyomni.errors import ModelFileError
from pyomni.metadata import is_omni

__all__ = [
    "COMPONENTS",
    "Conversation",
    "OmniModel",
    "Reply",
    "ReplyEvent",
    "ReplyStream",
    "Speech",
    "SpeechModel",
    "SpeechStream",
    "load",
    "model_path",
]

PathLike = str | os.PathLike[str]


def load(
    path: PathLike | None = None,
    device: str = "auto",
    threads: int | None = None,
    lanes: int = 1,
    *,
    kv: str = "f32",
    experts: str = "device",
) -> Any:
    """Open a model file: a `SpeechModel`, or an `OmniModel` where the file converses.

    Parameters
    ----------
    path : path, optional
        A GGUF file made by ``pyomni convert``; of several side by side, any. Without one,
        ``$PYOMNI_MODEL``; without that, a toy model that makes noise instead of speech.
    device : str
        ``auto``, ``cpu``, or a name from ``pyomni.devices()``.
    threads : int, optional
        CPU threads; None takes one per core.
    lanes : int
        Texts `SpeechModel.speak_many`, or conversations `OmniModel.reply_many`, decodes together, at most.
    kv : {"f32", "f16", "q8_0"}
        Type of the KV caches: the reference, or a half or a quarter of its memory.
    experts : {"device", "cpu"}
        Where the matrices of experts are: ``cpu`` leaves them in the host's memory, for a device too small.

    Returns
    -------
    SpeechModel or OmniModel
        Typed as Any, so that callers who know which do not have to ask.

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
    found = model_path(path)
    kind = OmniModel if is_omni(found) else SpeechModel
    return kind(found, device=device, threads=threads, lanes=lanes, kv=kv, experts=experts)


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
