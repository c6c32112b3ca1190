"""The ways of speaking take the same arguments, and the public names are there."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pyomni
from pyomni.api import Conversation, OmniModel, SpeechModel


def parameters(name: str, kind: type = SpeechModel) -> list[inspect.Parameter]:
    return list(inspect.signature(getattr(kind, name)).parameters.values())


def test_speaking_and_streaming_take_the_same_arguments():
    for name in ("stream", "astream", "codes"):
        assert parameters(name) == parameters("speak"), name


def test_many_texts_take_the_same_options():
    assert parameters("speak_many")[2:] == parameters("speak")[2:]
    assert parameters("speak_many")[1].name == "texts"


def test_promised_names_are_there():
    for name in (
        "speak",
        "stream",
        "astream",
        "speak_many",
        "codes",
        "decode",
        "resume",
        "encode",
        "clone",
        "encode",
        "speakers",
        "languages",
        "info",
        "sample_rate",
        "hop",
        "close",
    ):
        assert hasattr(SpeechModel, name), name
    assert list(inspect.signature(pyomni.load).parameters)[:4] == ["path", "device", "threads", "lanes"]
    for name in pyomni.__all__:
        assert getattr(pyomni, name) is not None


def test_every_way_of_answering_takes_the_same_options():
    options = parameters("reply", OmniModel)[2:]
    for name in ("stream_reply", "astream_reply", "reply_many"):
        assert parameters(name, OmniModel)[2:] == options, name
    assert parameters("stream", Conversation)[2:] == options
    assert [p.name for p in parameters("transcribe", OmniModel)] == ["self", "audio", "language", "options"]
    assert parameters("stream_transcript", OmniModel) == parameters("transcribe", OmniModel)


def test_every_error_is_in_the_family_and_in_the_package():
    from pyomni import errors

    for name in errors.__all__:
        kind = UserWarning if name.endswith("Warning") else errors.PyOmniError
        assert issubclass(getattr(errors, name), kind)
        assert getattr(pyomni, name) is getattr(errors, name)
    assert issubclass(errors.ArgumentError, ValueError)
    assert issubclass(errors.ModelFileError, OSError)
    assert issubclass(errors.ModelFormatError, ValueError)
    assert issubclass(errors.OutOfMemory, MemoryError)
    assert issubclass(errors.AudioError, ValueError)
    assert issubclass(errors.InternalError, RuntimeError)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, pyomni, pyomni.cli; print([m for m in ('numpy', 'tokenizers', 'soundfile', 'gguf', "
    code += "'safetensors', 'tqdm', 'pyomni._native') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_command_line_offers_the_types_there_are():
    from pyomni.cli.common import FILE_TYPES as offered
    from pyomni.convert import FILE_TYPES

    assert offered == tuple(FILE_TYPES)
