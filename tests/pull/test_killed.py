"""Full disks, kills at any point, and two pulls at once: never half a model, and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from hub_toys import OMNI, OMNI_REPO, REPO, TTS, WEIGHTS, models, nothing_half, visible

from pyomni import DownloadError, ModelFileError, OutputFileError
from pyomni.api import model_path
from pyomni.convert import convert
from pyomni.hub import download, pulling, store
from pyomni.hub.pulling import pull

# --- the disk ---------------------------------------------------------------------------------------------


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Let the disk have so many bytes free, and more when downloads are removed."""
    root = models()

    def _free(folder: Path) -> int:
        return free - store.folder_bytes(root / ".downloads")

    monkeypatch.setattr(pulling, "_free", _free)


def test_no_room_is_said_before_the_large_files(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pulling, "_free", lambda folder: 1000)
    with pytest.raises(OutputFileError, match=r"needs about \d.* GB in .*PYOMNI_MODELS"):
        pull(TTS)
    assert hub.transfers(WEIGHTS) == []


def test_converted_checkpoints_make_room(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    pull(OMNI)
    pull(TTS)
    size = store.folder_bytes(store.downloads(REPO))
    with_free(monkeypatch, 4 * size)
    told: list[str] = []
    pull("some.one/Voice_2:f32", tell=told.append)
    assert store.downloads("some.one/Voice_2").is_dir()
    assert not store.downloads(OMNI_REPO).exists(), "the oldest goes first"
    assert any(OMNI_REPO in text and "make room" in text for text in told)
    assert {one.name for one in store.held()} == {OMNI, TTS, "some.one/Voice_2"}, "no model goes"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up(hub: HubServer):
    folder = store.downloads(REPO)
    pull(TTS)
    listing = pulling.remote.listing(REPO)
    file = next(one for one in listing.files if one.path == WEIGHTS)
    place = folder / "again.safetensors"
    download.part_of(listing, file, place).symlink_to("/dev/full")
    with pytest.raises(OutputFileError, match="No space left"):
        download.fetch(listing, file, place, lambda n_bytes: None)
    assert not place.exists()


def test_a_folder_that_cannot_be_written(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PYOMNI_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(OutputFileError, match="cannot be written"):
        pull(TTS)


# --- killed, and two at once ------------------------------------------------------------------------------


def child(hub: HubServer, tmp_path: Path, code: str) -> subprocess.Popen[str]:
    """Run code in a process of its own that knows of the hub by HF_ENDPOINT alone."""
    env = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


CLI = f"import sys; from pyomni.cli import main; sys.exit(main(['pull', '{TTS}']))"


def test_killed_while_downloading(hub: HubServer, tmp_path: Path):
    hub.hold, hub.held = threading.Event(), 20_000
    process = child(hub, tmp_path, CLI)
    assert hub.holding.wait(60), process.communicate(timeout=5)
    part = next(iter(wait_for(lambda: list(store.downloads(REPO).glob(".model*.part")))))
    wait_for(lambda: part.stat().st_size)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    hub.hold.set()
    hub.hold = None
    nothing_half()
    n_bytes = part.stat().st_size
    hub.seen.clear()
    pull(TTS)
    assert hub.transfers(WEIGHTS) == [n_bytes]


def wait_for(found: Any) -> Any:
    for _ in range(600):
        if result := found():
            return result
        threading.Event().wait(0.05)
    raise AssertionError("it did not come")


def test_killed_while_converting(hub: HubServer, tmp_path: Path):
    code = (
        "import os, signal\nfrom pyomni.hub.pulling import pull\n"
        "def stage(name, what, done, total):\n"
        "    if name == 'convert' and 2 * done > total: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"pull('{TTS}', progress=stage)"
    )
    process = child(hub, tmp_path, code)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert visible() == []
    assert any((models() / ".making").rglob("*.part")), "it was killed half way"
    with pytest.raises(ModelFileError, match=f"pyomni pull {TTS}"):
        model_path(TTS)
    hub.seen.clear()
    path = pull(TTS)
    assert hub.seen == []
    assert path.read_bytes() == convert(hub.repos[REPO], tmp_path / "here.gguf", "q8_0").read_bytes()
    assert not any((models() / ".making").iterdir())


def test_killed_while_replacing(hub: HubServer):
    place = pull(TTS).parent
    aside = store.making() / f"{place.name}.old"
    place.rename(aside)  # what a kill between the two renames leaves
    hub.seen.clear()
    assert pull(TTS).parent == place
    assert hub.seen == []
    assert not aside.exists()


def test_killed_before_a_file_was_noted(hub: HubServer):
    pull(TTS)
    (store.downloads(REPO) / ".pulling.json").unlink()
    config = store.downloads(REPO) / "generation_config.json"
    config.write_bytes(b" " + config.read_bytes()[:-1])  # of the same size, and another
    hub.seen.clear()
    pull(TTS, "f16")
    assert hub.seen == [("generation_config.json", 0)], "what is here is checked, not fetched"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(hub: HubServer, tmp_path: Path, number: int):
    hub.hold, hub.held = threading.Event(), 20_000
    process = child(hub, tmp_path, CLI)
    assert hub.holding.wait(60), process.communicate(timeout=5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == [
        "pyomni: what was downloaded is kept; the same command goes on from there",
        "pyomni: error: interrupted, nothing was written",
    ]
    nothing_half()


def test_two_at_once(hub: HubServer, tmp_path: Path):
    hub.hold, hub.held = threading.Event(), 1000
    processes = [child(hub, tmp_path, CLI)]
    assert hub.holding.wait(60), processes[0].communicate(timeout=5)
    processes.append(child(hub, tmp_path, CLI))
    assert processes[1].stderr is not None
    line = processes[1].stderr.readline()
    assert "another process is pulling" in line
    with pytest.raises(DownloadError, match="another process"):
        store.remove(store.Name.expect(TTS))
    hub.hold.set()
    hub.hold = None
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ""
    assert hub.transfers(WEIGHTS) == [0]
