"""The bytes of a saved speech: what goes in comes out, and anything else is refused with a sentence."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from fakes import small_metadata
from safetensors.numpy import load, save

from pyomni import errors
from pyomni.options import Draw, GenerationOptions
from pyomni.pipelines.resume import SavedSpeech
from pyomni.pipelines.saved import checksum

META = small_metadata()
OPTIONS = GenerationOptions(2**64 - 1, Draw(0.9, 50, 0.95), Draw(0.0), 1.05, 30, 2, True)


def value(n_embd: int = 4, n_groups: int = 3) -> SavedSpeech:
    row = np.arange(n_embd, dtype=np.float32) / 3
    codes = np.arange(2 * n_groups, dtype=np.int32).reshape(2, n_groups) % 3
    lane = np.frombuffer(b"a lane", np.uint8)
    return SavedSpeech(lane, lane[1:], codes, row, row + 1, np.zeros(0, np.int32), 5, 2, OPTIONS)


def rewritten(
    about: dict[str, Any] | None = None, tensors: dict[str, Any] | None = None, **metadata: str
) -> bytes:
    """Return the bytes of `value` with changes, their checksum made anew."""
    saved = value().to_bytes()
    held = {**load(saved), **(tensors or {})}
    given = json.loads(saved[8 : 8 + int.from_bytes(saved[:8], "little")])["__metadata__"]
    text = json.dumps({**json.loads(given["about"]), **(about or {})})
    return save(held, {**given, "about": text, "checksum": checksum(text, held), **metadata})


def test_what_goes_in_comes_out() -> None:
    one = value()
    other = SavedSpeech.from_bytes(one.to_bytes())
    for field in fields(SavedSpeech):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        else:
            assert a == b


def test_every_byte_counts() -> None:
    saved = value().to_bytes()
    for at in range(len(saved)):
        damaged = bytearray(saved)
        damaged[at] ^= 1
        with pytest.raises((errors.ModelFormatError, errors.UnsupportedModel)):
            SavedSpeech.from_bytes(bytes(damaged))


@pytest.mark.parametrize(
    ("saved", "kind", "message"),
    [
        (save({"a": np.zeros(1)}), errors.ModelFormatError, "safetensors of another kind"),
        (rewritten(format="pyomni-voice"), errors.ModelFormatError, "safetensors of another kind"),
        (rewritten(version="one"), errors.ModelFormatError, "version 'one'"),
        (rewritten(version="2"), errors.UnsupportedModel, "a newer pyomni made it"),
        (rewritten(checksum="0"), errors.ModelFormatError, "is damaged"),
        (rewritten({"architecture": "other"}), errors.UnsupportedModel, "is of a 'other' model"),
        (rewritten({"n_blocks": 0}), errors.ModelFormatError, "n_blocks is 0"),
        (rewritten({"options": {}}), errors.ModelFormatError, "does not hold what it should"),
        (rewritten(tensors={"codes": np.zeros(3)}), errors.ModelFormatError, "codes is float64"),
        (
            rewritten(tensors={"codes": np.zeros((0, 3), np.int32)}),
            errors.ModelFormatError,
            "codes hold no frame",
        ),
    ],
)
def test_what_is_refused(saved: bytes, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        SavedSpeech.from_bytes(saved)


def test_a_model_that_does_not_fit() -> None:
    fits = value(META.n_embd, META.n_groups)
    meta = replace(META, n_codes=max(META.n_codes, 3), n_ctx_max=max(META.n_ctx_max, 35))
    fits.check(meta)
    with pytest.raises(errors.ArgumentError, match="a model of another size"):
        fits.check(replace(meta, n_embd=meta.n_embd + 1))
    with pytest.raises(errors.ArgumentError, match="another codec"):
        fits.check(replace(meta, n_codes=1))
    with pytest.raises(errors.ArgumentError, match="takes 35 positions, expected at most 34"):
        fits.check(replace(meta, n_ctx_max=34))
