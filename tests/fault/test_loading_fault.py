"""Devices and model files that cannot be opened: each fault has its class and its words."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from mutate import DROP, rewrite

from pyomni import errors
from pyomni._binding import Device, Model


def test_unknown_device_names_the_known_ones() -> None:
    with pytest.raises(
        errors.ArgumentError, match=r"device 'warp9' is not here; expected auto or one of: .*cpu"
    ):
        Device("warp9")


@pytest.mark.parametrize("n", [0, -1, 100_000])
def test_thread_count_out_of_range(n: int) -> None:
    with pytest.raises(errors.ArgumentError, match=f"threads is {n}, expected 1 to 512"):
        Device("cpu", n)


def test_missing_file(device: Device, tmp_path: Path) -> None:
    with pytest.raises(errors.ModelFileError, match=r"none\.gguf: the file cannot be opened"):
        Model(device, tmp_path / "none.gguf", "talker")


def test_folder_instead_of_file(device: Device, tmp_path: Path) -> None:
    with pytest.raises(errors.ModelFileError, match="is a folder, expected a GGUF file"):
        Model(device, tmp_path, "talker")


@pytest.mark.parametrize(
    "content", [b"", b"GG", b"RIFF0000WAVE", b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 16]
)
def test_not_a_gguf_file(device: Device, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(errors.ModelFormatError, match=r"bad\.gguf: "):
        Model(device, path, "talker")


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.999])
def test_truncated_file(device: Device, tiny_path: Path, tmp_path: Path, keep: float) -> None:
    path = tmp_path / "cut.gguf"
    whole = tiny_path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(errors.ModelFormatError, match=r"cut\.gguf: .*cut short"):
        Model(device, path, "talker")


def test_unknown_component(device: Device, tiny_path: Path) -> None:
    with pytest.raises(errors.UnsupportedModel, match="cannot run a component 'choir'"):
        Model(device, tiny_path, "choir")


def test_component_that_the_file_lacks(device: Device, tiny_path: Path, tmp_path: Path) -> None:
    kinds = gguf.GGUFValueType
    field = gguf.GGUFReader(tiny_path).fields["pyomni.components"].contents()
    assert "talker" in field
    path = rewrite(
        tiny_path, tmp_path / "less.gguf", keys={"pyomni.components": (["codec_decoder"], kinds.ARRAY)}
    )
    with pytest.raises(errors.UnsupportedModel, match=r"has no component 'talker'; it has: codec_decoder"):
        Model(device, path, "talker")


def test_missing_key_is_named(device: Device, tiny_path: Path, tmp_path: Path) -> None:
    path = rewrite(tiny_path, tmp_path / "k.gguf", keys={"talker.n_layer": DROP})
    with pytest.raises(errors.ModelFormatError, match=r"k\.gguf: key 'talker\.n_layer' is missing"):
        Model(device, path, "talker")


def test_wrong_key_type_is_named(device: Device, tiny_path: Path, tmp_path: Path) -> None:
    path = rewrite(tiny_path, tmp_path / "k.gguf", keys={"talker.n_layer": ("2", gguf.GGUFValueType.STRING)})
    with pytest.raises(errors.ModelFormatError, match=r"key 'talker\.n_layer' is of type str, expected u32"):
        Model(device, path, "talker")


@pytest.mark.parametrize(
    ("component", "key", "value", "words"),
    [
        ("talker", "talker.n_layer", 0, "is 0, expected 1 to"),
        ("talker", "talker.n_layer", 5000, "n_layer is 5000, expected at most 1024"),
        ("talker", "talker.n_head", 3, "n_head is 3, expected a multiple of n_head_kv"),
        ("talker", "talker.head_dim", 33, "head_dim is 33, expected an even number"),
        ("talker", "talker.n_embd", 2**31, "expected 1 to"),
        ("code_predictor", "code_predictor.n_groups", 1, "n_groups is 1, expected 2 to"),
    ],
)
def test_impossible_sizes(
    device: Device, tiny_path: Path, tmp_path: Path, component: str, key: str, value: int, words: str
) -> None:
    path = rewrite(tiny_path, tmp_path / "k.gguf", keys={key: (value, gguf.GGUFValueType.UINT32)})
    with pytest.raises(errors.ModelFormatError, match=words):
        Model(device, path, component)


@pytest.mark.parametrize(
    ("component", "tensor"),
    [
        ("talker", "talker.blk.1.attn_q.weight"),
        ("code_predictor", "code_predictor.codec_head.3.weight"),
        ("code_predictor", "talker.codec_embd.weight"),
        ("codec_decoder", "codec_decoder.conv_out.bias"),
    ],
)
def test_missing_tensor_is_named(
    device: Device, tiny_path: Path, tmp_path: Path, component: str, tensor: str
) -> None:
    path = rewrite(tiny_path, tmp_path / "t.gguf", tensors={tensor: lambda a: None})
    with pytest.raises(errors.ModelFormatError, match=rf"tensor '{tensor}' of shape \[.*\] is missing"):
        Model(device, path, component)


def test_unknown_tensor_is_named(device: Device, tiny_path: Path, tmp_path: Path) -> None:
    path = rewrite(
        tiny_path, tmp_path / "t.gguf", rename={"talker.output_norm.weight": "talker.extra.weight"}
    )
    with pytest.raises(
        errors.ModelFormatError, match=r"tensor 'talker\.output_norm\.weight' of shape .* is missing"
    ):
        Model(device, path, "talker")
    path = rewrite(tiny_path, tmp_path / "u.gguf", rename={"codec_decoder.conv_out.bias": "talker.extra"})
    with pytest.raises(
        errors.ModelFormatError, match=r"tensor 'talker\.extra' is not one that component 'talker' knows"
    ):
        Model(device, path, "talker")


def test_wrong_shape_is_named(device: Device, tiny_path: Path, tmp_path: Path) -> None:
    path = rewrite(tiny_path, tmp_path / "t.gguf", tensors={"talker.blk.0.attn_q.weight": lambda a: a[:-1]})
    with pytest.raises(
        errors.ModelFormatError,
        match=r"'talker\.blk\.0\.attn_q\.weight' has shape \[64, 127\], expected \[64, 128\]",
    ):
        Model(device, path, "talker")


def test_wrong_type_is_named(device: Device, tiny_path: Path, tmp_path: Path) -> None:
    path = rewrite(
        tiny_path, tmp_path / "t.gguf", tensors={"talker.output_norm.weight": lambda a: a.astype(np.float64)}
    )
    with pytest.raises(
        errors.ModelFormatError, match=r"'talker\.output_norm\.weight' is of type f64, expected f32"
    ):
        Model(device, path, "talker")
