"""What a GGUF file says about itself.

Metadata.read("model.gguf").u32("talker.n_embd")
SpeechMetadata.read("model.gguf").languages["english"]
OmniMetadata.read("omni.gguf").speech.speakers["ethan"]
read_model("either.gguf").summary()
"""

from pyomni.metadata.fingerprint import checkpoint_fingerprint, fingerprint
from pyomni.metadata.header import Metadata, TensorInfo
from pyomni.metadata.model import is_omni, read_model, read_omni
from pyomni.metadata.omni import MediaIds, OmniMetadata
from pyomni.metadata.omni_speech import BridgeIds, SpeechSide
from pyomni.metadata.speech import SpeechMetadata

__all__ = [
    "BridgeIds",
    "MediaIds",
    "Metadata",
    "OmniMetadata",
    "SpeechMetadata",
    "SpeechSide",
    "TensorInfo",
    "checkpoint_fingerprint",
    "fingerprint",
    "is_omni",
    "read_model",
    "read_omni",
]
