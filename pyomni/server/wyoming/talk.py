"""One client: what it asks is answered in order, until it is gone or something fails.

A text that comes in pieces is spoken sentence by sentence, each once the next has begun. Only where the model
makes the voice up for each text is all of it awaited, as the voice would be another with every sentence.

What fails is said in an event, and ends the connection: Home Assistant waits for the end of the sound for as
long as that is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, async_write_event
from wyoming.info import Describe
from wyoming.ping import Ping, Pong
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped

from pyomni.api import SpeechRequest
from pyomni.audio.wav import to_int16
from pyomni.errors import AudioError
from pyomni.pipelines.script import part_seed
from pyomni.server.failures import BUG, BadRequest, Busy, TooLarge, TooLate, failure_of
from pyomni.server.fields import read_manner
from pyomni.server.job import Job
from pyomni.server.state import State
from pyomni.server.ticket import ended
from pyomni.server.values import text_of
from pyomni.server.wyoming.about import fields_of, info
from pyomni.server.wyoming.events import read_event
from pyomni.text.sentences import Sentences
from pyomni.text.split import Piece

__all__ = ["Talk"]

LOG = logging.getLogger("pyomni.server")
#: Texts of one client that may wait for the one before them.
MOST = 32
#: Seconds that a client is given to hang up after an error.
PATIENCE_S = 2.0


@dataclass
class Asked:
    """A text to speak, as much of it as is there.

    Attributes
    ----------
    request : SpeechRequest
        All but the text.
    sentences : Sentences or None
        Of a text that arrives; None where it came whole, or is awaited.
    streamed : bool
        Whether the client called it a stream.
    """

    request: SpeechRequest
    sentences: Sentences | None
    streamed: bool
    length: int = 0
    awaited: str = ""
    pieces: asyncio.Queue[Piece | None] = field(default_factory=asyncio.Queue)

    def feed(self, text: str) -> None:
        self.length += len(text)
        if self.sentences is None:
            self.awaited += text
        else:
            self._put(self.sentences.feed(text))

    def finish(self) -> None:
        self._put([Piece(self.awaited, "paragraph")] if self.sentences is None else self.sentences.finish())
        self.pieces.put_nowait(None)

    def _put(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            if any(c.isalnum() for c in piece.text):
                self.pieces.put_nowait(piece)


class Talk:
    """A connection; `run` returns at its end."""

    def __init__(self, state: State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._state, self._reader, self._writer = state, reader, writer
        self._waiting: asyncio.Queue[Asked] = asyncio.Queue()
        self._arriving: Asked | None = None
        self._writing = asyncio.Lock()
        self._speaking = False

    @property
    def idle(self) -> bool:
        """Whether nothing is being spoken, or waits to be."""
        return not self._speaking and self._waiting.empty()

    async def run(self) -> None:
        """Answer."""
        tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._speak_all())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            errors = [error for task in tasks if task.done() and (error := task.exception()) is not None]
            await ended(*tasks)
            if errors:
                await self._say(errors[0])
                await self._hear_out()
        finally:
            await ended(*tasks)
            self._writer.close()

    async def _read(self) -> None:
        """Take events as they come, while others are answered: so it shows when the client is gone."""
        while (event := await read_event(self._reader)) is not None:
            await self._take(event)

    async def _take(self, event: Event) -> None:
        kind, data = event.type, event.data
        if Describe.is_type(kind):
            await self._write(info(self._state).event())
        elif Ping.is_type(kind):
            await self._write(Pong(text=data.get("text")).event())
        elif SynthesizeStart.is_type(kind):
            self._arriving = self._ask(data, streamed=True)
        elif SynthesizeChunk.is_type(kind):
            if self._arriving is not None:
                self._arriving.feed(self._text(data, self._arriving.length))
        elif SynthesizeStop.is_type(kind):
            if self._arriving is not None:
                self._arriving.finish()
                self._arriving = None
        elif Synthesize.is_type(kind) and self._arriving is None:  # in a stream it says all of it again
            text = self._text(data)
            asked = self._ask(data, streamed=False)
            asked.feed(text)
            asked.finish()

    def _ask(self, data: dict[str, Any], *, streamed: bool) -> Asked:
        """Check what is asked for, and queue it."""
        if self._waiting.qsize() >= MOST:
            raise Busy(f"{MOST} texts wait already, expected one after the other")
        state = self._state
        request = read_manner(fields_of(data, state), state.served, "").request
        one_by_one = streamed and state.scheduler.live.keeps_voice(request)
        asked = Asked(request, Sentences() if one_by_one else None, streamed)
        self._waiting.put_nowait(asked)
        return asked

    def _text(self, data: dict[str, Any], before: int = 0) -> str:
        text, most = text_of(data, "text", needed=True) or "", self._state.settings.max_chars
        if before + len(text) > most:
            raise TooLarge(f"text has more than {most} characters, expected at most so many", "text")
        return text

    async def _speak_all(self) -> None:
        while self._state.scheduler.ready or not self._waiting.empty():
            asked = await self._waiting.get()
            self._speaking = True
            self._state.requests += 1
            await self._speak(asked)
            self._speaking = False

    async def _speak(self, asked: Asked) -> None:
        form = {"rate": self._state.model.sample_rate, "width": 2, "channels": 1}
        options = asked.request.options
        seed = secrets.randbits(63) if options.seed is None else int(options.seed)
        index = n_samples = pause = 0
        while (piece := await asked.pieces.get()) is not None:
            more = replace(options, seed=part_seed(seed, index))
            job = await self._submit(replace(asked.request, text=piece.text, options=more), index)
            try:
                async for block in job:
                    if n_samples == 0:
                        await self._write(AudioStart(**form).event())
                    block = np.concatenate([np.zeros(pause, np.float32), block])
                    samples = to_int16(block).astype("<i2", copy=False)
                    await self._write(AudioChunk(audio=samples.tobytes(), **form).event())
                    n_samples, pause = n_samples + len(block), 0
            finally:
                job.cancel()
            index, pause = index + 1, round(options.pause_after(piece.end) * form["rate"])
        if index == 0:
            raise BadRequest("text is empty, expected what to say", "text")
        if n_samples == 0:
            raise AudioError("the speech came out empty, expected some sound; another text may give it")
        await self._write(AudioStop().event())
        if asked.streamed:
            await self._write(SynthesizeStopped().event())

    async def _submit(self, request: SpeechRequest, index: int) -> Job:
        """Lay a text out and queue it; what follows a first sentence is not refused any more."""
        work, seconds = self._state.scheduler, self._state.settings.deadline
        return work.submit(await asyncio.to_thread(work.live.prepare, request), seconds, goes_on=index > 0)

    async def _say(self, error: BaseException) -> None:
        if isinstance(error, ConnectionError):
            return  # nobody hears it
        self._state.failures += 1
        failure, words, _ = failure_of(error)
        if failure is BUG:
            LOG.error("a Wyoming client was failed", exc_info=error)
        with contextlib.suppress(ConnectionError, TooLate):
            await self._write(Error(text=words, code=failure.code).event())

    async def _hear_out(self) -> None:
        """Let the client hang up first: closing with something unread takes back what was said last."""

        async def drop() -> None:
            self._writer.write_eof()
            while await self._reader.read(1 << 16):
                pass

        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(drop(), PATIENCE_S)

    async def _write(self, event: Event) -> None:
        """Send an event; a client that does not read is waited for until the deadline."""
        async with self._writing:
            try:
                await asyncio.wait_for(async_write_event(event, self._writer), self._state.settings.deadline)
            except asyncio.TimeoutError:
                raise TooLate("the client did not read by the deadline, expected it to") from None
