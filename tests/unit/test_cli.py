"""The command line without a model: usage, exit codes, error lines, and the page made from the parser."""

from __future__ import annotations

import argparse
import errno
import io
import os
import signal
import sys
from pathlib import Path

import pytest

from pyomni import errors
from pyomni.cli import main
from pyomni.cli import speak as speak_verb
from pyomni.cli.docs import markdown
from pyomni.cli.main import parser

VERBS = ("speak", "serve", "voices", "info", "pull", "convert", "doctor", "bench")


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def error_line(err: str) -> str:
    """Return the one line an error is."""
    assert err.startswith("pyomni: error: ")
    assert err.count("\n") == 1
    return err.removeprefix("pyomni: error: ").rstrip("\n")


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(capsys: pytest.CaptureFixture[str], verb: str):
    code, out, err = run(capsys, verb, "--help")
    assert code == 0
    assert not err
    assert f"pyomni {verb}" in out[out.index("example") :]


def test_version(capsys: pytest.CaptureFixture[str]):
    assert run(capsys, "--version")[1].startswith("pyomni 0.")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "VERB"),
        (["shout"], "shout"),
        (["speak"], "found nothing to say, expected one of TEXT, -f FILE, - or --from-codes"),
        (["speak", "hi", "-f", "a.txt"], "found TEXT and -f"),
        (["speak", "hi", "--from-codes", "a.npy"], "found TEXT and --from-codes"),
        (["speak", "hi", "-o", "a.xyz"], "ends in '.xyz', expected one of: wav, flac"),
        (["speak", "hi", "-o", "speech"], "has no extension"),
        (["speak", "hi", "--format", "aiff"], "format 'aiff'"),
        (["speak", "hi", "--temperature", "-1"], "temperature is -1.0, expected a number 0 (greedy) or more"),
        (["speak", "hi", "--top-p", "1.5"], "top_p is 1.5"),
        (["speak", "hi", "--top-k", "-3"], "top_k is -3"),
        (["speak", "hi", "--seed", "-3"], "seed is -3"),
        (["speak", "hi", "--seed", "x"], "--seed"),
        (["speak", "hi", "--max-seconds", "0"], "--max-seconds is 0, expected more than 0"),
        (["speak", "hi", "--split", "words"], "invalid choice: 'words'"),
        (["speak", "hi", "--pause", "-1"], "pause is -1.0, expected a number of seconds from 0 to 60"),
        (["speak", "hi", "--threads", "0"], "expected 1 or more"),
        (["speak", "hi", "--lanes", "0"], "expected 1 or more"),
        (["speak", "hi", "--json", "-o", "-"], "--json and -o - both write to stdout"),
        (["speak", "hi", "--codes", "-"], "--codes is -"),
        (["speak", "hi", "--design", "a", "--instruct", "b"], "--design and --instruct were both given"),
        (["speak", "hi", "--play", "-o", "-"], "--play needs a file it can play"),
        (["convert", "a"], "OUT.gguf"),
        (["convert", "a", "b", "--type", "q3"], "q3"),
        (["bench", "--frames", "0"], "expected 1 or more"),
    ],
)
def test_wrong_usage_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    words: str,
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert words in error_line(err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ModelFileError("x"), 3),
        (errors.ModelFormatError("x"), 3),
        (errors.UnsupportedModel("x"), 3),
        (errors.ArgumentError("x"), 4),
        (errors.AudioError("x"), 4),
        (errors.ContextFull("x"), 4),
        (errors.OutOfMemory("x"), 5),
        (errors.OutputFileError("x"), 5),
        (errors.DeviceError("x"), 5),
        (MemoryError(), 5),
        (errors.SessionBusy("x"), 1),
        (errors.SessionBroken("x"), 1),
        (errors.InternalError("x"), 1),
        (errors.PyOmniError("x"), 1),
        (ZeroDivisionError("x"), 1),
        (errors.Cancelled("x"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_class_has_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
):
    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(speak_verb, "run", fail)
    got, out, err = run(capsys, "speak", "hi")
    assert (got, out) == (code, "")
    assert error_line(err)
    assert "Traceback" not in err


def test_debug_shows_where(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def fail(args: argparse.Namespace) -> int:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(speak_verb, "run", fail)
    code, _, err = run(capsys, "speak", "hi")
    assert code == 1
    assert error_line(err) == "a bug: ZeroDivisionError: two lines; --debug shows where"
    _, _, err = run(capsys, "speak", "hi", "--debug")
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("pyomni: error: ")


def test_output_errors_keep_their_number(tmp_path: Path):
    from pyomni.audio.formats import output_file

    with pytest.raises(errors.OutputFileError) as caught, output_file(tmp_path / "no" / "a.wav"):
        pass
    assert caught.value.errno == errno.ENOENT


def test_the_page_is_current():
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text(encoding="utf-8") == markdown(), "run: python -m pyomni.cli.docs > docs/cli.md"


def test_the_page_covers_every_flag():
    text = markdown()
    for verb in VERBS:
        assert f"## `pyomni {verb}`" in text
    for flag in (
        "--voice",
        "--design",
        "--instruct",
        "--language",
        "--seed",
        "--temperature",
        "--top-k",
        "--top-p",
        "--repetition-penalty",
        "--predictor-temperature",
        "--predictor-top-k",
        "--predictor-top-p",
        "--greedy",
        "--max-seconds",
        "--format",
        "--play",
        "--codes",
        "--from-codes",
        "--lanes",
        "--no-guard",
        "--model",
        "--device",
        "--threads",
        "--quiet",
        "--json",
        "--debug",
    ):
        assert flag in text


def test_every_argument_says_what_it_is():
    top = parser()
    verbs = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    for verb in verbs.choices.values():
        assert all(action.help for action in verb._actions)


def test_windows_standard_streams_speak_utf8(monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    main(["--version"])
    print("Grüße, 世界")  # the second word is in no code page of the West
    sys.stdout.flush()
    assert raw.getvalue().decode("utf-8").endswith("Grüße, 世界\n")


@pytest.mark.parametrize(
    ("system", "number", "code"),
    [("win32", errno.EINVAL, 5), ("linux", errno.EPIPE, 5), ("linux", errno.EINVAL, 1)],
)
def test_a_closed_standard_output_is_known_by_what_the_system_calls_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], system: str, number: int, code: int
):
    def closed(args: argparse.Namespace) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(speak_verb, "run", closed)
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # the streams stay those of the tests
    assert main(["speak", "hi", "-o", "-"]) == code
    assert ("closed by its reader" in capfd.readouterr().err) == (code == 5)


def test_what_a_system_has_to_end_a_program_interrupts_it(monkeypatch: pytest.MonkeyPatch):
    seen = {}

    def look(args: argparse.Namespace) -> int:
        seen.update({number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)})
        return 0

    before = signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)  # Ctrl-Break, on Windows
    monkeypatch.setattr(speak_verb, "run", look)
    assert main(["speak", "hi", "-o", "-"]) == 0
    for handler in seen.values():
        with pytest.raises(KeyboardInterrupt):
            handler(0, None)
    assert signal.getsignal(signal.SIGUSR1) == before
