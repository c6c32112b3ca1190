"""The command line fails well: one line, the right exit code, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toys import toy, variant

from pyomni.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder with the toy as the model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYOMNI_MODEL", str(toy()))
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fails(capsys: pytest.CaptureFixture[str], here: Path, code: int, *argv: str) -> str:
    """Run a command that ends with `code`; return its error line."""
    before = names(here)
    got = main(argv)
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("pyomni: error: ")
    assert got == code, line
    assert names(here) == before, "nothing is left behind"
    return line.removeprefix("pyomni: error: ")


def truncated(here: Path) -> Path:
    path = here / "cut.gguf"
    path.write_bytes(toy().read_bytes()[:100_000])
    return path


def test_model_files_that_are_none(capsys: pytest.CaptureFixture[str], here: Path):
    (here / "text.gguf").write_text("This is not a model.")
    (here / "empty.gguf").touch()
    truncated(here)
    for model, words in (
        ("no.gguf", "does not exist, expected a GGUF file"),
        (".", "is a folder, expected a GGUF file"),
        ("text.gguf", "expected a GGUF file"),
        ("empty.gguf", "is empty, expected a GGUF file"),
        ("cut.gguf", "truncated"),
    ):
        for argv in (("speak", "Hi", "-m", model), ("info", model), ("voices", model), ("bench", model)):
            assert words in fails(capsys, here, 3, *argv)


def test_the_same_words_from_the_environment(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYOMNI_MODEL", "gone.gguf")
    assert "gone.gguf" in fails(capsys, here, 3, "speak", "Hi")


def test_texts_voices_and_languages(capsys: pytest.CaptureFixture[str], here: Path):
    (here / "latin.txt").write_bytes(b"caf\xe9")
    (here / "blank.txt").write_text(" \n")
    for argv, words in (
        (("",), "the text is empty"),
        (("  ",), "only white space"),
        (("-f", "none.txt"), "text file 'none.txt' could not be read: No such file"),
        (("-f", "."), "text file '.' could not be read"),
        (("-f", "latin.txt"), "'latin.txt' is not UTF-8 at byte 3"),
        (("-f", "blank.txt"), "only white space"),
        (("Hi", "--voice", "nobody"), "voice 'nobody' is not in this model, expected one of: "),
        (("Hi", "--voice", ""), "expected the name of a speaker"),
        (("Hi", "--language", "klingon"), "expected one of: auto, "),
        (("Hi", "--language", "sichuan_dialect"), "expected one of: auto, "),
        (("x" * 4000, "--split", "never"), "expected at most"),
        (("Hi", "--max-seconds", "1000"), "frames were asked for"),
    ):
        assert words in fails(capsys, here, 4, "speak", "-t", "1", *argv)


def test_codes_files(capsys: pytest.CaptureFixture[str], here: Path):
    np.save("groups.npy", np.zeros((3, 5), np.int32))
    np.save("floats.npy", np.zeros((3, 16), np.float32))
    np.save("range.npy", np.full((3, 16), 10**6, np.int32))
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez("many.npz", a=np.zeros(3))
    Path("text.npy").write_text("codes")
    Path("empty.npy").touch()
    for name in ("groups", "floats", "range", "objects", "text", "empty", "none"):
        assert "expected" in fails(capsys, here, 4, "speak", "-t", "1", "--from-codes", f"{name}.npy")
    assert "is an archive" in fails(capsys, here, 4, "speak", "--from-codes", "many.npz")


def test_a_model_that_cannot(capsys: pytest.CaptureFixture[str], here: Path):
    assert "expected a voice_design model" in fails(
        capsys, here, 4, "speak", "Hi", "-t", "1", "--design", "deep"
    )
    assert "not trained to follow" in fails(capsys, here, 3, "speak", "Hi", "-t", "1", "--instruct", "softly")


def test_outputs_that_cannot_be_written(capsys: pytest.CaptureFixture[str], here: Path):
    (here / "folder.wav").mkdir()
    for argv, words in (
        (
            ("-o", "no/where.wav"),
            "output file 'no/where.wav' could not be written: No such file or directory",
        ),
        (("-o", "folder.wav"), "output file 'folder.wav' is a folder, expected a file name"),
        (("--codes", "no/codes.npy"), "'no/codes.npy' could not be written"),
    ):
        assert words in fails(capsys, here, 5, "speak", "Hi", "-t", "1", *argv)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk(capsys: pytest.CaptureFixture[str], here: Path):
    argv = ("speak", "Hi", "-t", "1", "--max-seconds", "1", "-o", "/dev/full", "--format")
    for name in ("wav", "pcm", "flac"):
        assert "No space left on device" in fails(capsys, here, 5, *argv, name)


def test_devices_that_are_not_there(capsys: pytest.CaptureFixture[str], here: Path):
    assert "abacus9" in fails(capsys, here, 5, "speak", "Hi", "--device", "abacus9")
    assert fails(capsys, here, 5, "speak", "Hi", "-t", "100000")


def test_no_player(capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(here))
    assert "no player for wav was found" in fails(capsys, here, 5, "speak", "Hi", "--play")


def test_convert_what_is_no_checkpoint(capsys: pytest.CaptureFixture[str], here: Path):
    (here / "empty").mkdir()
    for source in ("none", "empty", str(toy())):
        fails(capsys, here, 3, "convert", source, "out.gguf")


def test_failure_keeps_the_old_output(capsys: pytest.CaptureFixture[str], here: Path):
    (here / "speech.wav").write_bytes(b"precious")
    fails(capsys, here, 4, "speak", "Hi", "-t", "1", "--voice", "nobody")
    assert (here / "speech.wav").read_bytes() == b"precious"


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(here: Path, number: signal.Signals):
    (here / "a.wav").write_bytes(b"precious")
    command = [sys.executable, "-m", "pyomni", "speak", "Hi", "-t", "1", "--no-guard", "--max-seconds", "150"]
    command += ["-m", str(variant("custom_voice")), "-o", "a.wav", "--codes", "codes.npy"]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs us in the background lets its children ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    part = None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        part = next((p for p in here.glob(".a.wav.*.part") if p.stat().st_size > 44), None)
        if part is not None:
            break  # samples are on the disk: it is speaking
        time.sleep(0.01)
    assert part is not None, "it was to be interrupted while it speaks"
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert out == ""
    assert err == "pyomni: error: interrupted, nothing was written\n"
    assert names(here) == {"a.wav"}
    assert (here / "a.wav").read_bytes() == b"precious"


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_reader_that_leaves(here: Path):
    command = f"{sys.executable} -m pyomni speak Hi -t 1 --max-seconds 60 --no-guard -o - -q"
    command += f" -m {variant('custom_voice')}"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -c 100 > got; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "5\n"
    assert done.stderr == "pyomni: error: stdout could not be written: Broken pipe\n"
    assert (here / "got").stat().st_size == 100
