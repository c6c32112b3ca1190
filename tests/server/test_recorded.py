"""What programs send, as their sources say, against a real server; and what they read out of the answer.

A file of `recorded/` is a client: `requests`, each with what it `reads`: `status`, `sound` (a format),
`streamed` (as it is made), `headers` that have to be there, and `json`: paths, where ``a[].b`` is b of each
of a, of which there has to be one, and what they are.
"""

from __future__ import annotations

import http.client
import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

FILES = sorted(Path(__file__).with_name("recorded").glob("*.json"))
TYPES = {"text": str, "object": dict}
RATE = 24000


def at(value: Any, path: str) -> Iterator[Any]:
    """Yield what a path finds."""
    head, _, rest = path.partition(".")
    value = value[head.removesuffix("[]")]
    for one in value if head.endswith("[]") else [value]:
        if rest:
            yield from at(one, rest)
        else:
            yield one


def check_sound(kind: str, answer: http.client.HTTPResponse, data: bytes) -> None:
    if kind == "pcm":
        assert len(data) > RATE // 10
        assert len(data) % 2 == 0
        return
    media = {"mp3": "audio/mpeg", "wav": "audio/wav", "opus": "audio/ogg"}[kind]
    assert answer.headers["Content-Type"] == media
    if kind == "wav":
        with wave.open(io.BytesIO(data)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
            assert 44 + 2 * file.getnframes() <= len(data)
            assert len(file.readframes(file.getnframes())) == 2 * file.getnframes() > 0
    with av.open(io.BytesIO(data)) as container:
        [stream] = container.streams
        assert stream.codec.name.startswith({"wav": "pcm_s16le"}.get(kind, kind))
        assert sum(frame.samples for frame in container.decode(stream)) > stream.rate // 10


def replay(host: str, port: int, request: dict[str, Any]) -> None:
    connection = http.client.HTTPConnection(host, port, timeout=60)
    body = json.dumps(request["body"]) if "body" in request else None
    connection.request(request["method"], request["path"], body, request["headers"])
    answer, reads = connection.getresponse(), request["reads"]
    data = answer.read()
    connection.close()
    assert answer.status == reads["status"], data[:300]
    assert all(answer.headers.get(name) for name in reads.get("headers", []))
    if reads.get("streamed"):
        assert answer.headers["Transfer-Encoding"] == "chunked"
    for path, kind in reads.get("json", {}).items():
        found = list(at(json.loads(data), path))
        assert found, path
        assert all(isinstance(one, TYPES[kind]) and one for one in found), path
    if "sound" in reads:
        check_sound(reads["sound"], answer, data)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_a_client_sends_is_answered_as_it_reads(running, path):
    host, port, _ = running()
    for request in json.loads(path.read_text(encoding="utf-8"))["requests"]:
        replay(host, port, request)


def test_a_client_that_reads_what_is_not_there_is_noticed(running):
    host, port, _ = running()
    request = {"method": "GET", "path": "/v1/audio/voices", "headers": {}, "reads": {"status": 200}}
    with pytest.raises(KeyError):
        replay(host, port, {**request, "reads": {"status": 200, "json": {"voices[].voice_id": "text"}}})
    replay(host, port, request)
