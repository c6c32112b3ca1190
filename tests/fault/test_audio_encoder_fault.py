"""The audio encoder fails well: before any graph runs, with a class and words, and goes on afterwards."""

from __future__ import annotations

import gc
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from mutate import DROP, rewrite

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.components.encoder import Encoder
from pyomni.verify import toy_audio as audio

NAME = "audio_real"
U32, F32 = gguf.GGUFValueType.UINT32, gguf.GGUFValueType.FLOAT32


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return audio.encoder(NAME)


def spoiled(value: float) -> np.ndarray:
    out = audio.rows(NAME, 900)
    out[850, 5] = value
    return out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((0, 128), np.float32), "0 rows, expected 1 or more"),
        (np.zeros((9, 127), np.float32), r"rows have shape \[9, 127\], expected \[n, 128\]"),
        (np.zeros(128, np.float32), r"rows have shape \[128\], expected 2 axes"),
        (spoiled(np.nan), "row 850, column 5 is -?nan, expected a finite number"),
        (spoiled(np.inf), "row 850, column 5 is inf"),
    ],
)
def test_bad_rows(encoder: Encoder, given: np.ndarray, words: str) -> None:
    rows = audio.rows(NAME, 30)
    expected = encoder.encode(rows)
    with pytest.raises(errors.ArgumentError, match=words):
        encoder.encode(given)
    np.testing.assert_array_equal(encoder.encode(rows), expected)


def test_sizes(encoder: Encoder) -> None:
    assert (encoder.n_embd, encoder.n_hidden, encoder.n_rows_min) == (128, 64, 1)
    assert encoder.sample_rate == 16000


def test_a_cancelled_call_breaks_nothing(encoder: Encoder) -> None:
    rows, seen = audio.rows(NAME, 30), []
    expected = encoder.encode(rows)
    long = audio.rows(NAME, 200_000)

    def work() -> None:
        try:
            encoder.encode(long)
        except errors.PyOmniError as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        encoder.cancel()
        time.sleep(0.001)
    assert [type(error) for error in seen] == [errors.Cancelled]
    np.testing.assert_array_equal(encoder.encode(rows), expected)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_clip(encoder: Encoder) -> None:
    def peak() -> float:
        gc.collect()
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1000  # MB

    rows = audio.rows(NAME, 30_000)  # five minutes
    encoder.encode(rows[:2000])
    before = peak()
    out = encoder.encode(rows)
    # 3900 rows that all saw each other would take 240 MB for one layer's scores
    assert peak() - before < 3 * (out.nbytes + rows.nbytes) / 1e6


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        *(
            (key, DROP, rf"key 'audio_encoder\.{key}' is missing")
            for key in (
                "n_layer", "n_embd", "n_ff", "n_head", "head_dim", "n_embd_out", "layer_norm_eps", "chunk",
                "window_chunks", "n_conv", "conv_channels", "conv_kernel", "conv_stride", "conv_pad",
                "position_timescale", "sample_rate", "mel.n_mels",
            )
        ),
        ("layer_norm_eps", (0.0, F32), "layer_norm_eps' is 0, expected a number above 0"),
        ("n_layer", (2000, U32), "n_layer is 2000, expected at most 1024"),
        ("n_conv", (9, U32), "9 convolutions"),
        ("conv_pad", (0, U32), "padding 0"),
        ("chunk", (1 << 20, U32), "chunk, .* are 1048576"),
        ("n_head", (8, U32), r"tensor 'audio_encoder\.blk\.0\.attn_qkv\.weight' has shape \[64, 192\]"),
        ("mel.n_mels", (64, U32), r"tensor 'audio_encoder\.conv_out\.weight' has shape \[128, 64\]"),
    ],
)  # fmt: skip
def test_damaged_keys(tmp_path: Path, key: str, value: Any, words: str) -> None:
    path = rewrite(audio.gguf(NAME), tmp_path / "k.gguf", keys={f"audio_encoder.{key}": value})
    with pytest.raises((errors.ModelFormatError, errors.UnsupportedModel), match=words):
        Model(Device("cpu", 1), path, "audio_encoder")


@pytest.mark.parametrize(
    "tensor", ["conv.2.weight", "conv_out.weight", "blk.1.attn_qkv.bias", "blk.0.ffn_up.bias", "proj2.bias"]
)
def test_missing_tensor_is_named(tmp_path: Path, tensor: str) -> None:
    name = f"audio_encoder.{tensor}"
    path = rewrite(audio.gguf(NAME), tmp_path / "t.gguf", tensors={name: lambda a: None})
    with pytest.raises(errors.ModelFormatError, match=rf"tensor '{name}' of shape \[.*\] is missing"):
        Model(Device("cpu", 1), path, "audio_encoder")
