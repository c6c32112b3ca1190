"""Devices, models and sessions of the C shim: buffers in, arrays out, statuses turned into exceptions.

The only package that imports ``pyomni._native``. Arrays handed to C are made C-contiguous here; arrays handed
back are allocated here and filled by C.
"""

from pyomni._binding.addons import Addon, load_addons
from pyomni._binding.device import (
    Device,
    Found,
    Info,
    Model,
    build_about,
    devices,
    drain_log,
    found_devices,
)
from pyomni._binding.quantize import quantize
from pyomni._binding.session import Session

__all__ = [
    "Addon",
    "Device",
    "Found",
    "Info",
    "Model",
    "Session",
    "build_about",
    "devices",
    "drain_log",
    "found_devices",
    "load_addons",
    "quantize",
]
