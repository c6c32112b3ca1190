"""The Python face: `load` a model, `SpeechModel.speak`, `OmniModel.reply` and their relatives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyomni.api.conversation import Conversation
from pyomni.api.many import SpeechRequest
from pyomni.api.model import COMPONENTS, SpeechModel
from pyomni.api.omni import OmniModel
from pyomni.api.reply import Reply, ReplyEvent, ReplyStream
from pyomni.api.result import Speech, SpeechStream
from pyomni.errors import ModelFileError
from pyomni.folders import packaged_voice
from pyomni.hub.names import Name, closest
from pyomni.hub.store import find
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
    "SpeechRequest",
    "SpeechStream",
    "load",
    "model_path",
    "packaged_voice",
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
    packed: bool = False,
    precision: str = "exact",
) -> Any:
    """Open a model file: a `SpeechModel`, or an `OmniModel` where the file converses.

    Parameters
    ----------
    path : path, optional
        A GGUF file made by ``pyomni convert``; of several side by side, any. Or the name of a model that
        ``pyomni pull`` fetched, such as ``qwen3-tts-0.6b-customvoice:q8_0`` or ``owner/repo``; without a type
        the default one, else any that is here. Without either, ``$PYOMNI_MODEL``; without that, the small
        English voice that comes with the package.
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
    packed : bool
        Rearrange matrices of k types for the CPU's kernels as they are read: a step is faster and a
        long prompt is not; all of the model is in memory, and opening reads all of it. Rounding differs.
    precision : {"exact", "fast"}
        Of the network that turns codes into sound, on the CPU: float32 throughout, or products in bfloat16
        summed in float32, where the CPU has such. Which codes are drawn does not depend on it. A CPU without
        runs exact, and a `PrecisionWarning` says so.

    Returns
    -------
    SpeechModel or OmniModel
        Typed as Any, so that callers who know which do not have to ask.

    Raises
    ------
    ModelFileError
        The file cannot be read, or no model of this name was pulled.
    ModelFormatError
        It is not a model file, or a damaged one.
    UnsupportedModel
        It is one this build cannot run.
    ArgumentError
        No such device, a count below 1, or a name with an unknown type.
    OutOfMemory
        The weights do not fit.
    """
    found = model_path(path)
    kind = OmniModel if is_omni(found) else SpeechModel
    return kind(
        found,
        device=device,
        threads=threads,
        lanes=lanes,
        kv=kv,
        experts=experts,
        packed=packed,
        precision=precision,
    )


def model_path(path: PathLike | None = None) -> Path:
    """Return the file `load` opens: `path`, else ``$PYOMNI_MODEL``, else the packaged voice.

    What exists under the path is taken before what a name means.

    Raises
    ------
    ModelFileError
        It is not there, or a folder, or a name of nothing that was pulled.
    ArgumentError
        A name with an unknown type.
    """
    if path is None:
        path = os.environ.get("PYOMNI_MODEL") or None
    if path is None:
        return packaged_voice()
    found = Path(path)
    if found.is_file():
        return found
    text = os.fspath(path)
    name = Name.parse(text)
    if name and (pulled := find(name)):
        return pulled.path
    if found.is_dir():
        raise ModelFileError(
            f"model {text!r} is a folder, expected a GGUF file; "
            "`pyomni convert` makes one from a checkpoint folder"
        )
    if found.exists():
        return found  # a pipe, say; whoever reads it says what is wrong with it
    if name:
        raise ModelFileError(
            f"model {text!r} is not here, expected it pulled; `pyomni pull {name}` fetches it"
        )
    raise ModelFileError(
        f"model {text!r} does not exist, expected a GGUF file or a model's name{closest(text)}"
    )
