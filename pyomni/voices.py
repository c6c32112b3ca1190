"""Voices as values: who speaks, independent of any model."""

from __future__ import annotations

from dataclasses import dataclass

from pyomni.errors import ArgumentError

__all__ = ["Voice"]


@dataclass(frozen=True)
class Voice:
    """A speaker.

    Attributes
    ----------
    name : str
        Of a preset speaker, lower case.
    """

    name: str

    @classmethod
    def preset(cls, name: str) -> Voice:
        """Return a speaker that is stored in the model, such as ``ryan``.

        Raises
        ------
        ArgumentError
            The name is not a string, or empty.
        """
        if not isinstance(name, str) or not name.strip():
            raise ArgumentError(f"voice is {name!r}, expected the name of a speaker")
        return cls(name.strip().lower())

    @classmethod
    def of(cls, voice: str | Voice) -> Voice:
        """Return `voice` itself, or the preset speaker of that name."""
        return voice if isinstance(voice, Voice) else cls.preset(voice)
