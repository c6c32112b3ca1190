"""Receipts as values: what is in them, what is not, and how they are read again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pyomni import SpeechOptions
from pyomni.audio.formats import save
from pyomni.errors import ArgumentError
from pyomni.receipt import Receipt, codes_hash, options_dict, words_hash

SECRET = "Meet me at nine \u2014 tell nobody."
RECEIPT = Receipt(
    model="voice.gguf", model_hash="aa" * 16, type="q8_0", device="cpu", version="0.1.0", seed=7,
    voice="clone", voice_name="ann", voice_hash="bb" * 16, language="english", frames=12,
    codes_hash="cc" * 16, finish_reason="stop",
    words_hash=words_hash(SECRET, None, None), options={"max_frames": 12}, text=SECRET,
)  # fmt: skip


def test_words_are_there_only_when_they_are_asked_for() -> None:
    assert Receipt.from_dict(json.loads(RECEIPT.to_json(words=True))) == RECEIPT
    public = Receipt.from_dict(json.loads(RECEIPT.to_json()))
    assert public == RECEIPT.public()
    assert (public.text, public.voice_name) == (None, "")
    for text in (RECEIPT.to_json(), *RECEIPT.info().values()):
        assert "nine" not in text
        assert "ann" not in text
        assert text.isascii()  # fit for a header
        assert "\n" not in text
    assert replace(RECEIPT, voice="preset", voice_name="ryan").public().voice_name == "ryan"


def test_a_wav_file_and_what_the_command_printed_are_read(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", np.zeros(9, np.float32), 16000, info=RECEIPT.info())
    assert Receipt.read(tmp_path / "a.wav") == RECEIPT.public()
    printed = {"output": "a.wav", "receipt": RECEIPT.to_dict(words=True)}
    (tmp_path / "a.json").write_text(json.dumps(printed))
    assert Receipt.read(tmp_path / "a.json") == RECEIPT
    (tmp_path / "b.json").write_text(RECEIPT.to_json(words=True))
    assert Receipt.read(tmp_path / "b.json") == RECEIPT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"receipt": 2}, "format 2, expected 1 or less"),
        ({"receipt": "1"}, "expected an object with 'receipt'"),
        ({"seed": "7"}, "seed is '7', expected int"),
        ({"seed": True}, "seed is True"),
        ({"seed": -1}, "seed is -1"),
        ({"options": {"loudness": 1}}, "the option 'loudness'"),
        ({"options": {"top_p": 7}}, "top_p is 7"),
        ({"codes_hash": None}, "codes_hash is None"),
    ],
)
def test_what_is_no_receipt_is_refused(change: dict, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**RECEIPT.to_dict(words=True), **change}))
    with pytest.raises(ArgumentError, match=words):
        Receipt.read(path)


def test_a_field_that_is_missing_is_named() -> None:
    value = RECEIPT.to_dict()
    del value["model_hash"]
    with pytest.raises(ArgumentError, match="no model_hash"):
        Receipt.from_dict(value)


@pytest.mark.parametrize("raw", [b"", b"[", b"[]", b"\xff\xfe", b"RIFF", b"RIFF\0\0\0\0WAVE", b"[" * 100_000])
def test_other_files_are_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(ArgumentError, match="expected"):
        Receipt.read(tmp_path / "x")
    with pytest.raises(ArgumentError, match="could not be read"):
        Receipt.read(tmp_path / "y")


def test_hashes_tell_contents_apart() -> None:
    codes = np.arange(12).reshape(4, 3)
    assert codes_hash(codes) == codes_hash(codes.astype(np.int16)) == codes_hash(np.asfortranarray(codes))
    assert codes_hash(codes) != codes_hash(codes.reshape(3, 4))
    assert codes_hash(codes) != codes_hash(codes + 1)
    assert len({words_hash("a", "b", None), words_hash("a", None, "b"), words_hash("ab", None, None)}) == 3


def test_options_keep_what_was_asked_for() -> None:
    asked = SpeechOptions(seed=3, top_k=np.int64(5), guard=False, split="auto", temperature=0.5)  # type: ignore[arg-type]
    assert options_dict(asked) == {"top_k": 5, "guard": False, "temperature": 0.5}
    again = replace(RECEIPT, options=json.loads(json.dumps(options_dict(asked)))).speech_options()
    assert again == replace(asked, seed=7, split=None)


def test_differences_are_named_the_weightiest_first() -> None:
    other = replace(RECEIPT, device="cuda0", model_hash="dd" * 16, frames=13)
    assert [text.split()[0] for text in RECEIPT.differences(other)] == ["model", "device", "frames"]
    assert RECEIPT.differences(replace(RECEIPT)) == []
