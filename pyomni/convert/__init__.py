"""Hugging Face checkpoints to GGUF."""

from pyomni.convert.checkpoint import convert, convert_files
from pyomni.convert.policy import FILE_TYPES
from pyomni.convert.quantize import quantize_files

__all__ = ["FILE_TYPES", "convert", "convert_files", "quantize_files"]
