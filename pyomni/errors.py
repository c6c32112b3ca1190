"""Every failure pyomni raises on purpose, as one family.

Each class also inherits the builtin its users would already catch, so ``except ValueError`` around a bad
argument works without knowing pyomni. A message is one sentence: the thing, what was found, what was
expected.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "AudioError",
    "Cancelled",
    "ClusterError",
    "ContextFull",
    "DeviceError",
    "DeviceWarning",
    "DownloadError",
    "ImageError",
    "InternalError",
    "ModelFileError",
    "ModelFormatError",
    "OutOfMemory",
    "OutputFileError",
    "PyOmniError",
    "ReferenceWarning",
    "SessionBroken",
    "SessionBusy",
    "UnsupportedModel",
    "VideoError",
]


class PyOmniError(Exception):
    """Base of everything pyomni raises on purpose."""


class ArgumentError(PyOmniError, ValueError):
    """The caller asked for something impossible: an unknown speaker, no text, a shape that cannot be."""


class ModelFileError(PyOmniError, OSError):
    """A model file could not be read or written."""


class DownloadError(ModelFileError):
    """A model could not be fetched: no such repository, no connection, other bytes than were promised."""


class OutputFileError(PyOmniError, OSError):
    """An output could not be written: no such folder, no permission, no space."""


class ModelFormatError(PyOmniError, ValueError):
    """A model file is not what it says it is: truncated, a missing key, a tensor of another shape."""


class UnsupportedModel(PyOmniError):
    """A valid file that this build, or this model type, cannot serve."""


class OutOfMemory(PyOmniError, MemoryError):
    """Host or device memory ran out."""


class DeviceError(PyOmniError, RuntimeError):
    """A device that is here cannot be used: it, or its driver, failed, or it computes something else."""


class ContextFull(PyOmniError):
    """More positions were asked for than the session or the checkpoint holds; nothing was changed."""


class SessionBusy(PyOmniError):
    """Another thread, or another unfinished generator, is using this session or model."""


class SessionBroken(PyOmniError):
    """An earlier call failed half way; the session must be rewound to 0 first."""


class Cancelled(PyOmniError):
    """The call was cancelled."""


class AudioError(PyOmniError, ValueError):
    """An audio file or array is not usable: a format that is not there, a rate or a shape that cannot be."""


class PrecisionWarning(UserWarning):
    """The precision asked for is not to be had here; another one runs."""


class DeviceWarning(UserWarning):
    """A device, or the add-on that brings it, cannot be used; the CPU is."""


class ReferenceWarning(UserWarning):
    """A reference clip can be cloned, but something about it, or about its transcript, is doubtful."""


class ImageError(PyOmniError, ValueError):
    """An image is not usable: a file that is none, a size or a shape that cannot be."""


class VideoError(PyOmniError, ValueError):
    """A video is not usable: a file that is none, without frames, of a size that cannot be."""


class ClusterError(PyOmniError, ConnectionError):
    """A Ray cluster cannot be reached, or has no node left that speaks."""


class InternalError(PyOmniError, RuntimeError):
    """A bug in pyomni or in a backend; please report it."""
