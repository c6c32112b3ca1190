"""The machine a model runs on: which of its devices is used, and why."""

from pyomni.machine.choice import Picked, open_device, pick

__all__ = ["Picked", "open_device", "pick"]
