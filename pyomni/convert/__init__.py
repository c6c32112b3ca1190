"""Hugging Face checkpoints to GGUF."""

from pyomni.convert.qwen3_tts import convert

__all__ = ["convert"]
