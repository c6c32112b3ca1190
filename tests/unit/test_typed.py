"""Type hints, as a user's type checker sees the installed package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyomni

PROGRAM = """
from collections.abc import AsyncIterator, Iterator
from typing import assert_type
import numpy as np
import numpy.typing as npt
import pyomni

def speak(model: pyomni.SpeechModel) -> str:
    speech = model.speak("Hello.", voice=pyomni.Voice.design("deep"), options=pyomni.SpeechOptions(seed=7))
    assert_type(speech, pyomni.Speech)
    assert_type(speech.audio, npt.NDArray[np.float32])
    assert_type(speech.receipt, pyomni.Receipt | None)
    with model.stream("Hello.") as stream:
        assert_type(stream.seed, int)
        assert_type(next(stream), npt.NDArray[np.float32])
    assert_type(model.speak_many(["a"]), list[pyomni.Speech])
    assert_type(model.speak_each([]), Iterator[pyomni.Speech | pyomni.PyOmniError])
    return speech.finish_reason

async def later(model: pyomni.SpeechModel, omni: pyomni.OmniModel) -> None:
    async for block in model.astream("Hello."):
        assert_type(block, npt.NDArray[np.float32])
    async for event in omni.astream_reply([{"role": "user", "content": "Hello."}]):
        assert_type(event, pyomni.ReplyEvent)

def converse(omni: pyomni.OmniModel) -> str:
    reply = omni.reply([{"role": "user", "content": "Hello."}], speak=True)
    assert_type(reply.speech, pyomni.Speech | None)
    assert_type(omni.transcribe("talk.mp3"), str)
    assert_type(omni.conversation().say("Hello."), pyomni.Reply)
    return reply.text

model = pyomni.load("model.gguf")
print(speak(model) if isinstance(model, pyomni.SpeechModel) else converse(model))
"""


#: As of an installed package: what is inside it is not the user's business.
CONFIG = "[mypy]\nstrict = true\npython_version = 3.11\n[mypy-pyomni.*]\nfollow_imports = silent\n"


def test_a_strict_program_passes_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    (tmp_path / "pyomni").symlink_to(Path(pyomni.__file__).parent)
    (tmp_path / "mypy.ini").write_text(CONFIG)
    (tmp_path / "right.py").write_text(PROGRAM)
    wrong = PROGRAM.replace("seed=7", "seed='7'").replace("reply.text", "reply.txt")
    (tmp_path / "wrong.py").write_text(wrong)
    env = {**os.environ, "MYPYPATH": ""}
    run = [sys.executable, "-m", "mypy", "right.py", "wrong.py"]
    said = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=env).stdout.splitlines()
    errors = "\n".join(line for line in said if ": error:" in line)
    assert "right.py" not in errors
    assert 'wrong.py:9: error: Argument "seed"' in errors
    assert '"Reply" has no attribute "txt"' in errors


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(pyomni.__file__).with_name("py.typed").is_file()
