"""Turns in a realtime session: who speaks when, who speaks into an answer, and what is remembered of it."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from realtime_client import (
    TEXT,
    Client,
    encoded,
    finish,
    loud,
    names,
    opened,
    role_texts,
    silent,
    tone,
)

from pyomni.server.chat_job import AudioBlock, ChatJob, TextDelta
from pyomni.server.failures import Busy
from pyomni.server.realtime.heard import said
from pyomni.server.realtime.microphone import MOST_SECONDS
from pyomni.server.realtime.sound import RATE


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
