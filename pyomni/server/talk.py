"""``/v1/audio/speech/stream``: a socket that takes text in pieces and speaks it while more comes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from dataclasses import replace

from starlette.websockets import WebSocket, WebSocketDisconnect

from pyomni.api import SpeechRequest
from pyomni.api.many import Prepared
from pyomni.api.result import join
from pyomni.audio.tempo import Tempo
from pyomni.errors import AudioError, Cancelled
from pyomni.pipelines.arriving import Arrival
from pyomni.server.dialects import DIALECTS, Dialect, Done, Said
from pyomni.server.encoding import Encoder, whole
from pyomni.server.failures import BUG, BadRequest, TooLarge, TooLate, close_code, failure_of
from pyomni.server.fields import Asked, read_manner
from pyomni.server.job import Job
from pyomni.server.speech import with_voice
from pyomni.server.state import State
from pyomni.server.ticket import ended

__all__ = ["speech_stream"]

LOG = logging.getLogger("pyomni.server")
#: Seconds of speech of one utterance, at most: the lanes have room for so much.
UTTERANCE_S = 240.0
#: Messages of the next utterance that may wait for the end of this one.
WAITING = 10_000


async def speech_stream(socket: WebSocket) -> None:
    """``/v1/audio/speech/stream``, in the dialect that the subprotocol names."""
    state: State = socket.app.state.pyomni
    protocol = next((one for one in socket.scope["subprotocols"] if one in DIALECTS), None)
    dialect = DIALECTS[protocol]()
    await socket.accept(subprotocol=protocol)
    session = _Session(state, socket, dialect)
    try:
        await session.run()
        await socket.close()
    except WebSocketDisconnect:
        pass
    except Exception as error:
        state.failures += 1
        if failure_of(error)[0] is BUG:
            LOG.exception("a socket failed")
        await _say_and_close(socket, dialect, error)
    finally:
        await session.stop()


async def _say_and_close(socket: WebSocket, dialect: Dialect, error: Exception) -> None:
    try:
        await socket.send_json(dialect.error(error))
        await socket.close(close_code(error), failure_of(error)[0].code)
    except (WebSocketDisconnect, RuntimeError):
        pass  # it is closed already


class _Session:
    """One connection: what it asked for, and the utterance that is spoken."""

    def __init__(self, state: State, socket: WebSocket, dialect: Dialect) -> None:
        self._state, self._socket, self._dialect = state, socket, dialect
        self._asked: Asked | None = None
        self._lead, self._index = "", 0  # white space before an utterance, and its number
        self._text: Arrival | None = None
        self._job: Job | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._receiving: asyncio.Task[Said] | None = None
        self._waiting: deque[Said] = deque()  # for the next utterance

    async def run(self) -> None:
        """Hear and speak until the connection is to be closed; raises what ends it early."""
        await self._send(*self._dialect.hello(self._state.model.sample_rate))
        while True:
            if self._waiting and self._open:
                said = self._waiting.popleft()
            elif (heard := await self._next()) is not None:
                said = heard
            else:
                self._text = self._job = self._speaking = None
                self._index += 1
                if self._dialect.once:
                    return
                continue
            if not self._open and said.kind != "cancel":
                self._put_by(said)
                continue
            if said.kind == "close":
                return
            await self._do(said)
            await self._send(*self._dialect.heard(said))

    @property
    def _open(self) -> bool:
        """Whether messages are of this utterance, or of none; else they are of the next."""
        return self._text is None or not self._text.ended

    async def stop(self) -> None:
        """Free the lane, and end what runs."""
        if self._job is not None:
            self._job.cancel()
        tasks = [task for task in (self._speaking, self._receiving) if task is not None]
        await ended(*tasks)

    # -- hearing ----------------------------------------------------

    async def _next(self) -> Said | None:
        """Return the next message, or None once the utterance has been spoken."""
        if self._receiving is None:
            self._receiving = asyncio.ensure_future(self._receive())
        tasks: list[asyncio.Task[None] | asyncio.Task[Said]] = [self._receiving]
        if self._speaking is not None:
            tasks.append(self._speaking)
        holds = self._text is not None and not self._text.ended
        wait = self._state.settings.text_wait if holds else None
        done, _ = await asyncio.wait(tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        if self._speaking is not None and self._speaking in done:
            self._speaking.result()
            return None
        if not done:
            raise TooLate(f"no text came for {wait:g} s, expected more or the end of it")
        said, self._receiving = self._receiving.result(), None
        return said

    async def _receive(self) -> Said:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        try:
            value = json.loads(message.get("text") or "")
        except (ValueError, RecursionError):
            raise BadRequest("the message is not JSON, expected a JSON object as text") from None
        return self._dialect.read(value)

    def _put_by(self, said: Said) -> None:
        n = sum(len(one.text) for one in self._waiting) + len(said.text)
        if n > self._state.settings.max_chars or len(self._waiting) >= WAITING:
            raise TooLarge("too much text waits for the end of this utterance, expected less, or a cancel")
        self._waiting.append(said)

    async def _do(self, said: Said) -> None:
        if said.kind == "config":
            await self._configure(said)
        elif self._asked is None:
            raise BadRequest("there is no configuration yet, expected it before any text", "type")
        elif said.kind == "text":
            await self._add(said.text, self._asked)
        elif said.kind == "done":
            await self._end()
        elif said.kind == "cancel":
            self._lead = ""
            self._waiting.clear()
            if self._job is not None and self._text is not None:
                self._text.end()  # what comes from here on is of the next utterance
                self._job.cancel()

    async def _configure(self, said: Said) -> None:
        """Check what is asked for, all but the text, and clone the voice."""
        if self._text is not None or (self._dialect.once and self._asked is not None):
            raise BadRequest("a configuration came within an utterance, expected it before one", "type")
        state = self._state
        asked = read_manner(said.fields, state.served, "")
        request = await with_voice(state, asked, state.settings.deadline)
        self._asked = replace(asked, request=request)
        await self._prepared(request, Arrival())

    async def _add(self, piece: str, asked: Asked) -> None:
        n = len(self._lead) + len(piece) + (0 if self._text is None else self._text.n_chars)
        if n > self._state.settings.max_chars:
            most = self._state.settings.max_chars
            raise TooLarge(f"the text has {n} characters, expected at most {most}", "text")
        if self._text is not None and self._job is not None:
            self._text.add(piece)
            self._job.tell()
            return
        self._lead += piece
        if not self._lead.strip():
            return  # nothing is begun, and no lane held, for white space
        text, first = Arrival(), self._lead
        text.add(first)
        prepared = await self._prepared(asked.request, text)
        self._job = self._state.scheduler.submit(prepared, self._state.settings.deadline)
        self._text, self._lead = text, ""
        self._state.requests += 1
        self._speaking = asyncio.ensure_future(self._speak(self._job, asked, first))

    async def _end(self) -> None:
        if self._text is None or self._job is None:
            self._lead = ""
            await self._send(*self._dialect.ends(Done(self._index, 0, 0, 0, "")))
            self._index += 1
            return
        self._text.end()
        self._job.tell()

    # -- speaking ---------------------------------------------------

    async def _prepared(self, request: SpeechRequest, text: Arrival) -> Prepared:
        live = self._state.scheduler.live
        return await asyncio.to_thread(live.prepare_arriving, replace(request, text=text), UTTERANCE_S)

    async def _speak(self, job: Job, asked: Asked, text: str) -> None:
        """Send the sound of one utterance, as it is made or as one file."""
        rate, dialect = self._state.model.sample_rate, self._dialect
        tempo, encoder = Tempo(rate, asked.speed), Encoder(asked.format, rate)
        sizes: list[int] = []
        blocks = []
        reason, begun = "cancelled", False
        try:
            async for block in job:
                if not begun:
                    begun = True
                    await self._send(*dialect.begins(self._index, text, asked.format, rate))
                blocks.append(tempo.push(block))
                if asked.stream:
                    await self._sound(encoder.push(blocks.pop()), sizes)
            if not begun:
                raise AudioError("the speech came out empty, expected some sound; another text may give it")
            reason = job.receipt.finish_reason if job.receipt else "stop"
            blocks.append(tempo.finish())
            if asked.stream:
                await self._sound(encoder.push(blocks.pop()) + encoder.finish(), sizes)
            else:
                info = job.receipt.info() if job.receipt else {}
                await self._sound(
                    await asyncio.to_thread(whole, join(blocks), rate, asked.format, info), sizes
                )
        except Cancelled:
            pass
        frames = job.receipt.frames if job.receipt else 0
        await self._send(*dialect.ends(Done(self._index, len(sizes), sum(sizes), frames, reason)))

    async def _sound(self, data: bytes, sizes: list[int]) -> None:
        if data:
            await self._socket.send_bytes(data)
            sizes.append(len(data))

    async def _send(self, *messages: dict[str, object]) -> None:
        for message in messages:
            await self._socket.send_json(message)
