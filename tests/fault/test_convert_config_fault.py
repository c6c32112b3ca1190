"""A configuration or vocabulary that is not what it should be: one error naming file and key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from broken import refused, set_json
from tiny import tiny_checkpoint

from pyomni.errors import ModelFileError, ModelFormatError, UnsupportedModel


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("fault") / "hf", "base", n_groups=4, layers=1, cp_layers=1)


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "hf"))


@pytest.mark.parametrize(
    ("way", "value", "error", "words"),
    [
        (("model_type",), "qwen3_asr", UnsupportedModel, ("qwen3_asr", "qwen3_tts, qwen3_omni_moe")),
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
