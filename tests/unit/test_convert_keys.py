"""The keys of a converted file: sizes, ids, voices, text; and JSON as checkpoints really have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_checkpoint

from pyomni.convert import convert
from pyomni.metadata import Metadata

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Base checkpoint, which has every component; the predictor is narrower, so it has a projection."""
    out = tmp_path_factory.mktemp("convert") / "tiny-base"
    speaker = {"spk_channels": (8, 8, 8, 16), "spk_kernels": (5, 3, 3, 1), "spk_dilations": (1, 2, 3, 1)}
    return tiny_checkpoint(out, "base", cp_hidden=32, enc_residuals=2, n_groups=6, **speaker)


@pytest.fixture(scope="module")
def meta(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Metadata:
    return Metadata.read(convert(folder, tmp_path_factory.mktemp("gguf") / "o.gguf", "q8_0"))


def test_keys(meta: Metadata, folder: Path) -> None:
    assert meta.str("general.architecture") == "qwen3-tts"
    assert meta.str("general.name") == folder.name
    assert meta.u32("general.file_type") == 7
    assert meta.strings("pyomni.components") == [
        "talker", "code_predictor", "codec_decoder", "codec_encoder", "speaker_encoder",
    ]  # fmt: skip
    assert meta.u32("talker.n_vocab") == 64 + 1024
    assert meta.ints("tts.suppress") == [64, 64 + 1024]
    assert meta.bool("code_predictor.input_proj") is True
    assert meta.u32("code_predictor.n_embd_in") == 64
    assert meta.u32("code_predictor.n_embd") == 32
    assert meta.u32("codec_decoder.hop") == meta.u32("codec_encoder.hop") == 1920
    assert meta.ints("codec_decoder.upsample_rates") == [8, 5, 4, 3]
    assert meta.ints("codec_encoder.strides") == [4, 5, 6, 8]
    assert meta.u32("codec_encoder.downsample_kernel") == 4
    assert meta.u32("codec_encoder.n_residual") == 2
    assert meta.ints("speaker_encoder.channels") == [8, 8, 8, 16]
    assert meta.f32("speaker_encoder.mel.fmax") == 12000
    assert meta.bool("tts.streaming_layout") is True  # Base
    assert meta.bool("tts.instruct") is False
    assert "tts.speakers.names" not in meta  # an empty array
    assert meta.f32("tts.default.repetition_penalty") == pytest.approx(1.05)
    assert meta.u32("tts.default.min_new_tokens") == 2


@pytest.mark.parametrize(
    ("kind", "size", "instruct"),
    [
        ("custom_voice", "0b6", False),
        ("custom_voice", "1b7", True),
        ("voice_design", "1b7", True),
        ("base", "1b7", False),
    ],
)
def test_instruct_follows_type_and_size(tmp_path: Path, kind: str, size: str, instruct: bool) -> None:
    meta = Metadata.read(convert(tiny_checkpoint(tmp_path / "hf", kind, size=size), tmp_path / "o.gguf"))
    assert meta.bool("tts.instruct") is instruct
    assert ("speaker_encoder" in meta.strings("pyomni.components")) is (kind == "base")


def test_every_key_is_documented(meta: Metadata) -> None:
    docs = (ROOT / "docs" / "gguf.md").read_text(encoding="utf-8")
    for key in meta:
        section, _, leaf = key.rpartition(".")
        assert f"`{key}`" in docs or f"`.{leaf}`" in docs or f"`<c>.{leaf}`" in docs, key
        assert section.split(".")[0] in docs


def test_text_keys(meta: Metadata, folder: Path) -> None:
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    tokens, types = meta.strings("tokenizer.ggml.tokens"), meta.ints("tokenizer.ggml.token_type")
    assert len(tokens) == len(types) == meta.u32("talker.text.n_vocab")
    assert all(tokens[i] == text and types[i] == 1 for text, i in vocab.items())
    assert types[tokens.index("<|im_start|>")] == 3
    assert types[tokens.index("<think>")] == 4  # added, but not special
    assert tokens[meta.u32("tts.text.assistant_id")] == "assistant"
    assert tokens[meta.u32("tts.text.pad_id")] == "<tts_pad>"


def test_rows_without_a_token_are_padding(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "hf", text_vocab=400)
    meta = Metadata.read(convert(folder, tmp_path / "o.gguf"))
    assert meta.strings("tokenizer.ggml.tokens")[399] == "[PAD399]"
    assert meta.ints("tokenizer.ggml.token_type")[399] == 5


def test_only_a_first_version_line_is_a_comment_in_merges(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "hf", text_vocab=400)
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    vocab["##"] = 350
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n# #\r\n\na s\n", encoding="utf-8", newline="")
    meta = Metadata.read(convert(folder, tmp_path / "o.gguf"))
    assert meta.strings("tokenizer.ggml.merges") == ["# #", "a s"]
    (folder / "merges.txt").write_text("# #\na s", encoding="utf-8")
    meta = Metadata.read(convert(folder, tmp_path / "o.gguf"))
    assert meta.strings("tokenizer.ggml.merges") == ["# #", "a s"]


def edit_config(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; dots go into objects and None removes."""
    value = json.loads(path.read_text(encoding="utf-8"))
    for dotted, new in changes.items():
        *way, last = dotted.split("__")
        node = value
        for key in way:
            node = node[key]
        if new is None:
            node.pop(last, None)
        else:
            node[last] = new
    path.write_text(json.dumps(value), encoding="utf-8")


def test_json_may_be_odd(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "hf")
    edit_config(
        folder / "config.json",
        talker_config__spk_id={"Ryan": 70, "MIA": 71},
        talker_config__spk_is_dialect={"Ryan": False, "mia": "Beijing_Dialect"},
        talker_config__rope_scaling=None,
        talker_config__rope_theta=1000000,
        talker_config__sliding_window=None,
    )
    edit_config(folder / "speech_tokenizer/config.json", encoder_config___frame_rate=None)
    (folder / "generation_config.json").unlink()
    meta = Metadata.read(convert(folder, tmp_path / "o.gguf"))
    assert meta.strings("tts.speakers.names") == ["ryan", "mia"]
    assert meta.strings("tts.speakers.dialects") == ["", "beijing_dialect"]
    assert meta.u32("codec_encoder.downsample_kernel") == 4
    assert meta.u32("tts.default.max_new_tokens") == 2048  # the official code's, without a file
