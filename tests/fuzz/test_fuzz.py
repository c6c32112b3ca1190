"""A short run of the fuzzing that CI does at length, and that a bad ending would be seen."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzz import run
from fuzz.layouts import Layout, gguf_layout, wav_layout
from fuzz.mutators import damaged
from fuzz.readers import READERS


@pytest.mark.parametrize("reader", run.NAMES)
def test_every_damaged_file_is_read_or_refused(
    reader: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run.main([reader, "--count", "300", "--jobs", "1", "--seed", "7", "--keep", str(tmp_path)])
    out, err = capfd.readouterr()
    assert code == 0, err
    assert f"{reader}: 300 files, 0 findings" in out
    assert "read" in out.partition("(")[2], (
        "some get through, so what comes behind the first check is tried too"
    )


def test_the_readers_are_those_that_are_offered() -> None:
    assert list(READERS) == run.NAMES


def test_a_case_is_the_same_file_again(tmp_path: Path) -> None:
    READERS["voice"].seeds(tmp_path)
    made = [READERS["voice"].damage(tmp_path, random.Random(f"voice 3 {case}")) for case in range(40)]
    assert made == [READERS["voice"].damage(tmp_path, random.Random(f"voice 3 {case}")) for case in range(40)]
    assert len({data for _, data in made}) > 30


@pytest.mark.parametrize("end", ["raises", "dies", "starts not"])
def test_a_bad_ending_is_a_finding(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    bad = {"raises": "raise RuntimeError('odd')", "dies": "os.abort()"}.get(end, "")
    patch = f"import os, fuzz.readers as r\ndef read(path, folder):\n    {bad or 'pass'}\n"
    patch += "r.READERS['wav'] = r.READERS['wav']._replace(read=read)\n"
    if end == "starts not":
        patch = "raise SystemExit('no such module')\n"
    # a child imports this by way of its first import from here
    (site / "sitecustomize.py").write_text(f"import sys\nif sys.argv[:1] == ['-m']:\n    exec({patch!r})\n")
    environment = run.environment

    def patched(native: Path | None) -> dict[str, str]:
        env = environment(native)
        return {**env, "PYTHONPATH": f"{site}:{env['PYTHONPATH']}"}

    monkeypatch.setattr(run, "environment", patched)
    options = ["wav", "--count", "3", "--jobs", "1", "--keep", str(tmp_path / "kept")]
    if end == "starts not":
        with pytest.raises(SystemExit, match="could not start"):
            run.main(options)
        return
    assert run.main(options) == 1
    out, err = capfd.readouterr()
    assert "3 findings" in out
    assert "--seed 0 --only 2" in err
    assert len(list((tmp_path / "kept").glob("wav-0-*"))) == 3


def test_the_layouts_find_what_there_is(tmp_path: Path) -> None:
    for name, layout, kinds in (
        ("gguf", gguf_layout, {"count", "shape", "offset", "array length", "value", "tensor type"}),
        ("wav", wav_layout, {"size", "field"}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        READERS[name].seeds(folder)
        path = sorted(folder.iterdir())[0]
        found: Layout = layout(path.read_bytes())
        assert kinds <= set(found.numbers)
        assert found.entries
        assert 0 < found.header <= path.stat().st_size
        assert damaged(path.read_bytes(), found, random.Random(1)) != path.read_bytes()
