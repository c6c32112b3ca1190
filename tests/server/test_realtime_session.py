"""Answers in a realtime session, against a scheduler that answers what the test says."""

from __future__ import annotations

import asyncio
import json

import numpy as np
from realtime_client import (
    Client,
    decoded,
    finish,
    names,
    opened,
    role_texts,
    tone,
)

from pyomni.audio.wav import to_int16
from pyomni.server.chat_job import AudioBlock, TextDelta
from pyomni.server.failures import Busy


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
