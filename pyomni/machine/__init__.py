"""The machine a model runs on: which of its devices is used, and why."""

from pyomni.machine.choice import Picked, open_device, pick
from pyomni.machine.sharing import LARGE, codec_threads

__all__ = ["LARGE", "Picked", "codec_threads", "open_device", "pick"]
