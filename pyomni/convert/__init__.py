"""Hugging Face checkpoints to GGUF."""

from pyomni.convert.checkpoint import convert, convert_files
from pyomni.convert.policy import FILE_TYPES

__all__ = ["FILE_TYPES", "convert", "convert_files"]
