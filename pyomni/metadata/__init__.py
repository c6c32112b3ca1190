"""What a GGUF file says about itself.

Metadata.read("model.gguf").u32("talker.n_embd")
SpeechMetadata.read("model.gguf").languages["english"]
"""

from pyomni.metadata.header import Metadata, TensorInfo
from pyomni.metadata.speech import SpeechMetadata

__all__ = ["Metadata", "SpeechMetadata", "TensorInfo"]
