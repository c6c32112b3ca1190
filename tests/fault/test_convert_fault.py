"""A checkpoint that is not what it should be: one named error, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_checkpoint

from pyomni.convert import convert, writer
from pyomni.convert.safetensors_file import Checkpoint
from pyomni.errors import ArgumentError, ModelFileError, ModelFormatError, UnsupportedModel

Edit = Callable[[Path], object]
HEAD = "talker.codec_head.weight"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("fault") / "hf", "base", n_groups=4, layers=1, cp_layers=1)


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "hf"))


def refused(folder: Path, error: type[Exception], *words: str, kind: str = "f32") -> None:
    """Convert, expect the error with these words, and nothing but the source beside it."""
    out = folder.parent / "out.gguf"
    with pytest.raises(error) as caught:
        convert(folder, out, kind)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [path.name for path in folder.parent.iterdir() if path != folder]


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    raw = path.read_bytes()
    n = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + n]), raw[8 + n :]


def rewrite(path: Path, edit: Callable[[dict[str, Any]], object], data: bytes | None = None) -> None:
    header, old = header_of(path)
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + (old if data is None else data))


def set_json(path: Path, *way: str | int, value: Any) -> None:
    top = json.loads(path.read_text(encoding="utf-8"))
    node = top
    for key in way[:-1]:
        node = node[key]
    node[way[-1]] = value
    path.write_text(json.dumps(top), encoding="utf-8")


# -- tensors -----------------------------------------------------------------------------------------------------


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


# -- weight files ------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "file", ["../model.safetensors", "/etc/passwd", "sub/x.safetensors", 3, "config.json"]
)
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
    header = Checkpoint(folder / "speech_tokenizer")  # any checkpoint reads; this one stays as it was
    assert len(header) > 0
    names = [name for name in header_of(folder / "a.safetensors")[0] if name != "__metadata__"]
    weight_map = {names[0]: "a.safetensors", names[1]: "b.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    refused(folder, ModelFormatError, "earlier shard")


# -- configuration and text --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "value", "error", "words"),
    [
        (("model_type",), "qwen3_omni_moe", UnsupportedModel, ("qwen3_omni_moe", "'qwen3_tts'")),
        (("model_type",), None, ModelFormatError, ("model_type",)),
        (("tokenizer_type",), "qwen3_tts_tokenizer_25hz", UnsupportedModel, ("25hz", "12hz")),
        (("tts_model_type",), "singer", UnsupportedModel, ("singer", "custom_voice")),
        (("talker_config",), [], ModelFormatError, ("talker_config", "object")),
        (("talker_config", "hidden_size"), "64", ModelFormatError, ("talker_config.hidden_size", '"64"')),
        (("talker_config", "hidden_size"), None, ModelFormatError, ("talker_config.hidden_size",)),
        (("talker_config", "hidden_size"), -1, ModelFormatError, ("-1",)),
        (("talker_config", "hidden_size"), 2**40, ModelFormatError, ("hidden_size",)),
        (("talker_config", "num_hidden_layers"), 10**9, ModelFormatError, ("1 to 512",)),
        (("talker_config", "num_key_value_heads"), 3, ModelFormatError, ("divisor",)),
        (("talker_config", "rms_norm_eps"), float("nan"), ModelFormatError, ("rms_norm_eps", "NaN")),
        (("talker_config", "hidden_act"), "gelu", UnsupportedModel, ("gelu", "silu")),
        (("talker_config", "attention_bias"), True, UnsupportedModel, ("attention_bias",)),
        (("talker_config", "rope_scaling"), {"rope_type": "yarn"}, UnsupportedModel, ("yarn",)),
        (("talker_config", "vocab_size"), 500, ModelFormatError, ("vocab_size", "1025")),
        (("talker_config", "vocab_size"), 3072, ModelFormatError, ("vocab_size", "64 rows")),
        (("talker_config", "codec_eos_token_id"), 5000, ModelFormatError, ("codec_eos_token_id", "5000")),
        (("talker_config", "codec_language_id"), {"english": 9999}, ModelFormatError, ("english",)),
        (("talker_config", "spk_id"), {"Ryan": 1, "ryan": 2}, ModelFormatError, ("ryan",)),
        (("talker_config", "spk_id"), {"ryan": [1]}, ModelFormatError, ("ryan",)),
        (("talker_config", "code_predictor_config", "num_code_groups"), 5, ModelFormatError, ("talker's 4",)),
        (("talker_config", "code_predictor_config", "vocab_size"), 2048, ModelFormatError, ("at most 64",)),
        (("speaker_encoder_config", "enc_dim"), 65, ModelFormatError, ("enc_dim", "64")),
        (("speaker_encoder_config", "enc_channels"), [8, 8, 16], ModelFormatError, ("enc_channels",)),
        (("im_start_token_id",), 10**6, ModelFormatError, ("im_start_token_id",)),
    ],
)
def test_config(folder: Path, way: Any, value: Any, error: Any, words: Any) -> None:
    set_json(folder / "config.json", *way, value=value)
    refused(folder, error, "config.json", *words)


@pytest.mark.parametrize(
    ("way", "value", "error", "words"),
    [
        (("model_type",), "qwen3_tts_tokenizer_25hz", UnsupportedModel, ("25hz",)),
        (("encoder_valid_num_quantizers",), 3, ModelFormatError, ("num_code_groups",)),
        (("decode_upsample_rate",), 1919, ModelFormatError, ("decode_upsample_rate", "1920")),
        (("encode_downsample_rate",), 960, ModelFormatError, ("encode_downsample_rate", "1920")),
        (("decoder_config", "upsample_rates"), [], ModelFormatError, ("upsample_rates",)),
        (("decoder_config", "upsample_rates"), 8, ModelFormatError, ("upsample_rates",)),
        (("decoder_config", "decoder_dim"), 60, ModelFormatError, ("decoder_dim", "16")),
        (("decoder_config", "num_quantizers"), 5, ModelFormatError, ("num_quantizers", "4")),
        (("encoder_config", "pad_mode"), "reflect", UnsupportedModel, ("reflect",)),
        (("encoder_config", "use_conv_shortcut"), True, UnsupportedModel, ("use_conv_shortcut",)),
        (("encoder_config", "_frame_rate"), 1e-9, ModelFormatError, ("_frame_rate",)),
    ],
)
def test_codec_config(folder: Path, way: Any, value: Any, error: Any, words: Any) -> None:
    set_json(folder / "speech_tokenizer/config.json", *way, value=value)
    refused(folder, error, "speech_tokenizer", *words)


@pytest.mark.parametrize("key", ["temperature", "top_p", "top_k", "do_sample"])
def test_sampling_defaults(folder: Path, key: str) -> None:
    set_json(folder / "generation_config.json", key, value=-2)
    refused(folder, ModelFormatError, "generation_config.json", key, "-2")


@pytest.mark.parametrize("file", ["config.json", "vocab.json", "merges.txt", "tokenizer_config.json"])
def test_missing_file(folder: Path, file: str) -> None:
    (folder / file).unlink()
    refused(folder, ModelFileError, file, "not found")


def test_missing_speech_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "speech_tokenizer")
    refused(folder, ModelFileError, "speech_tokenizer", "config.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "nul", "1" * 5000, '{"a":' * 100_000])
def test_broken_json(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    refused(folder, ModelFormatError, "config.json", "JSON")


@pytest.mark.parametrize(
    ("file", "edit", "words"),
    [
        ("vocab.json", {"x": 0}, ("'x'", "id 0")),
        ("vocab.json", {"x": 10**9}, ("'x'", "1000000000")),
        ("vocab.json", {"x": "7"}, ("'x'",)),
        ("vocab.json", {"x": -1}, ("'x'",)),
    ],
)
def test_vocabulary(folder: Path, file: str, edit: dict[str, Any], words: tuple[str, ...]) -> None:
    top = json.loads((folder / file).read_text(encoding="utf-8"))
    (folder / file).write_text(json.dumps({**top, **edit}), encoding="utf-8")
    refused(folder, ModelFormatError, file, *words)


@pytest.mark.parametrize("merge", ["nospace", "a zzz", "a  b"])
def test_merges(folder: Path, merge: str) -> None:
    with (folder / "merges.txt").open("a", encoding="utf-8") as file:
        file.write(f"{merge}\n")
    refused(folder, ModelFormatError, "merges.txt", "line", merge)


def test_merges_are_not_text(folder: Path) -> None:
    (folder / "merges.txt").write_bytes(b"\xff\xfe")
    refused(folder, ModelFormatError, "merges.txt", "UTF-8")


@pytest.mark.parametrize("key", ["99999", "-1", "x", "\u0663"])
def test_added_token_ids(folder: Path, key: str) -> None:
    set_json(folder / "tokenizer_config.json", "added_tokens_decoder", key, value={"content": "<x>"})
    refused(folder, ModelFormatError, "tokenizer_config.json", "ids from 0")


# -- arguments and output ----------------------------------------------------------------------------------------


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

    monkeypatch.setattr(writer, "_encode", full)
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
