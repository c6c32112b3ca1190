"""What every test stands on: the copy of pyomni under test, and markers (declared in pyproject.toml)."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def use_the_installed_copy() -> None:
    """Take the source tree off the import path, and off that of child processes, unless built in place.

    ``python -m pytest`` puts the working directory first, and there lies a ``pyomni`` without its compiled
    module: it would hide the installed one. A tree built in place (plain CMake) holds ``pyomni/_native*`` and
    is left alone.
    """
    if any(path.suffix in {".so", ".pyd"} for path in (ROOT / "pyomni").glob("_native*")):
        return
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in entries if entry and Path(entry).resolve() != ROOT]
    os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    os.environ["PYTHONSAFEPATH"] = "1"  # Python 3.11 on; before that, run children in a folder of their own


use_the_installed_copy()

# a shell's background job ignores Ctrl-C, and so would the children that tests interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# the voices and models kept by whoever runs the tests are not the tests' business, nor is what theirs cost
os.environ["PYOMNI_CACHE_MB"] = "0"
os.environ["PYOMNI_VOICES"] = str(Path(tempfile.gettempdir()) / f"pyomni-no-voices-{os.getpid()}")
os.environ["PYOMNI_MODELS"] = str(Path(tempfile.gettempdir()) / f"pyomni-no-models-{os.getpid()}")


@pytest.fixture(scope="session")
def tiny_paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small CustomVoice model with every component, by file type."""
    from tiny import tiny_gguf

    folder = tmp_path_factory.mktemp("tiny")
    return {kind: tiny_gguf(folder / f"{kind}.gguf", type=kind) for kind in ("f32", "q8_0")}


@pytest.fixture(scope="session")
def tiny_path(tiny_paths: dict[str, Path]) -> Path:
    """The float32 one of `tiny_paths`."""
    return tiny_paths["f32"]
