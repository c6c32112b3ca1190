"""The speaker encoder fails well: before any graph runs, with a class and words, and goes on afterwards."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from mutate import DROP, rewrite
from toys import variant

from pyomni import errors
from pyomni._binding import Device, Model, Session
from pyomni.components.encoder import Encoder

N_MELS, ENOUGH = 128, 5  # dilation 4 with kernel 3 reflects 4 rows
U32, F32 = gguf.GGUFValueType.UINT32, gguf.GGUFValueType.FLOAT32


@pytest.fixture(scope="module")
def encoder(device: Device) -> Encoder:
    return Encoder(Model(device, variant("base"), "speaker_encoder"))


def rows(n: int, width: int = N_MELS) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, width)).astype(np.float32)


def spoiled(value: float) -> np.ndarray:
    out = rows(9)
    out[3, 5] = value
    return out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (rows(ENOUGH - 1), "4 rows, expected 5 or more"),
        (rows(0), "0 rows, expected 5 or more"),
        (rows(9, N_MELS - 1), r"rows have shape \[9, 127\], expected \[n, 128\]"),
        (rows(9)[0], r"rows have shape \[128\], expected 2 axes"),
        (rows(9)[None], r"rows have shape \[1, 9, 128\], expected 2 axes"),
        (spoiled(np.nan), "row 3, column 5 is -?nan, expected a finite number"),
        (spoiled(np.inf), "row 3, column 5 is inf"),
        (spoiled(-np.inf), "row 3, column 5 is -inf"),
    ],
)
def test_bad_rows(encoder: Encoder, given: np.ndarray, words: str) -> None:
    expected = encoder.encode(rows(ENOUGH))
    with pytest.raises(errors.ArgumentError, match=words):
        encoder.encode(given)
    np.testing.assert_array_equal(encoder.encode(rows(ENOUGH)), expected)


def test_sizes(encoder: Encoder) -> None:
    assert (encoder.n_embd, encoder.n_hidden) == (N_MELS, 64)
    assert (encoder.n_rows_min, encoder.sample_rate) == (ENOUGH, 24000)
    assert encoder.encode(rows(ENOUGH)).shape == (1, 64)


def test_wrong_kind(device: Device, encoder: Encoder) -> None:
    with pytest.raises(errors.ArgumentError, match="this component cannot decode codes"):
        encoder.session.codec_decode(np.zeros((1, 0), np.int32))
    with pytest.raises(errors.ArgumentError, match="this component cannot encode rows"):
        Session(Model(device, variant("base"), "codec_decoder")).encode(np.zeros((9, 0), np.float32))


def test_closed(device: Device) -> None:
    closed = Encoder(Model(device, variant("base"), "speaker_encoder"))
    closed.close()
    with pytest.raises(errors.ArgumentError, match="this Session is closed"):
        closed.encode(rows(9))


def test_a_cancelled_call_breaks_nothing(encoder: Encoder) -> None:
    expected, seen = encoder.encode(rows(ENOUGH)), []

    def work() -> None:
        try:
            encoder.encode(rows(60_000))
        except errors.PyOmniError as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        encoder.cancel()
        time.sleep(0.001)
    assert [type(error) for error in seen] == [errors.Cancelled]
    np.testing.assert_array_equal(encoder.encode(rows(ENOUGH)), expected)  # no rewind: nothing is remembered


def test_another_model_has_none(device: Device) -> None:
    with pytest.raises(errors.UnsupportedModel, match="has no component 'speaker_encoder'; it has: talker"):
        Model(device, variant("custom_voice"), "speaker_encoder")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("channels", DROP, r"key 'speaker_encoder\.channels' is missing"),
        ("variance_floor", DROP, r"key 'speaker_encoder\.variance_floor' is missing"),
        ("variance_floor", (0.0, F32), r"variance_floor is 0, expected more than 0"),
        ("res2net_scale", (5, U32), "channels holds 32, expected one width .* multiple of res2net_scale, 5"),
        ("res2net_scale", (8, U32), r"tensor 'speaker_encoder\.blk\.1\.res2net\.0\.weight' has shape"),
        ("mel.n_mels", (64, U32), r"tensor 'speaker_encoder\.blk\.0\.conv\.weight' has shape \[128, 5, 32\]"),
        ("n_embd_out", (0, U32), "is 0, expected 1 to"),
    ],
)
def test_damaged_keys(device: Device, tmp_path: Path, key: str, value: Any, words: str) -> None:
    path = rewrite(variant("base"), tmp_path / "k.gguf", keys={f"speaker_encoder.{key}": value})
    with pytest.raises(errors.ModelFormatError, match=words):
        Model(device, path, "speaker_encoder")


@pytest.mark.parametrize(
    ("key", "old", "new", "words"),
    [
        ("channels", [32, 32, 32, 32, 96], [32, 32, 32, 32, 64], "channels ends with 64, expected 96"),
        ("channels", [32, 32, 32, 32, 96], [32, 32, 16, 32, 96], "channels holds 16, expected one width"),
        ("kernels", [5, 3, 3, 3, 1], [5, 3, 3, 3, 3], "kernels ends with 3, expected 1"),
        ("dilations", [1, 2, 3, 4, 1], [1, 2, 3, 0, 1], "holds 0, expected 1 to"),
    ],
)
def test_damaged_arrays(
    device: Device, tmp_path: Path, key: str, old: list[int], new: list[int], words: str
) -> None:
    path = tmp_path / "k.gguf"
    before, after = (np.array(values, "<i4").tobytes() for values in (old, new))
    data = variant("base").read_bytes()
    at = data.index(before, data.index(f"speaker_encoder.{key}".encode()))
    path.write_bytes(data[:at] + after + data[at + len(after) :])
    with pytest.raises((errors.ModelFormatError, errors.UnsupportedModel), match=words):
        Model(device, path, "speaker_encoder")


@pytest.mark.parametrize("tensor", ["blk.2.se1.bias", "asp.tdnn.weight", "fc.weight"])
def test_missing_tensor_is_named(device: Device, tmp_path: Path, tensor: str) -> None:
    name = f"speaker_encoder.{tensor}"
    path = rewrite(variant("base"), tmp_path / "t.gguf", tensors={name: lambda a: None})
    with pytest.raises(errors.ModelFormatError, match=rf"tensor '{name}' of shape \[.*\] is missing"):
        Model(device, path, "speaker_encoder")
