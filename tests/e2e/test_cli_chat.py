"""`pyomni chat` and `transcribe`: one question with files, a conversation, and what goes wrong."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_omni import omni_gguf

from pyomni.cli.main import main
from pyomni.receipt import Receipt

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return omni_gguf(tmp_path_factory.mktemp("omni") / "toy.gguf")


@pytest.fixture
def run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Return a function that runs the command in a folder with a clip and a picture."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    with wave.open("q.wav", "wb") as clip:
        clip.setparams((1, 2, 16000, 0, "NONE", ""))
        clip.writeframes((np.sin(np.arange(12_000) / 9) * 8000).astype("<i2").tobytes())
    Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)).save("cat.png")

    def command(*args: str, stdin: str | None = None) -> tuple[int, str, str]:
        if stdin is not None:
            text = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
            monkeypatch.setattr("sys.stdin", text)
        verb, *rest = args
        code = main([verb, *rest, "-m", str(path), "-t", "1", "--device", "cpu"])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def seconds(path: Path | str) -> float:
    with wave.open(str(path)) as clip:
        return clip.getnframes() / clip.getframerate()


def test_a_question_with_files_answered_aloud(run: Run) -> None:
    args = ("chat", "What?", "--audio", "q.wav", "--image", "cat.png", "--seed", "3", "--max-tokens", "9")
    code, text, err = run(*args)
    assert code == 0
    assert text.endswith("\n")
    assert "cut at 9 tokens" in err
    spoken = ("--speak", "answer.wav", "--voice", "aiden", "--max-seconds", "0.8")
    code, said, _ = run(*args, *spoken, "--packed")
    assert code == 0
    assert said == text
    assert seconds("answer.wav") == (10 * 1920 - 555) / 24000
    assert Receipt.read("answer.wav").frames == 10


def test_json_is_one_object(run: Run) -> None:
    code, out, _ = run("chat", "-", "--json", "--greedy", "--max-tokens", "5", stdin="What is it?")
    assert code == 0
    found = json.loads(out)
    assert found["tokens"] == 5
    assert found["finish_reason"] == "length"
    assert found["frames"] == 0
    assert found["prompt_tokens"] == 3 + len("What is it?") + 2 + 3  # the frame of two turns


def test_a_transcript(run: Run) -> None:
    code, out, _ = run("transcribe", "q.wav", "--max-tokens", "6")
    assert code == 0
    code, found, _ = run("transcribe", "q.wav", "--max-tokens", "6", "--json", "--language", "english")
    assert code == 0
    assert json.loads(found)["tokens"] == 6
    code, again, _ = run("transcribe", "q.wav", "--max-tokens", "6")
    assert again == out  # greedy


def test_a_conversation(run: Run) -> None:
    lines = [
        "Hello there.", "/audio q.wav", "/image cat.png", "What are these?", "/speak s.wav", "Aloud.",
        "Again.", "/speak off", "", "/save talk", "/clear", "/load talk", "More?", "/quit", "never asked",
    ]  # fmt: skip
    code, out, err = run(
        "chat", "--max-tokens", "4", "--seed", "2", "--max-seconds", "0.5", "--save", "end",
        stdin="\n".join(lines) + "\n",
    )  # fmt: skip
    assert code == 0
    assert "error" not in err
    assert seconds("s.wav") > 0.3
    assert seconds("s-2.wav") > 0.3
    assert not Path("s-3.wav").exists()
    assert Path("talk").stat().st_size > 1000
    # gone on with, one shot: the third line is that of the conversation
    code, more, _ = run("chat", "More?", "--load", "talk", "--max-tokens", "4", "--seed", "2")
    assert code == 0
    assert out.endswith(more)
    assert Path("end").exists()


def test_a_conversation_goes_on_after_an_error(run: Run) -> None:
    lines = [
        "/audio nowhere.wav",
        "/image q.wav",
        "What?",
        "/jump",
        "/save",
        "/load q.wav",
        "/speak a.xyz",
        "Hi.",
    ]
    code, out, err = run("chat", "--max-tokens", "4", stdin="\n".join(lines))
    assert code == 0
    errors = [line for line in err.splitlines() if "error" in line]
    expected = (
        "'nowhere.wav' is not there",
        "q.wav: is not an image",
        "/jump is no command",
        "/save was given no file",
        "damaged or no saved conversation",
        "xyz",
    )
    for words, line in zip(expected, errors, strict=True):
        assert words in line
    assert out.strip()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("chat", "x", "--audio", "nowhere.wav"), 4, "audio 'nowhere.wav' is not there"),
        (("chat", "x", "--image", "q.wav"), 4, "is not an image"),
        (("chat", " "), 4, "the prompt is empty"),
        (("chat", "x", "--speak", "-"), 2, "--speak is -"),
        (("chat", "x", "--speak", "a.xyz"), 2, "xyz"),
        (("chat", "x", "--speak", "nowhere/a.wav"), 5, "could not be written"),
        (("chat", "x", "--speak", "a.wav", "--voice", "bob"), 4, "voice 'bob' is not in this model"),
        (("chat", "--json"), 2, "--json was given without a PROMPT"),
        (("chat", "x", "--temperature", "-1"), 2, "temperature is -1"),
        (("chat", "x", "--load", "q.wav"), 3, "no saved conversation"),
        (("chat", "x", "--load", "nowhere"), 4, "could not be read"),
        (("chat", "x", "--system", "y", "--load", "z"), 2, "expected one of them"),
        (("chat", "x" * 70_000), 4, "expected fewer than the 65536"),
        (("transcribe", "nowhere.wav"), 4, "is not there"),
    ],
)
def test_what_goes_wrong_is_one_line(run: Run, args: tuple[str, ...], code: int, words: str) -> None:
    found, out, err = run(*args)
    assert found == code, err
    assert words in err
    assert len(err.splitlines()) == 1
    assert out == ""
    assert not Path("a.wav").exists()


def test_the_wrong_kind_of_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **_: Any
) -> None:
    from toys import toy

    monkeypatch.delenv("PYOMNI_MODEL", raising=False)
    assert main(["chat", "x"]) == 3
    assert "no model was given" in capsys.readouterr().err
    assert main(["chat", "x", "-m", str(toy())]) == 3
    assert "expected a Qwen3-Omni one" in capsys.readouterr().err
