"""The ``pyomni`` command."""

from pyomni.cli.main import main

__all__ = ["main"]
