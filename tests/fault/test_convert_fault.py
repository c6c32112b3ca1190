"""A checkpoint that is not what it should be: one named error, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken import header_of, refused, rewrite
from tiny import tiny_checkpoint

from pyomni.convert import convert, encode, writer
from pyomni.errors import ArgumentError, ModelFileError, ModelFormatError

HEAD = "talker.codec_head.weight"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("fault") / "hf", "base", n_groups=4, layers=1, cp_layers=1)


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "hf"))


# -- tensors --------------------------------------------------------------------------------------------


def test_missing_tensor(folder: Path) -> None:
    rewrite(folder / "model.safetensors", lambda h: h.pop(HEAD))
    refused(folder, ModelFormatError, HEAD, "missing", "[1088, 64]")


def test_missing_codec_bias(folder: Path) -> None:
    name = "decoder.decoder.1.block.2.conv1.conv.bias"
    rewrite(folder / "speech_tokenizer/model.safetensors", lambda h: h.pop(name))
    refused(folder, ModelFormatError, name, "missing", "speech_tokenizer")


@pytest.mark.parametrize(
    "name",
    ["talker.model.layers.0.self_attn.q_proj.bias", "talker.model.layers.1.input_layernorm.weight", "stray"],
)
def test_left_over_tensor(folder: Path, name: str) -> None:
    rewrite(folder / "model.safetensors", lambda h: h.update({name: dict(h[HEAD])}))
    refused(folder, ModelFormatError, name, "[1088, 64]", "expected only")


def test_left_over_codebook_is_not_taken_for_an_unused_one(folder: Path) -> None:
    name = "encoder.quantizer.acoustic_residual_vector_quantizer.layers.16.codebook.embed_sum"
    path = folder / "speech_tokenizer/model.safetensors"
    rewrite(path, lambda h: h.update({name: dict(h[name.replace("16", "15")])}))
    refused(folder, ModelFormatError, name)


def test_wrong_shape(folder: Path) -> None:
    rewrite(folder / "model.safetensors", lambda h: h[HEAD].update(shape=[64, 1088]))
    refused(folder, ModelFormatError, HEAD, "[64, 1088]", "[1088, 64]")


def test_shape_and_bytes_disagree(folder: Path) -> None:
    rewrite(folder / "model.safetensors", lambda h: h[HEAD].update(shape=[1088, 65]))
    refused(folder, ModelFormatError, HEAD, "bytes", "[1088, 65]")


def test_integers_are_no_weights(folder: Path) -> None:
    rewrite(folder / "model.safetensors", lambda h: h[HEAD].update(dtype="I32"))
    refused(folder, ModelFormatError, HEAD, "I32", "BF16")


@pytest.mark.parametrize("entry", [None, 3, {}, {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}])
def test_entry_that_is_none(folder: Path, entry: Any) -> None:
    rewrite(folder / "model.safetensors", lambda h: h.update({HEAD: entry}))
    refused(folder, ModelFormatError, HEAD)


@pytest.mark.parametrize(("bad", "kind"), [(np.nan, "f32"), (np.inf, "bf16"), (-np.inf, "q8_0")])
def test_weights_that_are_not_finite(folder: Path, bad: float, kind: str) -> None:
    poke(folder, bad)
    refused(folder, ModelFormatError, HEAD, "finite", kind=kind)


def test_infinity_in_a_bfloat16_source(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "hf", dtype="bf16")
    header, data = header_of(folder / "model.safetensors")
    at = header[HEAD]["data_offsets"][0]
    infinite = data[:at] + b"\x80\x7f" + data[at + 2 :]
    rewrite(folder / "model.safetensors", lambda h: None, infinite)
    refused(folder, ModelFormatError, HEAD, "finite", kind="bf16")


def test_weights_too_large_for_f16(folder: Path) -> None:
    poke(folder, 1e5)
    refused(folder, ModelFormatError, HEAD, "100000", "bf16", kind="f16")


def poke(folder: Path, value: float) -> None:
    """Overwrite one weight of the head."""
    header, data = header_of(folder / "model.safetensors")
    at = header[HEAD]["data_offsets"][0]
    new = np.array([value], "<f4").tobytes()
    rewrite(folder / "model.safetensors", lambda h: None, data[:at] + new + data[at + 4 :])


# -- weight files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "0 bytes"),
        (b"abc", "3 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs"),
        (b"\xff" * 64, "header"),
        ((20).to_bytes(8, "little") + b"{" + b" " * 40, "JSON"),
        ((2).to_bytes(8, "little") + b"[]", "list"),
        ((100_000).to_bytes(8, "little") + b"[" * 100_000, "JSON"),
    ],
)
def test_not_a_safetensors_file(folder: Path, content: bytes, word: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    refused(folder, ModelFormatError, "model.safetensors", word)


def test_truncated_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    os.truncate(path, path.stat().st_size - 1000)
    refused(folder, ModelFormatError, "model.safetensors", "truncated")


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refused(folder, ModelFileError, str(folder), "model.safetensors.index.json")


@pytest.mark.parametrize("file", ["../a.safetensors", "/etc/passwd", "sub/x.safetensors", 3, "config.json"])
def test_index_points_elsewhere(folder: Path, file: Any) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {HEAD: file}}))
    refused(folder, ModelFormatError, HEAD, repr(file), "beside")


def test_shard_is_missing(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {HEAD: "b.safetensors"}}))
    refused(folder, ModelFileError, "b.safetensors")


def test_index_lists_what_no_shard_has(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "a.safetensors"}}))
    refused(folder, ModelFormatError, "'x'", "a.safetensors")


def test_a_tensor_in_two_shards(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    shutil.copy(folder / "a.safetensors", folder / "b.safetensors")
    names = [name for name in header_of(folder / "a.safetensors")[0] if name != "__metadata__"]
    weight_map = {names[0]: "a.safetensors", names[1]: "b.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    refused(folder, ModelFormatError, "earlier shard")


# -- arguments and output -------------------------------------------------------------------------------


def test_unknown_type(folder: Path) -> None:
    refused(folder, ArgumentError, "q3_k", "q8_0", kind="q3_k")


def test_source_is_not_a_folder(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="is a file, expected a folder"):
        convert(folder / "config.json", folder.parent / "o.gguf")
    with pytest.raises(ModelFileError, match="is not there"):
        convert(folder / "nowhere", folder.parent / "o.gguf")


def test_output_folder_is_missing(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="not a folder that is there"):
        convert(folder, folder.parent / "no" / "o.gguf")


def test_output_is_a_folder(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="is a folder"):
        convert(folder, folder.parent)


def test_output_is_one_of_the_sources(folder: Path) -> None:
    before = (folder / "config.json").read_bytes()
    with pytest.raises(ArgumentError, match="to convert from"):
        convert(folder, folder / "config.json")
    assert (folder / "config.json").read_bytes() == before


def test_disk_is_too_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    refused(folder, ModelFileError, "0.00 GB are free")


def test_disk_fills_up_on_the_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(encode, "_encode", full)
    refused(folder, ModelFileError, "out.gguf", "No space left")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_interrupted_half_way(folder: Path, stop: type[BaseException]) -> None:
    out = folder.parent / "out.gguf"
    out.write_bytes(b"what was there before")

    def progress(name: str, done: int, total: int) -> None:
        if done > total // 2:
            raise stop

    with pytest.raises(stop):
        convert(folder, out, "f32", progress)
    assert out.read_bytes() == b"what was there before"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["hf", "out.gguf"]


def test_killed_half_way_leaves_no_model(folder: Path) -> None:
    out, mark = folder.parent / "out.gguf", folder.parent / "half"
    code = (
        "import sys, time, pathlib\n"
        "from pyomni.convert import convert\n"
        "def progress(name, done, total):\n"
        "    if done > total // 2:\n"
        "        pathlib.Path(sys.argv[3]).touch()\n"
        "        time.sleep(60)\n"
        "convert(sys.argv[1], sys.argv[2], 'f32', progress)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, folder, out, mark], cwd=folder.parent)
    try:
        deadline = time.monotonic() + 30
        while not mark.exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert mark.exists()
    finally:
        child.kill()
        child.wait()
    assert not out.exists()
