"""The input audio buffer: filled by the client, cut into turns by it or by server VAD."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.server.realtime.events import Refused, new_id
from pyomni.server.realtime.hearing import Listener, Turns, silero
from pyomni.server.realtime.items import Item, user_item
from pyomni.server.realtime.sound import RATE, InputBuffer, milliseconds, pcm_of, samples

__all__ = ["MOST_SECONDS", "Microphone"]

F32 = npt.NDArray[np.float32]

#: Seconds of one turn, at most, and at least.
MOST_SECONDS, LEAST_SECONDS = 120, 0.1
#: Seconds heard at once, a frame: others get their turn in between, and an answer stops no later than this.
AT_ONCE = 0.08
#: Seconds kept before speech is noticed, besides the padding.
NOTICED = 1.0


class Room(Protocol):
    """The session the microphone stands in."""

    async def send(self, kind: str, **fields: Any) -> None:
        """Send an event."""

    async def committed(self, item: Item) -> None:
        """Take a turn into the conversation."""

    async def interrupt(self) -> None:
        """Somebody speaks: stop the answer."""

    async def answer_turn(self) -> None:
        """Answer what was just said."""


class Microphone:
    """What a client records.

    Parameters
    ----------
    room : Room
    load : callable
        As `silero`.
    """

    def __init__(self, room: Room, load: Callable[[], Callable[[F32], float]] = silero) -> None:
        self._room, self._load = room, load
        self._buffer = InputBuffer()
        self._listener: Listener | None = None
        self._item, self._began = "", 0  # of the turn that goes on

    async def listen(self, turns: Turns | None) -> None:
        """Find turns from here on, or leave that to the client.

        Raises
        ------
        Refused
            Nothing here can find them.
        """
        if turns is None:
            self._listener = None
        elif self._listener is None:
            self._listener = Listener(await asyncio.to_thread(self._load), turns, self._buffer.end)
        else:
            self._listener.turns = turns

    # -- the client's events -------------------------------------------

    async def append(self, event: dict[str, Any]) -> None:
        """``input_audio_buffer.append``: no answer but what it brings."""
        pcm = pcm_of(event.get("audio"), "audio")
        if self._listener is None:
            if len(self._buffer) + len(pcm) > MOST_SECONDS * RATE:
                held = (len(self._buffer) + len(pcm)) / RATE
                words = (
                    f"the buffer would hold {held:.1f} s, expected at most {MOST_SECONDS}; commit or clear it"
                )
                raise Refused("input_audio_buffer_full", words, "audio")
            self._buffer.append(pcm)
            return
        step = int(AT_ONCE * RATE)
        for begin in range(0, len(pcm), step):
            await self._hear(self._listener, pcm[begin : begin + step])
            await asyncio.sleep(0)

    async def commit(self, event: dict[str, Any]) -> None:
        """``input_audio_buffer.commit``: a turn ends here; an answer is asked for by itself."""
        begin, listener = self._buffer.start, self._listener
        if listener is not None:
            begin = self._began if listener.speaking else self._buffer.end
        n = self._buffer.end - begin
        if n < LEAST_SECONDS * RATE:
            raise Refused(
                "input_audio_buffer_commit_empty",
                f"the buffer holds {milliseconds(n)} ms, expected at least {LEAST_SECONDS * 1000:.0f}",
            )
        name = new_id("item")
        if listener is not None:
            name = self._item
            listener.forget()
        await self._commit(name, begin, self._buffer.end)

    async def clear(self, event: dict[str, Any]) -> None:
        """``input_audio_buffer.clear``: nothing was said."""
        self._buffer.clear()
        if self._listener is not None:
            self._listener.forget()
        await self._room.send("input_audio_buffer.cleared")

    # -- server VAD -----------------------------------------------------

    async def _hear(self, listener: Listener, pcm: npt.NDArray[np.int16]) -> None:
        self._buffer.append(pcm)
        for turn in listener.push(pcm):
            if turn.began:
                await self._begin(listener.turns, turn.place)
            else:
                await self._end(listener.turns, turn.place)
        if not listener.speaking:
            kept = samples(listener.turns.prefix_padding_ms) + int(NOTICED * RATE)
            self._buffer.drop_before(self._buffer.end - kept)
        elif self._buffer.end - self._began >= MOST_SECONDS * RATE:
            listener.forget()  # whoever still speaks begins another turn
            await self._end(listener.turns, self._buffer.end)

    async def _begin(self, turns: Turns, place: int) -> None:
        self._began = max(place - samples(turns.prefix_padding_ms), self._buffer.start)
        self._item = new_id("item")
        at = milliseconds(self._began)
        await self._room.send("input_audio_buffer.speech_started", audio_start_ms=at, item_id=self._item)
        if turns.interrupt_response:
            await self._room.interrupt()

    async def _end(self, turns: Turns, place: int) -> None:
        at = milliseconds(place)
        await self._room.send("input_audio_buffer.speech_stopped", audio_end_ms=at, item_id=self._item)
        await self._commit(self._item, self._began, place)
        if turns.create_response:
            await self._room.answer_turn()

    async def _commit(self, name: str, begin: int, end: int) -> None:
        await self._room.committed(user_item(self._buffer.take(begin, end), name))
