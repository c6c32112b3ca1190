"""``pyomni batch``: the same speech as alone, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import pyomni
from pyomni.cli import main

LINES = [{"text": f"Number {n} of the list.", "id": f"n{n}", "seed": n} for n in range(8)]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert len({line["id"] for line in lines}) == len(lines), "one line each"
    return {line["id"]: line for line in lines}


@pytest.fixture(scope="module")
def alone() -> dict[str, np.ndarray[Any, Any]]:
    """What each line sounds like by itself."""
    with pyomni.load(threads=1) as model:
        return {
            str(line["id"]): model.speak(
                str(line["text"]), options=pyomni.SpeechOptions(seed=int(line["seed"]))
            ).audio
            for line in LINES
        }


def check(folder: Path, alone: dict[str, np.ndarray[Any, Any]]) -> None:
    for name, line in manifest(folder).items():
        pcm, _ = soundfile.read(folder / line["output"], dtype="float32")
        assert np.abs(pcm - alone[name]).max() <= 1 / 32768
        assert line["receipt"]["seed"] == line["seed"] == int(name[1:])


def batch(*argv: object) -> int:
    return main(["batch", *map(str, argv), "-t", "1"])


def test_a_batch(
    tmp_path: Path, alone: dict[str, np.ndarray[Any, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    lines = write(tmp_path / "in.jsonl", [*LINES, {"text": ""}, {"text": "Hi.", "voice": "nobody"}])
    assert batch(lines, out, "--lanes", 3, "--json") == 4
    said = capsys.readouterr()
    assert json.loads(said.out)["spoken"] == 8
    assert said.err.splitlines()[-1] == (
        f"pyomni: error: 2 records failed: {out / 'manifest.jsonl'} says why, line by line"
    )
    assert "voice 'nobody' is not in this model" in manifest(out)["000010"]["error"]
    write(lines, LINES)
    stamps = {path.name: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    assert batch(lines, out, "--lanes", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "output": str(out), "spoken": 0, "before": 8, "failed": 0, "seconds": 0.0
    }  # fmt: skip
    assert stamps == {path.name: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    check(out, alone)
    write(lines, [{**LINES[0], "text": "Something else."}, *LINES[1:]])
    assert batch(lines, out, "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["spoken"], done["before"]) == (1, 7)


def test_other_formats_and_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'\xef\xbb\xbf{"text": "Hi."}\n\xff\n')))
    assert batch("-", tmp_path, "--format", "flac", "-q") == 4
    assert soundfile.info(tmp_path / "000001.flac").frames > 4000
    assert "is not JSON" in manifest(tmp_path)["000002"]["error"]
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert batch("nowhere.jsonl", tmp_path / "new") == 4
    assert "'nowhere.jsonl' could not be read" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert batch("-", tmp_path, "--format", "xyz") == 2


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A batch that has done some of its records, and not all."""
    lines = write(tmp_path / "in.jsonl", LINES)
    argv = [sys.executable, "-m", "pyomni", "batch", lines, tmp_path / "out", "-t", "1", "--lanes", "2"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(argv, env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    path = tmp_path / "out" / "manifest.jsonl"
    while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") >= 2):
        time.sleep(0.005)
    yield process
    process.kill()
    process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_stopped_half_way(
    how: str,
    running: subprocess.Popen[str],
    tmp_path: Path,
    alone: dict[str, np.ndarray[Any, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    running.send_signal(getattr(signal, how))
    _, err = running.communicate()
    if how != "SIGKILL":
        assert running.returncode == 130
        assert err.splitlines()[-1].startswith("pyomni: error: interrupted after ")
        assert not list(out.glob(".*.part"))
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    known = [line["output"] for line in manifest(out).values()]
    assert 2 <= len(known) < len(LINES), "stopped half way"
    assert batch(tmp_path / "in.jsonl", out, "--json", "-q") == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["before"], done["spoken"]) == (len(known), len(LINES) - len(known))
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    assert all(after[name] == before[name] for name in known), "nothing is made twice"
    assert len(manifest(out)) == len(LINES)
    check(out, alone)
