"""What ``/v1/chat/completions`` refuses, and with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chat_requests import ALOUD, ASK, URL, bomb, clip, heard, png, seen, user
from http_answers import error_of
from toys import omni

from pyomni.api import OmniModel

DEEP: list[Any] = []
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"messages": None}, 400, "messages"),
        ({"messages": []}, 400, "messages"),
        ({"messages": "hi"}, 400, "messages"),
        ({"messages": [5]}, 400, "messages[0]"),
        ({"messages": [{"role": "user"}]}, 400, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, 400, "messages[0].role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, None),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, 400, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, 400, "messages[0].content"),
        ({"messages": [{"role": "user", "content": {}}]}, 400, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_001}]}, 413, "messages"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": DEEP}]}, 400, "messages[0]"),
        ({"messages": [{"role": "assistant", "audio": 5}]}, 400, "messages[0].audio"),
        ({"messages": user(*[{"type": "text", "text": "x"}] * 300)}, 413, "messages"),
        ({"messages": user(5)}, 400, "messages[0].content[0]"),
        ({"messages": user({"type": "text"})}, 400, "messages[0].content[0]"),
        ({"messages": user({"type": "text", "text": 5})}, 400, "messages[0].content[0]"),
        ({"messages": user({"type": "image", "image": "/etc/passwd"})}, 400, "messages[0].content[0]"),
        ({"messages": user({"type": "file", "file": {}})}, 400, "messages[0].content[0]"),
        ({"messages": user({"type": {}, "text": "x"})}, 400, "messages[0].content[0]"),
        ({"messages": user({"audio": "/etc/passwd"})}, 400, "messages[0].content[0]"),
        ({"messages": user({"type": "input_audio"})}, 400, "messages[0].content[0]"),
        ({"messages": user({"type": "input_audio", "input_audio": {}})}, 400, None),
        ({"messages": user({"type": "input_audio", "input_audio": {"data": "!"}})}, 400, None),
        ({"messages": user({"type": "input_audio", "input_audio": {"data": "/etc/passwd"}})}, 400, None),
        ({"messages": user(heard(b"noise"))}, 400, None),
        ({"messages": user(heard(clip(), format="exe"))}, 400, "messages[0].content[0]"),
        ({"messages": user(heard(clip(3)))}, 400, None),
        ({"messages": user(seen(b""))}, 400, None),
        ({"messages": user(seen(b"\x89PNG\r\n\x1a\n"))}, 400, None),
        ({"messages": user(seen(png()[:80]))}, 400, None),
        ({"messages": user(seen(png(1, 300)))}, 400, None),
        ({"messages": user(seen(bomb(1_500)))}, 413, "messages[0].content[0]"),
        ({"messages": user(seen(bomb(50_000)))}, 413, "messages[0].content[0]"),
        ({"messages": user(seen(png(), "video"))}, 400, None),
        ({"messages": user(seen(b"#EXTM3U\nfile:///etc/passwd", "video"))}, 400, None),
        ({"messages": user({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}})}, 400, None),
        ({"messages": user({"type": "image_url", "image_url": "http://127.0.0.1/x"})}, 400, None),
        ({"messages": user({"type": "image_url", "image_url": 5})}, 400, "messages[0].content[0]"),
        ({"messages": user({"type": "audio_url", "audio_url": {"url": 5}})}, 400, None),
        ({"model": "gpt-9"}, 404, "model"),
        ({"model": 5}, 400, "model"),
        ({"n": 2}, 400, "n"),
        ({"n": True}, 400, "n"),
        ({"frequency_penalty": 1}, 400, "frequency_penalty"),
        ({"logit_bias": {"1": 5}}, 400, "logit_bias"),
        ({"logprobs": True}, 400, "logprobs"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
        ({"functions": [{}]}, 400, "functions"),
        ({"modalities": ["audio"]}, 400, "modalities"),
        ({"modalities": ["text", {}]}, 400, "modalities"),
        ({"modalities": "text"}, 400, "modalities"),
        ({"audio": []}, 400, "audio"),
        ({"audio": {"voice": "nobody"}}, 404, "audio.voice"),
        ({"audio": {"voice": 5}}, 400, "audio.voice"),
        ({"audio": {"format": "aiff"}}, 400, "audio.format"),
        ({"audio": {"format": "mp3"}, "stream": True}, 400, "audio.format"),
        ({"stop": "x"}, 400, "stop"),
        ({"modalities": ["text"], "stop": 5}, 400, "stop"),
        ({"modalities": ["text"], "stop": [""]}, 400, "stop"),
        ({"modalities": ["text"], "stop": ["a"] * 5}, 400, "stop"),
        ({"stream": "yes"}, 400, "stream"),
        ({"stream_options": 5}, 400, "stream_options"),
        ({"stream_options": {"include_usage": 5}}, 400, "include_usage"),
        ({"tools": {}}, 400, "tools"),
        ({"tools": [5]}, 400, "tools"),
        ({"tools": [{"a": DEEP}]}, 400, "tools"),
        ({"tool_choice": "required"}, 400, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, 400, "tool_choice"),
        ({"seed": -1}, 400, "seed"),
        ({"seed": 1.5}, 400, "seed"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"temperature": float("nan")}, 400, "temperature"),
        ({"temperature": 10**400}, 400, "temperature"),
        ({"top_p": 0}, 400, "top_p"),
        ({"presence_penalty": 101}, 400, "presence_penalty"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"max_completion_tokens": True}, 400, "max_completion_tokens"),
        ({"max_tokens": 10**9}, 400, None),
    ],
)
def test_bad_fields(limited, change, status, param):
    error = error_of(limited.post(URL, content=json.dumps({**ALOUD, **change})), status)
    assert param is None or error["param"] == param


@pytest.fixture(scope="module")
def limited():
    """One server for all refusals, with limits that the toys of this file pass by."""
    from starlette.testclient import TestClient

    from pyomni.server.app import make_app
    from pyomni.server.settings import Settings

    with OmniModel(omni(), device="cpu", threads=1) as opened:
        app = make_app(opened, Settings(max_audio=2.0, max_pixels=1_000_000))
        yield TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        state = app.state.pyomni
        assert state.scheduler.failed == 0  # nothing of it came as far as the model
        state.scheduler.close()


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"5", b"\xff", b"[" * 100_000])
def test_bodies_that_are_no_json_object(limited, raw):
    error_of(limited.post(URL, content=raw), 400)


def test_huge_base64_is_refused_at_the_door(served):
    client = served(kind="omni", max_upload=100_000)
    error_of(client.post(URL, json={**ASK, "messages": user(heard(bytes(200_000)))}), 413)
