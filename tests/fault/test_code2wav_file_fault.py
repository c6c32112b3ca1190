"""A hostile file of code2wav is refused in one sentence that names the key or tensor; no file is a crash."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from mutate import DROP, Header, rewrite

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder
from pyomni.verify import toy_code2wav as code2wav_cases

U32, I32, F32, ARRAY, STRING = (
    gguf.GGUFValueType.UINT32,
    gguf.GGUFValueType.INT32,
    gguf.GGUFValueType.FLOAT32,
    gguf.GGUFValueType.ARRAY,
    gguf.GGUFValueType.STRING,
)
KEYS = (
    "n_layer", "n_embd", "n_ff", "n_head", "n_head_kv", "head_dim", "rms_eps", "rope_theta", "sample_rate",
    "hop", "decoder_dim", "window", "upsample_rates", "upsampling_ratios", "residual_dilations",
    "dwconv_kernel", "conv_kernel", "residual_kernel", "layer_norm_eps", "n_groups", "codebook_size",
)  # fmt: skip


@pytest.fixture(scope="module")
def source() -> Path:
    return code2wav_cases.alone("odd")


def refused(device: Device, path: Path, words: str) -> None:
    with pytest.raises(errors.ModelFormatError, match=words) as caught:
        Model(device, path, "code2wav")
    assert "\n" not in str(caught.value)


def test_every_damage_is_refused_or_harmless(source: Path, tmp_path: Path) -> None:
    # some two thousand files, in a process of its own with bounded memory
    script = Path(__file__).with_name("code2wav_sweep.py")
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, str(script), str(source), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-300:]} {done.stderr[-1500:]}"
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) > 1500
    ran = {damage.removeprefix("code2wav.") for damage, how, _ in lines if how == "ran"}
    # what still runs only says otherwise how long, how far back or how often: sizes of tensors are checked
    free = ("sample_rate ", "window ", "residual_dilations[", "rms_eps ", "layer_norm_eps ", "rope_theta ")
    # and halves are as good as floats, where padding hides that they are fewer bytes
    said = {damage for damage in ran if not damage.startswith(free) and not damage.endswith("of type F16")}
    assert said == {
        # each is what the file says anyway
        "n_layer 3", "n_head 4", "n_head_kv 4", "head_dim 6", "upsample_rates[1] 2", "upsampling_ratios[0] 2",
    }  # fmt: skip
    assert "window 65535" in ran
    assert not {"window 0", "window 65537", "residual_dilations[0] 0", "residual_dilations[2] 1048576"} & ran
    assert not any(how == "refused" and "OutOfMemory" in why for _, how, why in lines)


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(device: Device, source: Path, tmp_path: Path, key: str) -> None:
    path = rewrite(source, tmp_path / "k.gguf", keys={f"code2wav.{key}": DROP})
    refused(device, path, rf"key 'code2wav\.{key}' is missing")


def test_these_are_all_keys(source: Path) -> None:
    assert {
        key.removeprefix("code2wav.") for key in Header(source).keys if key.startswith("code2wav.")
    } == set(KEYS)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("n_groups", (0, U32), r"key 'code2wav\.n_groups' is 0, expected 1 to"),
        ("n_groups", (-5, I32), r"key 'code2wav\.n_groups' is of type i32, expected u32"),
        ("n_groups", (6, U32), r"'code2wav\.code_embd\.weight' has shape \[24, 150\], expected \[24, 180\]"),
        ("codebook_size", (2**32 - 1, U32), "codebook_size' is 4294967295, expected 1 to"),
        ("codebook_size", (1 << 28, U32), r"'code2wav\.code_embd\.weight' has shape"),
        ("n_embd", (0, U32), "n_embd' is 0, expected 1 to"),
        ("n_embd", (32, U32), r"tensor 'code2wav\..*' has shape \[24\], expected \[32\]"),
        ("n_layer", (4, U32), r"tensor 'code2wav\.blk\.3\.attn_norm\.weight' of shape \[24\] is missing"),
        ("n_layer", (2, U32), r"tensor 'code2wav\.blk\.2\..*' is not one that component 'code2wav' knows"),
        ("n_layer", (1025, U32), "n_layer is 1025, expected at most 1024"),
        ("n_head_kv", (3, U32), "n_head is 4, expected a multiple of n_head_kv, 3"),
        ("head_dim", (5, U32), "head_dim is 5, expected an even number"),
        ("head_dim", (8, U32), r"attn_q\.weight' has shape \[24, 24\], expected \[24, 32\]"),
        ("window", ((1 << 16) + 1, U32), "window is 65537, expected at most 65536"),
        ("hop", (35, U32), "hop is 35, expected 36, the product of upsample_rates and upsampling_ratios"),
        ("hop", ("36", STRING), r"key 'code2wav\.hop' is of type str, expected u32"),
        ("decoder_dim", (21, U32), "decoder_dim is 21, expected a multiple of 2"),
        ("rms_eps", (0.0, F32), r"rms_eps' is 0, expected a number above 0 and finite"),
        ("rms_eps", (float("nan"), F32), "rms_eps' is -?nan, expected a number above 0 and finite"),
        ("rope_theta", (float("inf"), F32), "rope_theta' is inf, expected a number above 0 and finite"),
        ("rope_theta", (10000, U32), "rope_theta' is of type u32, expected f32"),
        ("upsample_rates", ([3, 0], ARRAY), r"key 'code2wav\.upsample_rates' holds 0, expected 1 to"),
        ("upsample_rates", ([3, -2], ARRAY), "upsample_rates' holds -2, expected 1 to"),
        ("upsample_rates", ([3.0, 2.0], ARRAY), "upsample_rates' is an array of f32, expected i32"),
        ("upsample_rates", (6, U32), "upsample_rates' is of type u32, expected arr"),
        ("upsample_rates", ([2, 3], ARRAY), r"wave\.0\.conv\.weight' .* \[20, 60\], expected \[20, 40\]"),
        ("upsample_rates", ([1] * 31, ARRAY), "expected a multiple of 2 to the number of upsample_rates, 31"),
        ("upsample_rates", ([2**28] * 2, ARRAY), "hop is 36, expected 2147483647, the product"),
        ("upsampling_ratios", ([2, 3, -1], ARRAY), "upsampling_ratios' holds -1, expected 1 to"),
        ("residual_dilations", ([1, 3], ARRAY), r"res\.2\..*' is not one that component 'code2wav' knows"),
        ("residual_dilations", ([1, 3, 9, 27], ARRAY), r"wave\.0\.res\.3\.snake1\.a' .* is missing"),
        ("residual_dilations", ([1, 3, 1 << 28], ARRAY), "holds 268435456, expected at most 10922 for"),
        ("residual_kernel", (1 << 28, U32), "residual_dilations holds 1, expected at most 0 for"),
        ("residual_kernel", (5, U32), r"conv1\.weight' has shape \[10, 7, 10\], expected \[10, 5, 10\]"),
        ("conv_kernel", (1 << 28, U32), r"conv_in\.weight' has shape \[24, 7, 20\], expected"),
        ("dwconv_kernel", (1, U32), r"dwconv\.weight' has shape \[24, 7\], expected \[24, 1\]"),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_is_named(
    device: Device, source: Path, tmp_path: Path, key: str, value: tuple[object, object], words: str
) -> None:
    refused(device, rewrite(source, tmp_path / "k.gguf", keys={f"code2wav.{key}": value}), words)


def test_rates_that_leave_a_first_frame_nothing(device: Device, source: Path, tmp_path: Path) -> None:
    # one frame is then a single step at the first trim, which takes a step
    keys = {"hop": (6, U32), "upsampling_ratios": ([1], ARRAY)}
    path = rewrite(source, tmp_path / "k.gguf", keys={f"code2wav.{key}": new for key, new in keys.items()})
    refused(device, path, "upsample_rates take the first 8 samples of 6 away, expected some to be left")


def test_a_frame_longer_than_memory(device: Device, source: Path, tmp_path: Path) -> None:
    keys = {
        "hop": (1 << 21, U32),
        "upsample_rates": ([1 << 10, 1 << 9], ARRAY),
        "upsampling_ratios": ([4], ARRAY),
    }
    path = rewrite(source, tmp_path / "k.gguf", keys={f"code2wav.{key}": new for key, new in keys.items()})
    refused(device, path, "hop is 2097152, expected at most 1048576")


def turned(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.T)


@pytest.mark.parametrize(
    ("tensor", "change", "words"),
    [
        ("code_embd.weight", lambda a: None, r"of shape \[24, 150\] is missing"),
        ("code_embd.weight", turned, r"has shape \[150, 24\], expected \[24, 150\]"),
        ("code_embd.weight", lambda a: a[:-1], r"has shape \[24, 149\], expected \[24, 150\]"),
        ("code_embd.weight", lambda a: a[:0], "has 0 elements along axis 1, expected at least 1"),
        ("code_embd.weight", lambda a: a[:, :0], "has 0 elements along axis 0, expected at least 1"),
        ("code_embd.weight", lambda a: a.astype(np.int32), "is of type i32, which no weight may have"),
        ("blk.1.attn_q.weight", lambda a: a.astype(np.float64), "is of type f64, which no weight may have"),
        ("blk.2.ffn_down.weight", turned, r"has shape \[24, 44\], expected \[44, 24\]"),
        ("output_norm.weight", lambda a: None, r"of shape \[24\] is missing"),
        ("up.1.dwconv.weight", turned, r"has shape \[7, 24\], expected \[24, 7\]"),
        ("up.0.gamma.weight", lambda a: a.astype(np.float64), "is of type f64, expected f32"),
        ("wave.0.conv.weight", lambda a: a[:-10], r"has shape \[20, 50\], expected \[20, 60\]"),
        ("wave.1.res.2.snake2.b", lambda a: a[:, None], r"has shape \[1, 5\], expected \[5\]"),
        ("conv_out.bias", lambda a: None, r"of shape \[1\] is missing"),
    ],
)
def test_a_tensor_that_cannot_be_is_named(
    device: Device, source: Path, tmp_path: Path, tensor: str, change: Callable[..., object], words: str
) -> None:
    path = rewrite(source, tmp_path / "t.gguf", tensors={f"code2wav.{tensor}": change})  # type: ignore[dict-item]
    refused(device, path, rf"tensor 'code2wav\.{tensor}' {words}")


def test_a_type_without_kernels(device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # ggml has it for products under way; as a weight it would end the process in the first product
    name, kind = "code2wav.blk.0.attn_q.weight", gguf.GGMLQuantizationType.Q8_1
    block, size = 32, 36  # ggml's; the package still has an older layout
    monkeypatch.setitem(gguf.GGML_QUANT_SIZES, kind, (block, size))
    rows = {name: lambda a: np.zeros((len(a), a.shape[1] // block * size), np.uint8)}
    path = rewrite(code2wav_cases.alone("real_rates"), tmp_path / "t.gguf", tensors=rows, types={name: kind})
    refused(device, path, rf"tensor '{name}' is of type q8_1, which no weight may have")


def test_a_table_of_halves_is_read_as_one(device: Device, source: Path, tmp_path: Path) -> None:
    table = {"code2wav.code_embd.weight": lambda a: a.astype(np.float16)}
    halves = rewrite(source, tmp_path / "h.gguf", tensors=table)
    rounded = {"code2wav.code_embd.weight": lambda a: a.astype(np.float16).astype(np.float32)}
    floats = rewrite(source, tmp_path / "f.gguf", tensors=rounded)
    codes = code2wav_cases.codes("odd", 9)
    pcm = [CodecDecoder(Model(device, path, "code2wav")).decode(codes) for path in (halves, floats)]
    np.testing.assert_array_equal(*pcm)


def test_groups_and_codes_of_the_same_product(device: Device, source: Path, tmp_path: Path) -> None:
    # many groups of one code: silly, and no more than that
    keys = {"code2wav.n_groups": (150, U32), "code2wav.codebook_size": (1, U32)}
    codec = CodecDecoder(Model(device, rewrite(source, tmp_path / "g.gguf", keys=keys), "code2wav"))
    assert codec.decode(np.zeros((2, 150), np.int32)).shape == (2 * codec.hop - codec.lead,)


def test_strangers(device: Device, source: Path, tmp_path: Path) -> None:
    name = "code2wav.blk.1.attn_norm.weight"
    path = rewrite(source, tmp_path / "s.gguf", rename={name: name + "s"})
    refused(device, path, f"tensor '{name}' of shape .* is missing")
    latent = rewrite(
        source, tmp_path / "p.gguf", rename={"code2wav.conv_out.bias": "code2wav.input_proj.bias"}
    )
    refused(device, latent, r"tensor 'code2wav\.conv_out\.bias' of shape \[1\] is missing")


def test_other_components(device: Device, source: Path, tmp_path: Path) -> None:
    path = rewrite(source, tmp_path / "c.gguf", keys={"pyomni.components": (["thinker", "talker"], ARRAY)})
    with pytest.raises(errors.UnsupportedModel, match="no component 'code2wav'; it has: thinker, talker"):
        Model(device, path, "code2wav")
    with pytest.raises(errors.UnsupportedModel, match="no component 'codec_decoder'; it has: code2wav"):
        Model(device, source, "codec_decoder")
    path = rewrite(source, tmp_path / "d.gguf", keys={"pyomni.components": (["codec_decoder"], ARRAY)})
    with pytest.raises(errors.ModelFormatError, match=r"key 'codec_decoder\.\w+' is missing"):
        Model(device, path, "codec_decoder")


@pytest.mark.parametrize("at", [0, 3, 8, 24, 300, 3000, -40_000, -29])
def test_a_file_cut_short(device: Device, source: Path, tmp_path: Path, at: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(source.read_bytes()[:at])
    refused(device, path, "does not begin with 'GGUF'|damaged or cut short|the file is cut short")


@pytest.mark.parametrize("kind", [ARRAY, I32, STRING])
def test_an_alignment_of_another_type(device: Device, source: Path, tmp_path: Path, kind: object) -> None:
    # where a key says nothing else, ggml's reader takes a u32 for granted and ends the process
    header = Header(source)
    at, _ = header.keys["pyomni.format_version"]
    name = b"general.alignment"
    entry = struct.pack("<Q", len(name)) + name
    if kind == ARRAY:
        entry += struct.pack("<IIQ2I", ARRAY, U32, 2, 32, 32)
    elif kind == I32:
        entry += struct.pack("<Ii", I32, 32)
    else:
        entry += struct.pack("<IQ2s", STRING, 2, b"32")
    start = at - len("pyomni.format_version") - 8
    path, data = tmp_path / "a.gguf", header.data
    (n_keys,) = struct.unpack_from("<Q", data, 16)
    path.write_bytes(data[:16] + struct.pack("<Q", n_keys + 1) + data[24:start] + entry + data[start:])
    refused(device, path, r"key 'general\.alignment' is of type (arr|i32|str), expected u32")
