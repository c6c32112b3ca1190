"""Print one JSON line: how `pyomni serve` holds up under many clients at once.

    python benchmarks/serve_load.py model.gguf --clients 64 --minutes 10 --lanes 8

Each client asks for one speech after the other, of a few texts, seeds and formats, and holds every answer to
the bytes that the model gives alone, in this process and with one lane. The memory is that of the server's
process, every second: its slope is fitted to the second half. Ends with 1 if an answer was an error or had
other bytes. The first byte is that of pcm, which is streamed; the other formats come whole.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyomni
from pyomni.audio.wav import to_int16
from pyomni.bench import where
from pyomni.server.encoding import whole

TEXTS = (
    "Hello there.",
    "The quick brown fox jumps over the lazy dog.",
    "One, two, three. Four, five, six.",
    "Is anybody out there? It has become rather quiet here.",
)
FORMATS = ("pcm", "flac", "mp3")
SEEDS = (1, 2, 3)


def asked() -> list[dict[str, Any]]:
    """Return the bodies that clients send."""
    every = itertools.product(TEXTS, SEEDS, FORMATS)
    return [{"input": text, "seed": seed, "response_format": kind} for text, seed, kind in every]


def alone(path: str, bodies: list[dict[str, Any]], most: int | None) -> list[str]:
    """Return the hash of each answer, of a model that speaks nothing else."""
    found, spoken = [], {}
    with pyomni.load(path, device="cpu", threads=1) as model:
        if not isinstance(model, pyomni.SpeechModel):
            raise SystemExit("the model converses, expected one that speaks texts")
        for body in bodies:
            key = (body["input"], body["seed"])
            if key not in spoken:
                options = pyomni.SpeechOptions(seed=body["seed"], max_frames=most)
                spoken[key] = model.speak(body["input"], options=options)
            speech = spoken[key]
            pcm = to_int16(speech.audio).astype("<i2").tobytes()
            kind = body["response_format"]
            data = pcm if kind == "pcm" else whole(speech.audio, speech.sample_rate, kind, {})
            found.append(hashlib.sha256(data).hexdigest())
    return found


@contextlib.contextmanager
def server(path: str, lanes: int, clients: int) -> Iterator[tuple[int, int]]:
    """Start `pyomni serve`: its port and process; what it says on stderr is passed on."""
    argv = [sys.executable, "-m", "pyomni", "serve", "-m", path, "--device", "cpu", "--port", "0", "--json"]
    argv += ["--lanes", str(lanes), "--queue", str(clients)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["port"], process.pid
        finally:
            process.terminate()


class Load:
    """Clients, and what they saw."""

    def __init__(self, port: int, bodies: list[dict[str, Any]], expected: list[str]) -> None:
        self._port, self._asks = port, list(zip(map(json.dumps, bodies), expected, strict=True))
        self.first: list[float] = []
        self.whole: list[float] = []
        self.errors: list[str] = []
        self.differing = 0
        self._left, self._end, self._lock = 0, 0.0, threading.Lock()

    def run(self, clients: int, requests: int | None, seconds: float) -> None:
        """Ask until so many requests were begun or so much time is over, and wait for the last answer."""
        self._left, self._end = requests or sys.maxsize, time.monotonic() + seconds
        threads = [threading.Thread(target=self._client, args=(index,)) for index in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self, index: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
        # each begins elsewhere, so that all are asked for at any time
        for body, expected in itertools.islice(itertools.cycle(self._asks), index, None):
            with self._lock:
                if self._left <= 0 or time.monotonic() >= self._end:
                    break
                self._left -= 1
            try:
                self._ask(connection, body, expected)
            except (OSError, http.client.HTTPException) as error:
                self._note(error=repr(error))
                connection.close()
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, body: str, expected: str) -> None:
        start = time.perf_counter()
        connection.request("POST", "/v1/audio/speech", body)
        answer = connection.getresponse()
        data = answer.read(1)
        first = time.perf_counter() - start
        data += answer.read()
        took = time.perf_counter() - start
        if answer.status != 200:
            self._note(error=f"{answer.status} {data[:200]!r}")
            return
        with self._lock:
            self.differing += hashlib.sha256(data).hexdigest() != expected
            self.whole.append(took)
            if json.loads(body)["response_format"] == "pcm":
                self.first.append(first)

    def _note(self, error: str) -> None:
        with self._lock:
            self.errors.append(error)


class Memory(threading.Thread):
    """The memory of a process in MB (10**6 bytes), every second; nothing where the system does not say."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._path, self._over = Path(f"/proc/{pid}/status"), threading.Event()
        self.samples: list[tuple[float, float]] = []

    def run(self) -> None:
        """Sample until told to stop."""
        while True:
            try:
                lines = self._path.read_text().splitlines()
            except OSError:
                return
            held = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
            self.samples.append((time.monotonic(), held * 1024 / 1e6))
            if self._over.wait(1):
                return

    def stop(self) -> dict[str, Any]:
        """Return what was seen."""
        self._over.set()
        self.join()
        if not self.samples:
            return {"rss_mb": None}
        found: dict[str, Any] = {"rss_mb": [round(self.samples[i][1], 1) for i in (0, -1)]}
        found["rss_most_mb"] = round(max(mb for _, mb in self.samples), 1)
        late = self.samples[len(self.samples) // 2 :]
        if len(late) > 2:
            found["rss_mb_per_minute"] = round(
                60 * statistics.linear_regression(*zip(*late, strict=True)).slope, 3
            )
        return found


def spread(seconds: list[float]) -> dict[str, float | None]:
    """Return median and 95th percentile in ms; None of too few."""
    if len(seconds) < 2:
        return {"median": None, "p95": None}
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    return {"median": round(1000 * statistics.median(seconds), 1), "p95": round(1000 * p95, 1)}


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Load a server and print one JSON line.")
    parser.add_argument("model", help="GGUF file of a model that speaks")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--requests", type=int, help="end after so many, if that is earlier")
    parser.add_argument("--max-frames", type=int, help="cut each speech, for toys that do not end")
    args = parser.parse_args()
    bodies = asked()
    expected = alone(args.model, bodies, args.max_frames)
    if args.max_frames:
        bodies = [{**body, "max_new_tokens": args.max_frames} for body in bodies]
    with server(args.model, args.lanes, args.clients) as (port, pid):
        warm = Load(port, bodies, expected)
        warm.run(args.clients, 2 * args.clients, 600)  # sessions grow and pages are touched
        load, memory = Load(port, bodies, expected), Memory(pid)
        memory.start()
        start = time.monotonic()
        load.run(args.clients, args.requests, 60 * args.minutes)
        took = time.monotonic() - start
        held = memory.stop()
    errors, differing = warm.errors + load.errors, warm.differing + load.differing
    print(
        json.dumps(
            {
                "benchmark": "serve_load",
                "model": Path(args.model).name,
                "clients": args.clients,
                "lanes": args.lanes,
                "seconds": round(took, 1),
                "requests": len(load.whole),
                "requests_s": round(len(load.whole) / took, 2),
                "first_byte_ms": spread(load.first),
                "whole_ms": spread(load.whole),
                "errors": len(errors),
                "differing": differing,
                **held,
                **where(Path(__file__).parent),
            }
        )
    )
    for error in errors[:5]:
        print(error, file=sys.stderr)
    return 1 if errors or differing else 0


if __name__ == "__main__":
    sys.exit(main())
