"""Model files to smaller ones, and the importance matrices that help."""

from pyomni.quantize.files import quantize_files
from pyomni.quantize.importance import ImportanceFile, read_importance, write_importance

__all__ = ["ImportanceFile", "quantize_files", "read_importance", "write_importance"]
