"""Lines of a batch: what they may say, and what is said of those that may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyomni.batch import BadRecord, Folder, Record, read_records
from pyomni.errors import ArgumentError, OutputFileError


def one(defaults: dict[str, Any] | None = None, **fields: Any) -> Record:
    [record] = read_records([json.dumps(fields)], defaults)
    assert isinstance(record, Record), record
    return record


def test_what_a_line_says() -> None:
    record = one(text="Hi.", id="a-1", voice="ryan", seed=7, max_seconds=2)
    assert (record.line, record.id, record.text, record.options.seed) == (1, "a-1", "Hi.", 7)
    assert record.max_seconds == 2
    lines = ['{"text": "One."}', "", '{"text": "Two.", "id": 12}']
    assert [(r.line, r.id) for r in read_records(lines)] == [(1, "000001"), (3, "12")]


def test_defaults_are_for_what_a_line_does_not_say() -> None:
    defaults = {"clone": "a.wav", "transcript": "A.", "seed": 3, "language": "english"}
    assert one(defaults, text="Hi.").words == {
        "text": "Hi.", "clone": "a.wav", "transcript": "A.", "language": "english"
    }  # fmt: skip
    record = one(defaults, text="Hi.", voice="ryan", seed=4)
    assert (dict(record.words), record.options.seed) == (
        {"text": "Hi.", "voice": "ryan", "language": "english"},
        4,
    )


def test_the_key_is_of_all_that_shapes_the_sound() -> None:
    same = one(text="Hi.", id="a").key("wav")
    assert one(text="Hi.", id="b").key("wav") == same
    others = [
        one(text="Hi!").key("wav"),
        one(text="Hi.", voice="ryan").key("wav"),
        one(text="Hi.", seed=1).key("wav"),
        one(text="Hi.", max_seconds=1).key("wav"),
        one(text="Hi.").key("flac"),
    ]
    assert len({same, *others}) == 6


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is list"),
        ("{}", "has no text"),
        ('{"text": " "}', "has no text"),
        ('{"text": 3}', "text is 3"),
        ('{"text": "a", "txet": 1}', "has 'txet'"),
        ('{"text": "a", "id": "../a"}', "id is '../a'"),
        ('{"text": "a", "id": ".hidden"}', "id is '.hidden'"),
        ('{"text": "a", "id": true}', "id is True"),
        ('{"text": "a", "id": "AUX"}', "id is 'AUX'"),
        ('{"text": "a", "id": "con.1"}', "id is 'con.1'"),
        ('{"text": "a", "voice": "x", "clone": "y"}', "has voice and clone"),
        ('{"text": "a", "transcript": "y"}', "a transcript without clone"),
        ('{"text": "a", "seed": -1}', "seed is -1"),
        ('{"text": "a", "temperature": "hot"}', "temperature is 'hot'"),
        ('{"text": "a", "max_seconds": 0}', "max_seconds is 0"),
    ],
)
def test_a_bad_line_is_told(line: str, words: str) -> None:
    bad, good = read_records([line, '{"text": "Hi."}'])
    assert isinstance(good, Record)
    assert isinstance(bad, BadRecord)
    assert words in str(bad.error)


def test_an_id_is_given_once() -> None:
    _, bad = read_records(['{"text": "a", "id": "x"}', '{"text": "b", "id": "X"}'])
    assert isinstance(bad, BadRecord)
    assert "'X' was used before" in str(bad.error)
    assert bad.id == "000002"


# --- the folder -------------------------------------------------------------------------------------------


def spoken(folder: Folder, name: str) -> None:
    (folder.path / f"{name}.wav").write_bytes(b"sound")
    folder.add({"id": name, "input": f"key of {name}", "output": f"{name}.wav", "bytes": 5})


def test_what_is_done_is_known_again(tmp_path: Path) -> None:
    with Folder(tmp_path / "out") as folder:
        for name in ("a", "b", "c"):
            spoken(folder, name)
        folder.add({"id": "d", "input": "key of d", "error": "no"})
    manifest = tmp_path / "out" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes() + b'{"id": "e", "outp')  # killed there
    (tmp_path / "out" / "b.wav").unlink()
    (tmp_path / "out" / "c.wav").write_bytes(b"sou")
    (tmp_path / "out" / ".e.wav.0a0b.part").write_bytes(b"so")
    with Folder(tmp_path / "out") as folder:
        found = [name for name in "abcde" if folder.has(name, f"key of {name}")]
        assert found == ["a"]
        assert not folder.has("a", "another key")
    assert len(manifest.read_text().splitlines()) == 1
    assert not list((tmp_path / "out").glob(".*.part"))


def test_a_folder_is_one_process_s(tmp_path: Path) -> None:
    with Folder(tmp_path), pytest.raises(ArgumentError, match="another pyomni batch"), Folder(tmp_path):
        pass
    with Folder(tmp_path):
        pass


def test_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFileError, match="could not be written"), Folder(tmp_path / "file"):
        pass
    (tmp_path / "manifest.jsonl").write_text("[]\n")
    with pytest.raises(ArgumentError, match="line 1 is no record's"), Folder(tmp_path):
        pass
    (tmp_path / "manifest.jsonl").unlink()
    with Folder(tmp_path):  # the lock was given back
        pass
