"""A hub on loopback with toy checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from hub_toys import OMNI_REPO, REPO, point_at
from tiny import tiny_checkpoint
from tiny_omni import omni_checkpoint

from pyomni.hub import download


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Toy checkpoints by repository."""
    folder = tmp_path_factory.mktemp("hub")
    tts = tiny_checkpoint(folder / REPO, head_dim=16, cp_head_dim=16)
    (tts / "README.md").write_text("Nobody needs this.")
    omni = omni_checkpoint(folder / OMNI_REPO, n_shards=3)
    other = shutil.copytree(tts, folder / "some.one/Voice_2")
    return {REPO: tts, OMNI_REPO: omni, "some.one/Voice_2": other}


@pytest.fixture
def hub(sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub, and an empty folder for models."""
    constants = pytest.importorskip("huggingface_hub.constants")
    repos = {repo: shutil.copytree(path, tmp_path / "hub" / repo) for repo, path in sources.items()}
    monkeypatch.setenv("PYOMNI_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("PYOMNI_MODEL", raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.001)
    with HubServer(repos) as server:
        point_at(constants, server.url, tmp_path, monkeypatch)
        yield server
