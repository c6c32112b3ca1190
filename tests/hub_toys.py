"""What the tests of `pyomni pull` share: names, where things lie, and pointing this process at a hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

TTS, REPO = "qwen3-tts-0.6b-customvoice", "Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice"
OMNI, OMNI_REPO = "qwen3-omni-30b-a3b-instruct", "Qwen/Qwen3-Omni-30B-A3B-Instruct"
WEIGHTS = "model.safetensors"


def point_at(constants: Any, url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do here what HF_ENDPOINT and HF_HOME do to a new process."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))


def models() -> Path:
    return Path(os.environ["PYOMNI_MODELS"])


def visible() -> list[str]:
    """Every file in the folder that is not our own business, by its path there."""
    found = (path.relative_to(models()) for path in models().rglob("*") if path.is_file())
    return [path.as_posix() for path in sorted(found) if not path.parts[0].startswith(".")]


def nothing_half() -> None:
    """No model, no leftover of a conversion, and no file under its real name that is not whole."""
    assert visible() == []
    assert not any((models() / ".making").glob("*"))
