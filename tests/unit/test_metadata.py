"""The header reader: values against gguf's own reader, and files that lie about themselves."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import tiny_checkpoint, tiny_gguf

from pyomni.errors import ModelFileError, ModelFormatError, PyOmniError, UnsupportedModel
from pyomni.metadata import Metadata, SpeechMetadata


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf(tmp_path_factory.mktemp("metadata") / "tiny.gguf", "q8_0")


def write(path: Path, keys: dict[str, tuple[Any, GGUFValueType]], arch: str = "qwen3-tts") -> Path:
    writer = GGUFWriter(path, arch)
    for key, (value, kind) in keys.items():
        writer.add_key_value(key, value, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_value_and_tensor_agrees_with_ggufs_reader(path: Path) -> None:
    ours, theirs = Metadata.read(path), GGUFReader(path)
    keys = [key for key in theirs.fields if not key.startswith("GGUF.")]
    assert list(ours) == keys
    assert len(ours) == len(keys)
    for key in keys:
        expected = theirs.fields[key].contents()
        found = ours[key]
        assert (list(found) if isinstance(found, tuple) else found) == expected, key
    for found, wanted in zip(ours.tensors, theirs.tensors, strict=True):
        assert found.name == wanted.name
        assert list(found.shape) == wanted.shape.tolist()
        assert found.type == wanted.tensor_type.name.lower()
        assert (found.n_bytes, found.offset) == (wanted.n_bytes, wanted.data_offset)


def test_getters_give_typed_values(path: Path) -> None:
    meta = Metadata.read(path)
    assert meta.u32("talker.n_embd") == 64
    assert meta.f32("codec_decoder.rms_eps") == pytest.approx(1e-5)
    assert meta.str("tts.model_type") == "custom_voice"
    assert meta.bool("tts.instruct") is False
    assert meta.ints("codec_decoder.upsample_rates") == [8, 5, 4, 3]
    assert meta.strings("tts.speakers.names")[0] == "serena"
    assert meta.version == 3


@pytest.mark.parametrize(
    ("getter", "key", "words"),
    [
        ("u32", "talker.n_emb", "'talker.n_emb' is missing, expected u32"),
        ("u32", "talker.rms_eps", "'talker.rms_eps' is f32, expected u32"),
        ("f32", "talker.n_embd", "is u32, expected f32"),
        ("str", "tts.instruct", "is bool, expected str"),
        ("bool", "tts.model_type", "is str, expected bool"),
        ("strings", "tts.suppress", "is arr[i32], expected arr[str]"),
        ("ints", "tts.speakers.names", "is arr[str], expected arr[i32]"),
    ],
)
def test_getters_name_file_and_key(path: Path, getter: str, key: str, words: str) -> None:
    with pytest.raises(ModelFormatError) as caught:
        getattr(Metadata.read(path), getter)(key)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_a_missing_array_is_empty(path: Path) -> None:
    meta = Metadata.read(path)
    assert meta.strings("nothing.here") == meta.ints("nothing.here") == []


def test_all_scalar_types(tmp_path: Path) -> None:
    kinds = GGUFValueType
    keys: dict[str, tuple[Any, GGUFValueType]] = {
        "a": (255, kinds.UINT8), "b": (-3, kinds.INT8), "c": (65535, kinds.UINT16), "d": (-9, kinds.INT16),
        "e": (-5, kinds.INT32), "f": (2**63, kinds.UINT64), "g": (-(2**62), kinds.INT64),
        "h": (0.1, kinds.FLOAT64), "i": (True, kinds.BOOL), "j": ("", kinds.STRING),
        "k": ("\u00e9\u4e2d", kinds.STRING),
        "l": ([1.5, 2.5], kinds.ARRAY), "m": (["", "x\ny"], kinds.ARRAY),
    }  # fmt: skip
    meta = Metadata.read(write(tmp_path / "a.gguf", keys))
    for key, (value, _) in keys.items():
        assert (list(meta[key]) if isinstance(meta[key], tuple) else meta[key]) == value


def test_a_large_vocabulary_opens_quickly(tmp_path: Path) -> None:
    keys = {
        name: ([f"{name}{i}" for i in range(152_000)], GGUFValueType.ARRAY) for name in ("tokens", "merges")
    }
    file = write(tmp_path / "large.gguf", keys)
    start = time.perf_counter()
    meta = Metadata.read(file)
    opened = time.perf_counter() - start
    assert len(meta.strings("tokens")) == 152_000
    assert meta.strings("merges")[151_999] == "merges151999"
    assert opened < 1.0


def test_speech_metadata(path: Path) -> None:
    meta = SpeechMetadata.read(path)
    assert meta.components == ("talker", "code_predictor", "codec_decoder", "codec_encoder")
    assert (meta.model_type, meta.model_size, meta.instruct, meta.streaming_layout) == (
        "custom_voice", "0b6", False, False,
    )  # fmt: skip
    # the real ids, moved down with the smaller codebook
    assert (meta.codec_pad_id, meta.codec_bos_id, meta.codec_eos_id) == (164, 165, 166)
    assert meta.languages["english"] == 2050 - 2048 + 64
    assert len(meta.languages) == 12
    assert meta.speakers["ryan"] == 3061 - 2048 + 64
    assert meta.dialects == {"eric": "sichuan_dialect", "dylan": "beijing_dialect"}
    assert meta.suppress == (64, 64 + 1024)
    assert (meta.n_groups, meta.n_ctx_max, meta.sample_rate, meta.hop) == (16, 2048, 24000, 1920)
    assert meta.defaults["top_k"] == 50
    assert meta.defaults["do_sample"] is True
    assert set(meta.defaults) == {
        "do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "predictor_do_sample",
        "predictor_temperature", "predictor_top_k", "predictor_top_p", "max_new_tokens", "min_new_tokens",
    }  # fmt: skip


def test_the_tokenizer_comes_from_the_file(path: Path) -> None:
    meta = SpeechMetadata.read(path)
    tokenizer = meta.tokenizer()
    assert tokenizer.encode("assistant") == [meta.assistant_id]
    assert (
        tokenizer.decode(tokenizer.encode("Gr\u00fc\u00dfe, \u4e16\u754c!"))
        == "Gr\u00fc\u00dfe, \u4e16\u754c!"
    )


def test_summary_is_plain(path: Path) -> None:
    import json

    summary = json.loads(json.dumps(SpeechMetadata.read(path).summary()))
    assert summary["type"] == "q8_0"
    assert summary["bytes"] == sum(summary["components"].values())
    assert set(summary["tensors"]) == {"f32", "q8_0", "bf16"}
    assert summary["defaults"]["temperature"] == 0.9
    assert summary["frames_per_second"] == 12.5
    assert "ryan" in summary["speakers"]


def test_a_base_model_without_voices(tmp_path: Path) -> None:
    meta = SpeechMetadata.read(tiny_gguf(tmp_path / "base.gguf", kind="base"))
    assert meta.speakers == {} == meta.dialects
    assert meta.streaming_layout is True
    assert "speaker_encoder" in meta.components


# -- files that are something else ----------------------------------------------------------------------


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"is a folder, expected a GGUF file$"):
        Metadata.read(tmp_path)
    with pytest.raises(ModelFileError, match="pyomni convert"):
        Metadata.read(tiny_checkpoint(tmp_path / "hf"))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not found"):
        SpeechMetadata.read(tmp_path / "none.gguf")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"Hello, this is a text file, not a model.", "starts with b'Hell'"),
        (b"GGUF", "truncated"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "GGUF version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "version 3, written for a big-endian machine"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "keys"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62) + b"x" * 20, "longer|bytes long"),
    ],
)
def test_not_a_gguf(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelFormatError, match=words):
        Metadata.read(file)


def key(name: str, kind: int, body: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + body


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    head = struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(shape))
    return head + struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, offset)


@pytest.mark.parametrize(
    ("keys", "tensors", "words"),
    [
        ([key("a", 99, b"")], [], "unknown value type 99"),
        ([key("a", 9, struct.pack("<IQ", 9, 1))], [], "array of the unknown type 9"),
        ([key("a", 9, struct.pack("<IQ", 4, 2**62))], [], "past the file"),
        ([key("a", 9, struct.pack("<IQ", 8, 2**61))], [], "truncated"),
        ([key("a", 9, struct.pack("<IQQ", 8, 2, 2**63 - 1))], [], "truncated"),
        ([key("a", 8, struct.pack("<Q", 2**63))], [], "bytes long"),
        ([key("a", 8, struct.pack("<Q", 2) + b"\xff\xff")], [], "UTF-8"),
        ([key("a", 0, b"1"), key("a", 0, b"1")], [], "twice"),
        ([key("general.alignment", 4, struct.pack("<I", 3))], [], "power of two"),
        ([key("general.alignment", 4, struct.pack("<I", 0))], [], "power of two"),
        ([key("general.alignment", 8, struct.pack("<Q", 1) + b"3")], [], "power of two"),
        ([], [tensor("t", (1, 1, 1, 1, 1), 0, 0)], "5 axes"),
        ([], [tensor("t", (8,), 77, 0)], "unknown type 77"),
        ([], [tensor("t", (2**40, 2**40, 2**40, 2**40), 0, 0)], "truncated"),
        ([], [tensor("t", (8,), 0, 2**63)], "truncated"),
        ([], [tensor("t", (8,), 0, 3)], "steps of 32"),
        ([], [tensor("t", (33,), 8, 0)], "whole blocks of 32"),
        ([], [tensor("t", (1,), 0, 0), tensor("t", (1,), 0, 0)], "same name"),
    ],
)
def test_lies(tmp_path: Path, keys: list[bytes], tensors: list[bytes], words: str) -> None:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    file = tmp_path / "x.gguf"
    file.write_bytes(head + b"".join(keys + tensors) + bytes(64))
    with pytest.raises(ModelFormatError, match=words):
        Metadata.read(file)


def test_truncated_anywhere(path: Path, tmp_path: Path) -> None:
    whole, file = path.read_bytes(), tmp_path / "cut.gguf"
    for size in [*range(0, 400, 7), *np.linspace(400, len(whole) - 33, 40, dtype=int)]:
        file.write_bytes(whole[:size])
        with pytest.raises(ModelFormatError):
            Metadata.read(file)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 40_000), st.binary(min_size=1, max_size=8)), min_size=1))
def test_any_ending_but_an_exception_of_ours_is_a_bug(
    path: Path, tmp_path: Path, changes: list[tuple[int, bytes]]
) -> None:
    raw = bytearray(path.read_bytes())
    for at, new in changes:
        raw[at : at + len(new)] = new
    file = tmp_path / "mutated.gguf"
    file.write_bytes(raw)
    with contextlib.suppress(PyOmniError):
        meta = SpeechMetadata.read(file)
        for name in meta.meta:
            meta.meta[name]
        meta.summary()


def test_another_architecture(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="'llama', expected 'qwen3-tts'"):
        SpeechMetadata.read(write(tmp_path / "llama.gguf", {}, arch="llama"))


def test_a_newer_format(tmp_path: Path) -> None:
    keys = {"pyomni.format_version": (2, GGUFValueType.UINT32)}
    with pytest.raises(UnsupportedModel, match="newer pyomni"):
        SpeechMetadata.read(write(tmp_path / "new.gguf", keys))


def test_reading_leaves_the_file_alone(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(path.read_bytes())
    meta = Metadata.read(copy)
    os.truncate(copy, 0)  # the header was taken over whole: no map is left that could fault
    assert len(meta.strings("tokenizer.ggml.tokens")) == meta.u32("talker.text.n_vocab")
