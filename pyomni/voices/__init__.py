"""Voices: who speaks, as values, as files, and by name in a folder of the user's."""

from __future__ import annotations

from pyomni.voices.value import FAMILY, Voice

__all__ = ["FAMILY", "Voice"]
