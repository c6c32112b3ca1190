"""Servers and clients of tests that go over a socket."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from typing import Any


def post_to(host: str, port: int, body: dict[str, Any], path: str) -> http.client.HTTPConnection:
    """Send a request, whose answer is to be read."""
    connection = http.client.HTTPConnection(host, port, timeout=120)
    connection.request("POST", path, json.dumps(body))
    return connection


def hang_up(connection: http.client.HTTPConnection, response: Any = None) -> None:
    """Leave in the middle of an answer."""
    if response is not None:
        response.close()
    connection.close()


def fill_the_queue(host: str, port: int, state: Any, path: str, long: Any, short: Any) -> bytes:
    """Ask for more than a lane and a queue of one take; return what the one that waited got."""
    running = post_to(host, port, long, path)
    response = running.getresponse()
    waiting = post_to(host, port, short, path)
    while state.scheduler.load()[1] == 0:
        threading.Event().wait(0.01)
    refused = post_to(host, port, short, path)
    answer = refused.getresponse()
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert json.loads(answer.read())["error"]["code"] == "queue_full"
    refused.close()
    hang_up(running, response)
    answer = waiting.getresponse()
    assert answer.status == 200
    found = answer.read()
    waiting.close()
    return found


def command(*flags: str) -> subprocess.Popen[str]:
    """Start ``pyomni serve`` on the CPU."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYOMNI_API_KEY", "PYOMNI_MODEL")}
    argv = [sys.executable, "-m", "pyomni", "serve", "--device", "cpu", "-t", "1", *flags]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
