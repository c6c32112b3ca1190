"""pyomni: Qwen3-TTS and Qwen3-Omni on ggml.

>>> import pyomni
>>> model = pyomni.load("qwen3-tts-0.6b-customvoice-q8_0.gguf")
>>> model.speak("Hello there.", voice="ryan").save("hello.wav")

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pyomni._binding import devices as devices
    from pyomni.api import Conversation as Conversation
    from pyomni.api import OmniModel as OmniModel
    from pyomni.api import Reply as Reply
    from pyomni.api import ReplyEvent as ReplyEvent
    from pyomni.api import ReplyStream as ReplyStream
    from pyomni.api import Speech as Speech
    from pyomni.api import SpeechModel as SpeechModel
    from pyomni.api import SpeechRequest as SpeechRequest
    from pyomni.api import SpeechStream as SpeechStream
    from pyomni.api import load as load
    from pyomni.chat_options import ChatOptions as ChatOptions
    from pyomni.errors import ArgumentError as ArgumentError
    from pyomni.errors import AudioError as AudioError
    from pyomni.errors import Cancelled as Cancelled
    from pyomni.errors import ClusterError as ClusterError
    from pyomni.errors import ContextFull as ContextFull
    from pyomni.errors import DeviceError as DeviceError
    from pyomni.errors import DeviceWarning as DeviceWarning
    from pyomni.errors import DownloadError as DownloadError
    from pyomni.errors import ImageError as ImageError
    from pyomni.errors import InternalError as InternalError
    from pyomni.errors import ModelFileError as ModelFileError
    from pyomni.errors import ModelFormatError as ModelFormatError
    from pyomni.errors import OutOfMemory as OutOfMemory
    from pyomni.errors import OutputFileError as OutputFileError
    from pyomni.errors import PrecisionWarning as PrecisionWarning
    from pyomni.errors import PyOmniError as PyOmniError
    from pyomni.errors import ReferenceWarning as ReferenceWarning
    from pyomni.errors import SessionBroken as SessionBroken
    from pyomni.errors import SessionBusy as SessionBusy
    from pyomni.errors import UnsupportedModel as UnsupportedModel
    from pyomni.errors import VideoError as VideoError
    from pyomni.hub.pulling import pull as pull
    from pyomni.options import SpeechOptions as SpeechOptions
    from pyomni.receipt import Receipt as Receipt
    from pyomni.voices import Voice as Voice

_WHERE = {
    "ChatOptions": "chat_options",
    "Conversation": "api",
    "OmniModel": "api",
    "Reply": "api",
    "ReplyEvent": "api",
    "ReplyStream": "api",
    "Speech": "api",
    "Receipt": "receipt",
    "SpeechModel": "api",
    "SpeechOptions": "options",
    "SpeechRequest": "api",
    "SpeechStream": "api",
    "Voice": "voices",
    "devices": "_binding",
    "load": "api",
    "pull": "hub.pulling",
    **dict.fromkeys(
        (
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
            "PrecisionWarning",
            "PyOmniError",
            "ReferenceWarning",
            "SessionBroken",
            "SessionBusy",
            "UnsupportedModel",
            "VideoError",
        ),
        "errors",
    ),
}

__all__ = ["__version__", *sorted(_WHERE)]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'pyomni' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"pyomni.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
