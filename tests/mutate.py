"""Damaged copies of a GGUF file: one thing changed, everything else as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

DROP = object()


def rewrite(
    src: Path,
    dst: Path,
    *,
    keys: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Callable[[np.ndarray], np.ndarray | None]] | None = None,
    rename: Mapping[str, str] | None = None,
) -> Path:
    """Copy ``src`` to ``dst`` with some keys and tensors changed.

    ``keys``: name to (value, type), or ``DROP``. ``tensors``: name to a function of the array; where that is
    None the tensor is left out.    ``rename``: tensor name to its new name.
    """
    keys, tensors, rename = dict(keys or {}), dict(tensors or {}), dict(rename or {})
    reader = gguf.GGUFReader(src)
    writer = gguf.GGUFWriter(dst, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        if name in keys:
            change = keys.pop(name)
            if change is not DROP:
                value, kind = change
                writer.add_key_value(name, value, kind)
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=sub)
    assert not keys, f"not in the file: {sorted(keys)}"
    for tensor in reader.tensors:
        array = np.array(tensor.data)
        if tensor.name in tensors:
            changed = tensors.pop(tensor.name)(array)
            if changed is None:
                continue
            array = changed
        quantised = tensor.tensor_type not in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)
        raw = tensor.tensor_type if quantised and array.dtype == np.uint8 else None
        writer.add_tensor(rename.pop(tensor.name, tensor.name), array, raw_dtype=raw)
    assert not tensors, f"not in the file: {sorted(tensors)}"
    assert not rename, f"not in the file: {sorted(rename)}"
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return dst
