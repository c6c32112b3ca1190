"""Code2wav fails well: what cannot be is refused before anything runs, and the stream goes on afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni._native import ffi, lib
from pyomni.components.codec import CodecDecoder
from pyomni.convert.json_config import Config, read_config
from pyomni.convert.omni_code2wav import Code2Wav
from pyomni.verify import toy_code2wav as code2wav_cases

NAME = "odd"
CODES = code2wav_cases.codes(NAME, 9)
N_CODES, N_GROUPS = 30, 5


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Device("cpu", 2) as device, Model(device, code2wav_cases.gguf(NAME), "code2wav") as m:
        yield m


def spoiled(frame: int, group: int, code: int) -> np.ndarray:
    codes = CODES.copy()
    codes[frame, group] = code
    return codes


@pytest.mark.parametrize("n_before", [0, 3])
@pytest.mark.parametrize(
    ("codes", "lane", "words"),
    [
        (spoiled(0, 4, N_CODES), 0, "the code of frame 0, group 4 is 30, expected 0 to 29"),
        # a row of the table, but of another group's part of it
        (spoiled(8, 0, N_CODES * N_GROUPS - 1), 0, "the code of frame 8, group 0 is 149, expected 0 to 29"),
        (spoiled(1, 1, -1), 0, "the code of frame 1, group 1 is -1, expected 0 to 29"),
        (spoiled(5, 2, 2**31 - 1), 0, "the code of frame 5, group 2 is 2147483647, expected 0 to 29"),
        (CODES[:, :4], 0, r"codes have shape \[9, 4\], expected \[n_frames, 5\]"),
        (np.repeat(CODES, 2, axis=1), 0, r"codes have shape \[9, 10\], expected \[n_frames, 5\]"),
        (CODES.T, 0, r"codes have shape \[5, 9\], expected \[n_frames, 5\]"),
        (CODES[0], 0, r"codes have shape \[5\], expected 2 axes"),
        (CODES[None], 0, r"codes have shape \[1, 9, 5\], expected 2 axes"),
        (CODES + 0.5, 0, "codes are float64, expected integers"),
        (CODES.astype(np.int64) + 2**31, 0, "codes reach .*, expected 32-bit integers"),
        (CODES, 1, "lane 1, expected 0 to 0"),
        (CODES, -1, "lane -1, expected 0 to 0"),
    ],
)
def test_refused_before_anything_runs(
    model: Model, n_before: int, codes: np.ndarray, lane: int, words: str
) -> None:
    expected = CodecDecoder(model)
    expected.decode(CODES[:n_before])
    codec = CodecDecoder(model)
    codec.decode(CODES[:n_before])
    with pytest.raises(errors.ArgumentError, match=words):
        codec.decode(codes, lane)
    assert codec.session.n_past() == n_before
    np.testing.assert_array_equal(codec.decode(CODES), expected.decode(CODES))


@pytest.mark.parametrize(
    ("n_frames", "lane", "words"),
    [
        (-1, 0, "-1 frames, expected 1 to 2147483647"),
        (1, 1, "lane 1, expected 0 to 0"),
        (1, -1, "lane -1, expected 0 to 0"),
    ],
)
def test_samples_of_impossible_calls(model: Model, n_frames: int, lane: int, words: str) -> None:
    with pytest.raises(errors.ArgumentError, match=words):
        CodecDecoder(model).n_samples(n_frames, lane)


def test_room_that_does_not_suffice(model: Model) -> None:
    codec = CodecDecoder(model)
    pcm, n_out, err = np.full(9 * codec.hop, 7, np.float32), ffi.new("int64_t *"), ffi.new("omni_error *")
    codes, out = ffi.from_buffer("int32_t[]", CODES), ffi.from_buffer("float[]", pcm)
    n_samples = 9 * codec.hop - codec.lead

    def call(*given: Any) -> bytes:
        status = lib.omni_codec_decode(codec.session.pointer, 0, *given, err)
        return b"" if status == lib.OMNI_OK else ffi.string(err.message)

    short = call(codes, 9, out, n_samples - 1, n_out)
    assert short == f"room for {n_samples - 1} samples, expected {n_samples}".encode()
    assert n_out[0] == n_samples  # what it would have taken
    assert call(ffi.NULL, 9, out, n_samples, n_out) == b"codes is NULL"
    assert call(codes, 9, out, n_samples, ffi.NULL) == b"n_out is NULL"
    assert call(codes, 0, out, n_samples, n_out) == b"0 frames, expected 1 to 2147483647"
    assert (pcm == 7).all()
    assert codec.session.n_past() == 0
    assert call(codes, 9, out, n_samples, n_out) == b""
    assert (pcm[n_samples:] == 7).all()
    np.testing.assert_array_equal(pcm[:n_samples], CodecDecoder(model).decode(CODES))


def test_wrong_kind(model: Model) -> None:
    with pytest.raises(errors.ArgumentError, match="this component cannot encode samples"):
        CodecDecoder(model).session.codec_encode(np.zeros(99, np.float32))


def test_a_snapshot_of_other_weights(model: Model) -> None:
    other = Model(Device("cpu", 1), code2wav_cases.gguf("real_rates"), "code2wav")
    saved = CodecDecoder(other).save()
    with pytest.raises(errors.ArgumentError, match=r"made with other weights.* this 'code2wav'"):
        CodecDecoder(model).load(saved)


DROP = object()


def config(**changes: object) -> Config:
    """The sizes of the toy model, some of them changed."""
    c = read_config(code2wav_cases.folder(NAME) / "config.json").sub("code2wav_config")
    values = {**c.values, **changes}
    return Config(c.path, {key: value for key, value in values.items() if value is not DROP}, c.where)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *(
            ({key: DROP}, rf"'code2wav_config\.{key}' is missing")
            for key in (
                "num_quantizers", "codebook_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                "num_key_value_heads", "intermediate_size", "rope_theta", "sliding_window", "rms_norm_eps",
                "decoder_dim", "upsample_rates", "upsampling_ratios",
            )
        ),
        ({"num_quantizers": 0}, "'code2wav_config.num_quantizers' is 0, expected a whole number from 1"),
        ({"codebook_size": -4}, "codebook_size' is -4"),
        ({"hidden_size": 26}, "hidden_size' is 26, expected a multiple of num_attention_heads, 4"),
        ({"head_dim": 3}, "head_dim' is 3, expected an even number"),
        ({"num_key_value_heads": 3}, "num_key_value_heads' is 3, expected a divisor"),
        ({"decoder_dim": 22}, "decoder_dim' is 22, expected a multiple of 4"),
        ({"upsample_rates": []}, r"upsample_rates' is \[\]"),
        ({"upsample_rates": [3, 0]}, r"upsample_rates' is \[3, 0\]"),
        ({"upsampling_ratios": [1]}, r"upsampling_ratios' is \[1\], expected so much upsampling"),
        ({"upsample_rates": [1, 1, 2], "upsampling_ratios": [2], "decoder_dim": 24}, "outlasts the trims"),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be_converted(changes: dict[str, object], words: str) -> None:
    with pytest.raises(errors.ModelFormatError, match=words):
        Code2Wav.read(config(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"hidden_act": "gelu"}, "hidden_act is 'gelu'"), ({"attention_bias": True}, "attention_bias is true")],
)
def test_networks_nobody_released(changes: dict[str, object], words: str) -> None:
    with pytest.raises(errors.UnsupportedModel, match=words):
        Code2Wav.read(config(**changes))


def test_heads_may_be_wider_than_their_share() -> None:
    assert Code2Wav.read(config(head_dim=10)).trunk.stack.head_dim == 10
    assert Code2Wav.read(config()).trunk.stack.head_dim == 6
