"""A session: a client's events, in order, and what they do."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from pyomni.server.chat_job import ChatRequest
from pyomni.server.failures import BUG, failure_of
from pyomni.server.realtime.answer import Answer, Scheduler
from pyomni.server.realtime.config import Config, Offered
from pyomni.server.realtime.events import Gone, Refused, error_of, in_beta, new_id
from pyomni.server.realtime.heard import Playing
from pyomni.server.realtime.hearing import Turns, silero
from pyomni.server.realtime.history import History, prompt_of
from pyomni.server.realtime.items import Item
from pyomni.server.realtime.microphone import Microphone
from pyomni.server.realtime.reading import belongs, items_of, metadata_of, parsed, read_item
from pyomni.server.realtime.transcript import write_down
from pyomni.server.ticket import ended

__all__ = ["Session"]

LOG = logging.getLogger("pyomni.server")


class Session:
    """One client.

    Parameters
    ----------
    scheduler : ChatScheduler
    offered : Offered
    write : async callable (str)
        Sends a text to the client.
    beta : bool
        Whether the client speaks the beta's events.
    load : callable
        What hears speech, as `pyomni.server.realtime.hearing.silero`.
    clock : callable
        Seconds, for the playing at the other end.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        offered: Offered,
        write: Callable[[str], Awaitable[None]],
        *,
        beta: bool = False,
        load: Callable[[], Any] = silero,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sample_rate, self.history = offered.sample_rate, History()
        self.config = Config(speak=offered.sample_rate > 0)
        self._id, self._conversation = new_id("sess"), new_id("conv")
        self._scheduler, self._offered = scheduler, offered
        self._write, self._beta, self._clock = write, beta, clock
        self._sending = asyncio.Lock()
        self._answer: Answer | None = None
        self._played: Answer | None = None  # the last one that was spoken
        self._unwritten: deque[tuple[Item, str]] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._owed = False  # a turn ended while an answer ran
        self._microphone = Microphone(self, load)
        self._doing: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._microphone.append,
            "input_audio_buffer.commit": self._microphone.commit,
            "input_audio_buffer.clear": self._microphone.clear,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.truncate": self._truncate_item,
            "conversation.item.delete": self._delete_item,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
        }

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._answer is not None

    async def begin(self) -> None:
        """Say that the session is there. It listens for turns, as OpenAI's do, where it can."""
        try:
            await self._microphone.listen(Turns())
            self.config = replace(self.config, turns=Turns())
        except Refused as error:
            LOG.warning("%s", error)
        await self.send("session.created", session=self._shown())

    async def take(self, text: str | None) -> None:
        """Do what an event of the client says; what is wrong with it is told to the client.

        Parameters
        ----------
        text : str or None
            The message; None stands for bytes.
        """
        event_id = None
        try:
            event = parsed(text)
            given = event.get("event_id")
            event_id = given[:512] if isinstance(given, str) else None
            kind = event.get("type")
            do = self._doing.get(kind) if isinstance(kind, str) else None
            if do is None:
                words = f"type is {str(kind)[:60]!r}, expected one of: {', '.join(self._doing)}"
                raise Refused("unknown_event", words, "type")
            await do(event)
        except Gone:
            raise
        except Exception as error:
            if failure_of(error)[0] is BUG:
                LOG.exception("an event of a session failed")
            await self.send("error", error=error_of(error, event_id))
        self._write_down()

    async def close(self) -> None:
        """Stop what runs; nothing is sent any more."""
        if self._writing is not None:
            await ended(self._writing)
        if self._answer is not None:
            await self._answer.close()

    async def send(self, kind: str, **fields: Any) -> None:
        """Send an event."""
        event: dict[str, Any] | None = {"type": kind, "event_id": new_id("event"), **fields}
        if self._beta:
            event = in_beta(event or {})
        if event is not None:
            async with self._sending:
                await self._write(json.dumps(event, separators=(",", ":")))

    # -- what the microphone brings --------------------------------------

    async def committed(self, item: Item) -> None:
        """Take a turn into the conversation."""
        self.history.add(item)
        before = self.history.before(item)
        await self.send("input_audio_buffer.committed", previous_item_id=before, item_id=item.id)
        await self._tell_added(item)
        if (how := self.config.transcription) is not None:
            self._unwritten.append((item, how.get("language", "").strip().lower()))

    async def interrupt(self) -> None:
        """Somebody speaks: stop the answer, and remember only what was heard of it."""
        self._owed = False
        running, (played, self._played) = self._answer, (self._played, None)
        heard_ms = 0 if played is None else played.playing.heard_ms  # before anything is waited for
        if running is not None:
            await running.stop("turn_detected")
        if played is None or played.item is None or not (played is running or played.playing.goes_on):
            return
        played.item.truncate(heard_ms)
        await self._tell_truncated(played.item, heard_ms)

    async def answer_turn(self) -> None:
        """Answer what was just said, now or when the answer that runs has ended."""
        if self._answer is not None:
            self._owed = True
            return
        self._start(self.config, self.history.items, self._conversation)

    # -- what an answer brings -------------------------------------------

    async def answer_begun(self, answer: Answer, item: Item) -> None:
        """Take the item of an answer into the conversation."""
        if answer.conversation is None:
            return
        if item.spoken is not None:
            self._played = answer
        self.history.add(item)
        shown = {**item.to_dict(), "content": []}
        before = self.history.before(item)
        await self.send("conversation.item.added", previous_item_id=before, item=shown)

    async def item_ended(self, item: Item) -> None:
        """Say that an answer's item is whole."""
        if item in self.history.items:
            before = self.history.before(item)
            await self.send("conversation.item.done", previous_item_id=before, item=item.to_dict())

    async def answer_ended(self, answer: Answer) -> None:
        """Let another answer be asked for."""
        self._answer = None
        if self._owed:
            self._owed = False
            await self.answer_turn()
        self._write_down()

    # -- the client's events ----------------------------------------------

    async def _update(self, event: dict[str, Any]) -> None:
        config = self.config.updated(event.get("session"), self._offered)
        await self._microphone.listen(config.turns)
        self.config = config
        await self.send("session.updated", session=self._shown())

    async def _create_item(self, event: dict[str, Any]) -> None:
        item = read_item(event.get("item"), self._offered)
        self.history.add(item, event.get("previous_item_id"))
        await self._tell_added(item)

    async def _retrieve_item(self, event: dict[str, Any]) -> None:
        item = self.history.get(event.get("item_id"))
        await self.send("conversation.item.retrieved", item=item.to_dict())

    async def _truncate_item(self, event: dict[str, Any]) -> None:
        item = self.history.get(event.get("item_id"))
        if (index := event.get("content_index", 0)) != 0:
            words = f"content_index is {str(index)[:40]}, expected 0"
            raise Refused("invalid_value", words, "content_index")
        item.truncate(heard_ms := event.get("audio_end_ms"))
        if self._answer is not None and self._answer.item is item:
            await self._answer.stop("client_cancelled")
        if self._played is not None and self._played.item is item:
            self._played = None  # the client knows better than what is reckoned here
        await self._tell_truncated(item, heard_ms)

    async def _delete_item(self, event: dict[str, Any]) -> None:
        item = self.history.remove(event.get("item_id"))
        await self.send("conversation.item.deleted", item_id=item.id)

    async def _create_response(self, event: dict[str, Any]) -> None:
        if self._answer is not None:
            raise Refused(
                "conversation_already_has_active_response",
                f"response {self._answer.id!r} is on its way, expected it done or cancelled before another",
            )
        given = event.get("response")
        given = {} if given is None else given
        config = self.config.updated(given, self._offered, "response")
        conversation = self._conversation if belongs(given) else None
        items = items_of(given, self.history, self._offered)
        self._start(config, items, conversation, metadata_of(given))

    async def _cancel_response(self, event: dict[str, Any]) -> None:
        answer, name = self._answer, event.get("response_id")
        if answer is None or (name is not None and name != answer.id):
            raise Refused("response_cancel_not_active", "no such response is on its way, expected one")
        self._owed = False
        await answer.stop("client_cancelled")

    # -- what goes on beside them ------------------------------------------

    def _write_down(self) -> None:
        """Begin to write down the next turn, if nothing is to be answered."""
        if self._answer is not None or self._writing is not None or not self._unwritten:
            return
        (item, language), seconds = self._unwritten.popleft(), self._offered.settings.deadline
        writing = write_down(self, self._scheduler, item, language, seconds)
        self._writing = asyncio.create_task(writing)
        self._writing.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing = None
        if not task.cancelled():
            self._write_down()

    def _start(
        self, config: Config, items: Sequence[Item], conversation: str | None, metadata: Any = None
    ) -> None:
        prompt = prompt_of(items, config.instructions)
        writing, speaking = config.options
        asked = ChatRequest(prompt.messages, config.speak, config.speaker, writing, speaking)
        self._answer = Answer(self, config, Playing(self._clock), conversation, metadata)
        self._answer.start(self._scheduler, asked, prompt.items, self._offered.settings.deadline)

    async def _tell_added(self, item: Item) -> None:
        before = self.history.before(item)
        for kind in ("added", "done"):
            await self.send(f"conversation.item.{kind}", previous_item_id=before, item=item.to_dict())

    async def _tell_truncated(self, item: Item, heard_ms: Any) -> None:
        where = {"item_id": item.id, "content_index": 0, "audio_end_ms": heard_ms}
        await self.send("conversation.item.truncated", **where)

    def _shown(self) -> dict[str, Any]:
        who = {"id": self._id, "object": "realtime.session", "model": self._offered.name}
        return {**who, **self.config.to_dict(self._beta)}
