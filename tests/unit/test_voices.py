"""Voices as values, as files that may be anything, and by name in the user's folder."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pyomni import Voice
from pyomni.errors import ArgumentError, OutputFileError
from pyomni.voices import file, library

ROW = np.linspace(-1, 1, 6, dtype=np.float32)
CODES = np.arange(12, dtype=np.int32).reshape(3, 4)
VOICES = {
    "preset": Voice.preset("Ryan "),
    "clone": Voice.clone(ROW, name="Ann"),
    "in context": Voice.clone(ROW, CODES, "What it says, 你好.", name="Ann"),
    "design": Voice.design("A deep, slow voice.", name="Deep"),
    "none": Voice.none(),
}


@pytest.fixture(autouse=True)
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of saved voices that is not there yet."""
    folder = tmp_path / "data" / "voices"
    monkeypatch.setenv("PYOMNI_VOICES", str(folder))
    return folder


# --- values -------------------------------------------------------------------------------------------------


def test_a_voice_is_a_value():
    voice = Voice.clone(ROW, CODES, "Hello.")
    assert voice == Voice.clone(ROW.astype(np.float64), CODES.astype(np.int64), "Hello.")
    assert hash(voice) == hash(Voice.clone(ROW, CODES, "Hello."))
    assert len({*VOICES.values(), *VOICES.values()}) == len(VOICES)
    for other in (
        Voice.clone(ROW + 1, CODES, "Hello."),
        Voice.clone(ROW, CODES + 1, "Hello."),
        Voice.clone(ROW, CODES, "Hello"),
        Voice.clone(ROW),
    ):
        assert other != voice
        assert other.digest != voice.digest
    assert voice != "clone"
    with pytest.raises(AttributeError):
        voice.name = "x"
    with pytest.raises(ValueError, match="read-only"):
        voice.embedding[0] = 1


def test_a_voice_does_not_follow_the_arrays_it_was_made_of():
    row = ROW.copy()
    voice = Voice.clone(row)
    row[0] = 9
    assert voice.embedding[0] == ROW[0]


def test_names_do_not_change_what_is_heard():
    assert Voice.clone(ROW, name="a").digest == Voice.clone(ROW, name="b").digest
    assert Voice.clone(ROW, name="a") != Voice.clone(ROW, name="b")
    assert Voice.preset("a").digest != Voice.preset("b").digest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            (np.zeros((2, 3), np.float32),),
            r"embedding is float32 of shape \[2, 3\], expected float32 \[n_embd\]",
        ),
        ((np.zeros(3, np.int32),), "embedding is int32"),
        ((np.zeros(0, np.float32),), "shape"),
        (([[1.0], [1.0, 2.0]],), "ragged"),
        ((np.array([1, np.nan], np.float32),), "not finite"),
        ((ROW, CODES), "codes and no transcript"),
        ((ROW, None, "Hello."), "a transcript and no codes"),
        ((ROW, CODES, " \n"), "the transcript is empty"),
        ((ROW, CODES, 3), "transcript is 3, expected a string"),
        ((ROW, CODES, "a\ud800"), "transcript holds half a character at 1, expected text"),
        ((ROW, CODES[0], "x"), r"codes is int32 of shape \[4\]"),
        ((ROW, CODES.astype(np.float32), "x"), "codes is float32"),
        ((ROW, -CODES, "x"), "codes run from -11 to 0"),
    ],
)
def test_parts_that_make_no_clone(arguments, words: str):
    with pytest.raises(ArgumentError, match=words):
        Voice.clone(*arguments)


def test_words_that_make_no_voice():
    for make, value in ((Voice.preset, ""), (Voice.preset, 3), (Voice.design, "  "), (Voice.design, None)):
        with pytest.raises(ArgumentError, match="expected"):
            make(value)


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", VOICES)
def test_a_file_gives_the_voice_back(kind: str, tmp_path: Path):
    path = tmp_path / "ann.voice"
    VOICES[kind].save(path)
    back = Voice.load(path)
    assert back == VOICES[kind]
    assert (back.kind, back.name, back.transcript) == (
        VOICES[kind].kind, VOICES[kind].name, VOICES[kind].transcript
    )  # fmt: skip
    assert Voice.load(str(path)) == back
    assert [p.name for p in tmp_path.iterdir()] == ["ann.voice"], "nothing is left beside it"


def write(path: Path, tensors: dict[str, np.ndarray] | None = None, **metadata: str) -> Path:
    known = {"format": file.FORMAT, "version": "1", "kind": "clone", "name": "", "family": "qwen3-tts"}
    save_file({"embedding": ROW} if tensors is None else tensors, path, {**known, **metadata})
    return path


@pytest.mark.parametrize(
    ("tensors", "metadata", "words"),
    [
        (None, {"format": "other"}, "a safetensors file of another kind"),
        (None, {"version": "2"}, "has version 2, expected at most 1: a newer pyomni made it"),
        (None, {"version": "1.5"}, "expected a whole number"),
        (None, {"version": "9" * 5000}, "expected a whole number"),
        (None, {"kind": "choir"}, "is of kind 'choir'"),
        ({}, {}, "holds no tensors, expected embedding for a clone"),
        (None, {"transcript": "x"}, "holds embedding, expected codes, embedding"),
        ({"embedding": ROW, "codes": CODES}, {}, "holds codes, embedding, expected embedding"),
        (None, {"kind": "preset", "name": "ryan"}, "holds embedding, expected no tensors for a preset"),
        ({"embedding": CODES}, {}, "embedding is int32"),
        ({"embedding": ROW * np.float32(np.inf)}, {}, "not finite"),
        ({"embedding": ROW, "codes": -CODES}, {"transcript": "x"}, "codes run from"),
        ({"embedding": ROW, "codes": CODES}, {"transcript": " "}, "transcript is empty"),
        ({}, {"kind": "design"}, "description of the voice is empty"),
        ({}, {"kind": "preset"}, "expected the name of a speaker"),
    ],
)
def test_files_that_are_no_voice(tensors, metadata, words: str, tmp_path: Path):
    path = write(tmp_path / "a.voice", tensors, **metadata)
    with pytest.raises(ArgumentError, match=words) as caught:
        Voice.load(path)
    assert str(path) in str(caught.value)


def test_damaged_and_foreign_files(tmp_path: Path):
    whole = tmp_path / "whole.voice"
    VOICES["in context"].save(whole)
    data = whole.read_bytes()
    path = tmp_path / "a.voice"
    for broken in (
        b"", b"RIFF", data[:4], data[:60], data[:-1], data + b"x", b"\xff" * 200,
        struct.pack("<Q", 2**60) + data[8:],
        struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 9) + json.dumps([1, 2, 3]).encode(),
    ):  # fmt: skip
        path.write_bytes(broken)
        with pytest.raises(ArgumentError, match=r"a\.voice'"):
            Voice.load(path)
    for cut in range(0, len(data), 7):
        path.write_bytes(data[:cut])
        with pytest.raises(ArgumentError):
            Voice.load(path)
    with pytest.raises(ArgumentError, match="could not be read: No such file"):
        Voice.load(tmp_path / "none.voice")
    (tmp_path / "folder.voice").mkdir()
    with pytest.raises(ArgumentError, match="is a folder"):
        Voice.load(tmp_path / "folder.voice")


def test_a_file_far_too_large_is_not_read(tmp_path: Path):
    path = tmp_path / "large.voice"
    with path.open("wb") as out:
        out.truncate(file.MAX_BYTES + 1)
    with pytest.raises(ArgumentError, match="expected a voice of at most"):
        Voice.load(path)


def test_a_file_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(OutputFileError):
        VOICES["clone"].save(tmp_path / "no" / "ann.voice")


# --- by name ------------------------------------------------------------------------------------------------


def test_saved_voices(saved: Path):
    assert library.names() == []
    with pytest.raises(ArgumentError, match=r"no voice 'ann' is saved in .*, expected one of: none is saved"):
        Voice.load("ann")
    assert library.save("Ann", VOICES["clone"]) == saved / "ann.voice"
    library.save("bob-2", VOICES["in context"])
    (saved / "notes.txt").write_text("not a voice")
    assert library.names() == ["ann", "bob-2"]
    assert Voice.load("ann") == Voice.load("ANN") == VOICES["clone"]
    library.save("ann", VOICES["design"])
    assert Voice.load("ann") == VOICES["design"], "saving again replaces"
    assert library.remove("Ann") == saved / "ann.voice"
    assert library.names() == ["bob-2"]
    with pytest.raises(ArgumentError, match="expected one of: bob-2"):
        library.remove("ann")


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "../a", "a.voice", ".hidden", "x" * 65, "a\n", "a\0b", "a ", 3, "Nul", "com1.b"]
)
def test_names_that_cannot_be(name):
    with pytest.raises(ArgumentError, match="cannot be used"):
        library.save(name, VOICES["clone"])


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYOMNI_VOICES")
    assert library.folder().name == "voices"
    assert "pyomni" in str(library.folder())


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PYOMNI_VOICES", str(tmp_path / "file" / "voices"))
    assert library.names() == []
    with pytest.raises(OutputFileError, match="could not be made"):
        library.save("ann", VOICES["clone"])


def test_any_change_of_a_byte_is_a_voice_or_an_error(tmp_path: Path):
    path = tmp_path / "a.voice"
    VOICES["in context"].save(path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(400):
        changed = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[at] = rng.integers(0, 256)
        path.write_bytes(changed)
        with contextlib.suppress(ArgumentError):  # and nothing else
            assert Voice.load(path).kind in {"preset", "clone", "design", "none"}
