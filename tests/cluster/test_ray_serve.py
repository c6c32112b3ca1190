"""deploy/ray_serve.py: a replica answers as `pyomni serve` does."""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toys import toy

from pyomni.api import SpeechModel
from pyomni.audio.wav import to_int16
from pyomni.options import SpeechOptions
from pyomni.server.running import listen

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import ray
    from ray import serve

    # elsewhere: Ray's workers import from this folder first, and the source tree has nothing compiled
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("PYOMNI_MODEL", str(toy()))
    monkeypatch.setenv("PYOMNI_THREADS", "1")
    for what in ("READY_CHECK", "HEALTH_CHECK"):  # a busy machine takes longer to start it than Ray waits
        monkeypatch.setenv(f"RAY_SERVE_PROXY_{what}_TIMEOUT_S", "120")
    ray.init(num_cpus=2, object_store_memory=80 << 20, include_dashboard=False, log_to_driver=False)
    try:
        from deploy.ray_serve import app

        with listen("127.0.0.1", 0) as sock:
            port = sock.getsockname()[1]
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(app)
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


def ask(url: str, body: Any = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=120) as answer:
        return answer.read()


def test_a_replica_speaks(address: str) -> None:
    assert json.loads(ask(f"{address}/health")) == {"status": "ok"}
    sound = ask(f"{address}/v1/audio/speech", {"input": "Hello.", "seed": 3, "response_format": "pcm"})
    with SpeechModel(toy(), device="cpu", threads=1) as model:
        alone = model.speak("Hello.", options=SpeechOptions(seed=3)).audio
    assert sound == to_int16(alone).tobytes()
