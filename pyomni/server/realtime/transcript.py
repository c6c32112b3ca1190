"""What a turn said, written down by the model itself, beside the conversation."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from pyomni.api.omni import TRANSCRIPT, transcript_messages
from pyomni.server.chat_job import ChatRequest, Done, TextDelta
from pyomni.server.failures import BUG, failure_of
from pyomni.server.realtime.answer import Scheduler
from pyomni.server.realtime.events import Gone, error_of
from pyomni.server.realtime.items import Item
from pyomni.server.transcriptions import language_named

__all__ = ["write_down"]

LOG = logging.getLogger("pyomni.server")
PREFIX = "conversation.item.input_audio_transcription"


class Place(Protocol):
    """The session a turn belongs to."""

    async def send(self, kind: str, **fields: Any) -> None:
        """Send an event."""


async def write_down(place: Place, scheduler: Scheduler, item: Item, language: str, seconds: float) -> None:
    """Write down what the sound of an item says, and send it as it comes; failures are told to the client."""
    where = {"item_id": item.id, "content_index": 0}
    job = None
    try:
        try:
            messages = transcript_messages(item.message()["content"][0], language_named(language, "language"))
            job = await scheduler.submit(ChatRequest(messages, options=TRANSCRIPT), seconds)
            async for event in job:
                if isinstance(event, TextDelta):
                    await place.send(f"{PREFIX}.delta", **where, delta=event.text)
                elif isinstance(event, Done):
                    item.transcript = event.text.strip()
                    await place.send(
                        f"{PREFIX}.completed", **where, transcript=item.transcript, usage=_usage(event)
                    )
        except Gone:
            return
        except Exception as error:
            if failure_of(error)[0] is BUG:
                LOG.exception("a turn could not be written down")
            said = {key: value for key, value in error_of(error).items() if key != "event_id"}
            await place.send(f"{PREFIX}.failed", **where, error=said)
    except Gone:
        pass
    finally:
        if job is not None:
            job.cancel()


def _usage(done: Done) -> dict[str, Any]:
    n_in, n_out = done.n_prompt, done.n_tokens
    return {"type": "tokens", "input_tokens": n_in, "output_tokens": n_out, "total_tokens": n_in + n_out}
