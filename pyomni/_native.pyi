# Types of the compiled module that cffi generates from csrc/omni_api.h.
from typing import Any

ffi: Any
lib: Any
