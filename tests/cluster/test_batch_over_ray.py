"""``pyomni batch --ray``: what one machine makes, whatever happens to the nodes."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from toys import toy, variant

from pyomni.batch import Done, Folder, read_records
from pyomni.cli import main

pytestmark = pytest.mark.cluster
LINES = [{"text": f"Number {n}.", "id": f"n{n}", "seed": n, "max_seconds": 0.5} for n in range(24)]
SMALL = {"num_cpus": 1, "object_store_memory": 80 << 20}
#: A node counts as lost sooner than in a real cluster.
SOON = {"health_check_period_ms": 200, "health_check_failure_threshold": 5}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work elsewhere: Ray's workers import from here first, and the source tree has nothing compiled."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes on this machine; the second is for `other`."""
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # of the nodes' workers
    made = Cluster(
        initialize_head=True, head_node_args={**SMALL, "include_dashboard": False, "_system_config": SOON}
    )
    try:
        made.other = made.add_node(**SMALL)
        yield made
    finally:
        made.shutdown()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same batch on this machine alone."""
    folder = tmp_path_factory.mktemp("alone")
    assert batch(write(folder / "in.jsonl", LINES), folder / "out") == 0
    return folder / "out"


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def batch(lines: Path, out: Path, *argv: str, model: Path | None = None) -> int:
    return main(
        ["batch", str(lines), str(out), "-m", str(model or toy()), "--device", "cpu", "-t", "1", "-q", *argv]
    )


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert len({line["id"] for line in lines}) == len(lines), "one line each"
    return {line["id"]: line for line in lines}


def check(folder: Path, alone: Path, *, asked_otherwise: bool = False) -> None:
    """The same lines and the same files, and nothing else."""
    lines = [manifest(folder), manifest(alone)]
    if asked_otherwise:  # the command says every option, and the key tells what was said
        for line in (line for found in lines for line in found.values()):
            del line["input"]
    assert lines[0] == lines[1]
    names = {path.name for path in alone.iterdir()}
    assert {path.name for path in folder.iterdir()} == names
    for name in names - {"manifest.jsonl", ".batch.lock"}:
        assert (folder / name).read_bytes() == (alone / name).read_bytes()


def test_two_nodes_give_what_one_machine_gives(
    cluster: Any, alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, lines = tmp_path / "out", write(tmp_path / "in.jsonl", LINES)
    assert batch(lines, out, "--ray", cluster.address, "--lanes", "2") == 0
    check(out, alone)
    stamps = {path.name: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    for name in ("n3.wav", "n20.wav"):
        (out / name).unlink()
    assert batch(lines, out, "--ray", cluster.address, "--json") == 0  # makes only what is not there
    about = json.loads(capsys.readouterr().out)
    assert (about["spoken"], about["before"]) == (2, 22)
    check(out, alone)
    same = {path.name: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    assert {name for name in stamps if stamps[name] != same[name]} == {"n3.wav", "n20.wav"}


def test_clips_travel_and_what_fails_is_said_line_by_line(cluster: Any, tmp_path: Path) -> None:
    rate = 24000
    clip = 0.3 * np.sin(np.arange(2 * rate) * 0.05) * np.hanning(2 * rate)
    soundfile.write(tmp_path / "ann.wav", clip, rate)
    lines = write(
        tmp_path / "in.jsonl",
        [
            {"text": "As Ann.", "id": "ann", "clone": "ann.wav", "seed": 1, "max_seconds": 0.5},
            {"text": "As nobody.", "id": "no", "clone": "nobody.wav"},
            {"text": "", "id": "empty"},
            {"text": "As a stranger.", "id": "stranger", "voice": "stranger"},
        ],
    )
    found = []
    for out, argv in ((tmp_path / "one", ()), (tmp_path / "many", ("--ray", cluster.address))):
        assert batch(lines, out, *argv, model=variant("base")) == 4
        found.append(manifest(out))
        found[-1]["no"].pop("error")  # the words for a file that is not there are another's
    assert found[0] == found[1]
    assert (tmp_path / "one" / "ann.wav").read_bytes() == (tmp_path / "many" / "ann.wav").read_bytes()


def test_a_model_that_is_not_there(cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = write(tmp_path / "in.jsonl", LINES)
    assert batch(lines, tmp_path / "out", "--ray", cluster.address, model=tmp_path / "no.gguf") == 3
    assert "node " in capsys.readouterr().err


def test_a_node_that_is_killed_loses_nothing(cluster: Any, alone: Path, tmp_path: Path) -> None:
    import ray

    from pyomni.batch.cluster import connected, run

    lost: list[str] = []
    killed = threading.Event()

    def told(done: Done) -> None:
        if done.spoken and not killed.is_set():
            cluster.remove_node(cluster.other, allow_graceful=False)
            while sum(node["Alive"] for node in ray.nodes()) == 2:
                threading.Event().wait(0.05)
            killed.set()

    records = read_records(json.dumps(line) for line in LINES)
    options = {"device": "cpu", "threads": 1, "lanes": 1}
    with connected(cluster.address), Folder(tmp_path / "out") as folder:
        done = run(str(toy()), records, folder, options=options, on_progress=told, on_lost=lost.append)
    assert killed.is_set()
    assert len(lost) == 1
    assert (done.spoken, done.failed) == (24, 0)
    check(tmp_path / "out", alone, asked_otherwise=True)


def test_no_cluster_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = write(tmp_path / "in.jsonl", LINES)
    assert batch(lines, tmp_path / "out", "--ray", "127.0.0.1:1") == 5
    assert "Ray cluster '127.0.0.1:1' cannot be reached" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
