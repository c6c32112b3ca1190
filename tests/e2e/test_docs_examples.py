"""The examples of the README and of docs/, run with toys in place of real models and checkpoints.

A block below ``<!-- not run: WHY -->`` is not run; its Python has to compile, and its `pyomni` lines have to
be ones that the command line takes; so with docs/cli.md, which is the help of the verbs. Blocks of shell hold
lines that begin with ``pyomni`` (after a ``$`` or not), each run in this process; what is after a ``#`` is a
comment. The Python blocks of a page share their names; `model` is open in each.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
from tiny_omni import omni_checkpoint
from toy_model import EOS_LOGIT, SEED, SIZES
from toys import toy, variant

import pyomni
from pyomni.cli.main import main, parser
from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Marks of what .ci/run runs.
ELSEWHERE = ("install-command", "test-command")
LANGUAGES = "python|bash|sh|console"
BLOCK = re.compile(rf"(?:^<!-- ([^\n]*?) -->\n)?^```({LANGUAGES})\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: Where the example of docs/serve.md expects a server.
SERVER = "http://127.0.0.1:8080"


class Block(NamedTuple):
    """A fenced block: the words of the comment above it, its language, and what is in it."""

    mark: str
    language: str
    text: str

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run: ") and self.mark not in ELSEWHERE


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = [Block(*one) for one in BLOCK.findall(text)]
    assert len(found) == len(re.findall(rf"^```(?:{LANGUAGES})$", text, re.MULTILINE)), page
    return [one._replace(mark="not run: help") for one in found] if page.name == "cli.md" else found


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the arguments of each `pyomni` line; of one in a pipe, those before and after it are left out."""
    for line in block.text.splitlines():
        line = line.removeprefix("$ ")
        if line.startswith("pyomni "):
            words = shlex.split(line, comments=True)
            end = next((i for i, word in enumerate(words) if word in ("|", "&&")), len(words))
            yield words[1:end]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples find beside them."""
    out = tmp_path_factory.mktemp("examples")
    shutil.copy(toy(), out / "model.gguf")
    shutil.copy(variant("base"), out / "base.gguf")
    for name in ("Qwen3-TTS-12Hz-0.6B-CustomVoice", "CHECKPOINT"):
        write_checkpoint(
            out / name, "custom_voice", checkpoint_dims("tiny", **SIZES), SEED, eos_logit=EOS_LOGIT
        )
    omni = omni_checkpoint(out / "Qwen3-Omni-30B-A3B-Instruct")
    generation = omni / "generation_config.json"  # toys do not end by themselves
    short = {"thinker_max_new_tokens": 12, "talker_max_new_tokens": 12}
    generation.write_text(json.dumps({**json.loads(generation.read_text()), **short}))
    t = np.arange(36000) / 24000
    voice = 0.3 * np.sin(2 * np.pi * 150 * t) * (np.sin(2 * np.pi * 1.5 * t) > 0)
    for name in ("ann.wav", "question.wav", "talk.mp3"):
        soundfile.write(out / name, voice, 24000)
    (out / "story.txt").write_text("Once upon a time.\n")
    (out / "texts.txt").write_text("One.\nTwo.\n")
    (out / "lines.jsonl").write_text('{"text": "One."}\n{"text": "Two."}\n')
    return out


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, as the working directory and the home of saved voices."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYOMNI_VOICES", str(folder / "voices"))
    monkeypatch.setattr("sys.stdin", io.StringIO())  # a conversation ends at once
    return folder


@pytest.fixture
def address(here: Path) -> Iterator[str]:
    """Where a server is."""
    argv = [sys.executable, "-m", "pyomni", "serve", "-m", "model.gguf", "--port", "0", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"]
        process.terminate()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page: Path, here: Path, request: pytest.FixtureRequest) -> None:
    todo = [block for block in blocks(page) if block.runs]
    if not todo:
        return  # the other test has this page's
    with pyomni.load("model.gguf") as model:
        names: dict[str, Any] = {
            "pyomni": pyomni,
            "model": model,
            "words_as_they_come": iter(["One, ", "two."]),
        }
        for block in todo:
            if block.language == "python":
                text = block.text
                if SERVER in text:
                    text = text.replace(SERVER, request.getfixturevalue("address"))
                exec(compile(text, str(page), "exec"), names)
                continue
            run = list(commands(block))
            assert len(run) == len(block.text.splitlines()), f"{block.text!r} has lines that are not run"
            for argv in run:
                assert main(argv) == 0, argv


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_that_do_not_run_are_right_as_far_as_can_be_told(page: Path) -> None:
    for block in blocks(page):
        if block.runs:
            continue
        if block.language == "python":
            compile(block.text, str(page), "exec")
        for argv in commands(block):
            parser().parse_args(argv)


def test_the_page_of_names_has_all_of_them() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    found = re.findall(r"^::: pyomni\.(\w+)$", page, re.MULTILINE)
    assert sorted(found) == sorted(set(pyomni.__all__) - {"__version__"})


def test_a_wrong_example_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: why -->\n```bash\n$ pyomni speak Hello --colour red | aplay # so\n```\n")
    [block] = blocks(page)
    assert (block.mark, block.runs) == ("not run: why", False)
    [argv] = commands(block)
    assert argv == ["speak", "Hello", "--colour", "red"]
    with pytest.raises(SystemExit):
        parser().parse_args(argv)
