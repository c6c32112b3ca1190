"""One answer: from the scheduler's events to those of a session."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from pyomni.server.chat_job import AudioBlock, ChatJob, ChatRequest, Done, TextDelta
from pyomni.server.failures import BUG, failure_of
from pyomni.server.realtime.config import Config
from pyomni.server.realtime.events import Gone, error_of, new_id
from pyomni.server.realtime.heard import Playing
from pyomni.server.realtime.items import Item, Spoken
from pyomni.server.realtime.sound import OutputSound, as_base64
from pyomni.server.ticket import ended

__all__ = ["Answer", "Place"]

LOG = logging.getLogger("pyomni.server")
T = TypeVar("T")


class Scheduler(Protocol):
    """The part of `ChatScheduler` an answer needs."""

    async def submit(self, request: ChatRequest, seconds: float) -> ChatJob:
        """Queue a conversation."""


class Place(Protocol):
    """The session an answer is given in."""

    @property
    def sample_rate(self) -> int:
        """Of the model, Hz."""

    async def send(self, kind: str, **fields: Any) -> None:
        """Send an event."""

    async def answer_begun(self, answer: Answer, item: Item) -> None:
        """Take the item of an answer as it appears."""

    async def item_ended(self, item: Item) -> None:
        """Take the item as it ends, before ``response.done``."""

    async def answer_ended(self, answer: Answer) -> None:
        """Take an answer that has ended."""


class Answer:
    """An answer on its way, in a task of its own.

    Parameters
    ----------
    place : Place
    config : Config
    playing : Playing
    conversation : str or None
        Where it belongs; None is outside the conversation.
    metadata : dict, optional
        Of the client, shown again.

    Attributes
    ----------
    item : Item or None
        Once there is something of it.
    """

    def __init__(
        self,
        place: Place,
        config: Config,
        playing: Playing,
        conversation: str | None,
        metadata: Any = None,
    ) -> None:
        self.id, self.config, self.playing = new_id("resp"), config, playing
        self.conversation, self._metadata = conversation, metadata
        self.item: Item | None = None
        self._place = place
        self._sound = OutputSound(place.sample_rate) if config.speak else None
        self._kind = "output_audio" if config.speak else "output_text"
        self._job: ChatJob | None = None
        self._why: str | None = None
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(
        self, scheduler: Scheduler, request: ChatRequest, items: Sequence[Item | None], seconds: float
    ) -> None:
        """Begin; failures are told to the client.

        Parameters
        ----------
        items : sequence of Item or None
            What each message of the request is; they keep what is perceived of them.
        seconds : float
            The answer may take.
        """
        self._task = asyncio.create_task(self._run(scheduler, request, items, seconds))

    async def stop(self, why: str) -> None:
        """Cancel it and wait until it has said so: no sound is sent after this."""
        self._why = self._why or why
        self._leave()
        await self.over()

    async def over(self) -> None:
        """Wait for its end."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """End it without a word: nobody listens any more."""
        self._leave()
        if self._task is not None:
            await ended(self._task)

    def _leave(self) -> None:
        self._stopped.set()
        if self._job is not None:
            self._job.cancel()

    # -- the task ------------------------------------------------------

    async def _run(
        self, scheduler: Scheduler, request: ChatRequest, items: Sequence[Item | None], seconds: float
    ) -> None:
        done: Done | None = None
        error: Exception | None = None
        try:
            await self._place.send("response.created", response=self._shown("in_progress"))
            self._job = await self._unless_stopped(scheduler.submit(request, seconds))
            for item, message in zip(items, self._job.messages if self._job else (), strict=False):
                if item is not None:
                    item.perceived(message)
            while self._job is not None:
                event = await self._unless_stopped(anext(self._job, None))
                if event is None:
                    break
                if isinstance(event, Done):
                    done = event
                elif isinstance(event, TextDelta):
                    await self._write(event.text)
                elif isinstance(event, AudioBlock):
                    await self._speak(event.pcm)
        except Gone:
            self._leave()
            return
        except Exception as found:
            error = found
            if failure_of(found)[0] is BUG:
                LOG.exception("an answer failed")
        finally:
            self._leave()
        with contextlib.suppress(Gone):
            await self._finish(done, error)

    async def _unless_stopped(self, work: Awaitable[T | None]) -> T | None:
        """Return what comes, or None as soon as the answer is stopped."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopped.wait())
        taken = False
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            taken = not self._stopped.is_set()
            return task.result() if taken else None
        finally:
            stopped.cancel()
            if not taken:  # a job may have come, or come yet
                task.cancel()
                _forget(task) if task.done() else task.add_done_callback(_forget)

    # -- what is said --------------------------------------------------

    async def _write(self, text: str) -> None:
        item = await self._begun()
        item.parts = [(self._kind, item.parts[0][1] + text)]
        name = "output_audio_transcript" if self.config.speak else "output_text"
        await self._of_part(f"response.{name}.delta", delta=text)

    async def _speak(self, pcm: Any, last: bool = False) -> None:
        item = await self._begun()
        assert self._sound is not None, "only what is to be spoken has sound"
        assert item.spoken is not None, "and so has its item"
        made = self._sound.push(pcm, last)
        if not len(made):
            return
        item.spoken.n_made += len(made)
        self.playing.sent(len(made))
        await self._of_part("response.output_audio.delta", delta=as_base64(made))

    async def _begun(self) -> Item:
        if self.item is None:
            spoken = Spoken() if self.config.speak else None
            item = self.item = Item("assistant", [(self._kind, "")], status="in_progress", spoken=spoken)
            shown = {**item.to_dict(), "content": []}
            await self._of_item("added", shown)
            await self._place.answer_begun(self, item)
            await self._of_part("response.content_part.added", part=self._part(""))
        return self.item

    async def _finish(self, done: Done | None, error: Exception | None) -> None:
        item, status = self.item, "completed"
        details: dict[str, Any] | None = None
        if self._why is not None:
            status, details = "cancelled", {"reason": self._why}
        elif error is not None:
            said = {
                key: value for key, value in error_of(error).items() if key in ("type", "code", "message")
            }
            status, details = "failed", {"error": said}
        elif done is not None and done.finish_reason == "length":
            status, details = "incomplete", {"reason": "max_output_tokens"}
        if item is not None:
            if done is not None and self._sound is not None:
                await self._speak(np.zeros(0, np.float32), last=True)
            if item.spoken is not None:
                item.spoken.whole = done is not None and self._why is None
            item.status = "completed" if status == "completed" else "incomplete"
            text = item.parts[0][1]
            if self.config.speak:
                await self._of_part("response.output_audio.done")
                await self._of_part("response.output_audio_transcript.done", transcript=text)
            else:
                await self._of_part("response.output_text.done", text=text)
            await self._of_part("response.content_part.done", part=self._part(text))
            await self._of_item("done", item.to_dict())
            await self._place.item_ended(item)
        await self._place.send("response.done", response=self._shown(status, details, done))
        await self._place.answer_ended(self)

    async def _of_item(self, kind: str, shown: dict[str, Any]) -> None:
        await self._place.send(
            f"response.output_item.{kind}", response_id=self.id, output_index=0, item=shown
        )

    async def _of_part(self, kind: str, **fields: Any) -> None:
        assert self.item is not None, "an item has begun"
        where: dict[str, Any] = {"response_id": self.id, "item_id": self.item.id}
        where |= {"output_index": 0, "content_index": 0}
        await self._place.send(kind, **where, **fields)

    def _part(self, text: str) -> dict[str, Any]:
        if self.config.speak:
            return {"type": "audio", "transcript": text}
        return {"type": "text", "text": text}

    def _shown(self, status: str, details: Any = None, done: Done | None = None) -> dict[str, Any]:
        """Return the response as events show it."""
        mine = self.config.to_dict(beta=False)
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": None if details is None else {"type": status, **details},
            "output": [] if self.item is None else [self.item.to_dict()],
            "conversation_id": self.conversation,
            "output_modalities": mine["output_modalities"],
            "max_output_tokens": mine["max_output_tokens"],
            "audio": {"output": mine["audio"]["output"]},
            "metadata": self._metadata,
            "usage": None if done is None else _usage(done),
        }


def _usage(done: Done) -> dict[str, Any]:
    n_out = done.n_tokens + done.n_frames
    return {
        "input_tokens": done.n_prompt,
        "output_tokens": n_out,
        "total_tokens": done.n_prompt + n_out,
        "input_token_details": {"cached_tokens": done.n_reused},
        "output_token_details": {"text_tokens": done.n_tokens, "audio_tokens": done.n_frames},
    }


def _forget(task: asyncio.Future[Any]) -> None:
    """Take what a task gives that nobody waits for, and want it no more."""
    if not task.cancelled() and task.exception() is None and isinstance(task.result(), ChatJob):
        task.result().cancel()
