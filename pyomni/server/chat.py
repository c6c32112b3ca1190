"""``POST /v1/chat/completions``: text and media in, text and speech out."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pyomni.api.result import join
from pyomni.audio.wav import to_int16
from pyomni.server.answers import OfJob, sse_event, unless_gone
from pyomni.server.chat_fields import ChatAsked, read_chat
from pyomni.server.chat_job import AudioBlock, ChatEvent, ChatJob, ChatRequest, Done, TextDelta
from pyomni.server.encoding import whole
from pyomni.server.failures import TooLate, said_of
from pyomni.server.parts import Reader
from pyomni.server.said import EXPIRES_S
from pyomni.server.speech import json_body
from pyomni.server.state import ChatState

__all__ = ["EventStream", "after", "collected", "completions", "first_of", "submit"]

T = TypeVar("T")


class _Known:
    """What a request may name, of a server's state."""

    def __init__(self, state: ChatState) -> None:
        self.name = state.name
        self.speakers: list[str] = state.model.speakers
        self.takes_tools: bool = state.model.takes_tools
        self.said = state.said.words


async def completions(request: Request) -> Response:
    """``POST /v1/chat/completions``."""
    state: ChatState = request.app.state.pyomni
    body = await json_body(request)
    known, reader = _Known(state), Reader(state.settings, tuple(state.model.takes))
    end = time.monotonic() + state.settings.deadline
    state.scheduler.check_place()

    async def begin() -> tuple[ChatAsked, ChatJob, Any]:
        asked = await _by(end, asyncio.to_thread(lambda: read_chat(body, reader, known)))
        job = await submit(state, asked.request, end)
        return asked, job, await (first_of(job) if asked.stream else collected(job))

    asked, job, found = await unless_gone(request, begin)
    answer = _Answer(state, asked)
    if asked.stream:
        return EventStream(job, answer.chunks(job, found))
    text, pcm, done = found
    message = await asyncio.to_thread(answer.message, text, pcm, done)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": done.finish_reason}
    headers = {} if done.receipt is None else {"X-Pyomni-Receipt": done.receipt.public().to_json()}
    head = answer.head("chat.completion")
    return JSONResponse({**head, "choices": [choice], "usage": done.usage}, headers=headers)


class _Answer:
    """One answer, in OpenAI's shapes."""

    def __init__(self, state: ChatState, asked: ChatAsked) -> None:
        self._state, self._asked = state, asked
        self._id, self._sound_id = f"chatcmpl-{secrets.token_hex(12)}", f"audio_{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._expires = self._created + EXPIRES_S

    def head(self, kind: str) -> dict[str, Any]:
        """Return what all answers and chunks begin with."""
        return {"id": self._id, "object": kind, "created": self._created, "model": self._state.name}

    def message(self, text: str, pcm: npt.NDArray[np.float32], done: Done) -> dict[str, Any]:
        """Return the message of a whole answer; encoding takes time."""
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if not pcm.size:  # not asked for, or there was not a word to say
            return message
        info = done.receipt.info() if done.receipt else {}
        data = whole(pcm, self._state.model.sample_rate, self._asked.format, info)
        sound = {
            "id": self._sound_id,
            "data": base64.b64encode(data).decode(),
            "expires_at": self._expires,
            "transcript": text,
        }
        self._state.said.keep(self._sound_id, text, self._expires)
        return {**message, "content": None, "audio": sound}

    async def chunks(self, job: ChatJob, first: ChatEvent) -> AsyncIterator[bytes]:
        """Yield an answer as it is made."""
        speaks = self._asked.request.speak
        yield self._chunk({"role": "assistant", "content": None if speaks else "", "refusal": None})
        async for event in after(first, job):
            if isinstance(event, TextDelta):
                yield self._chunk(self._sound(transcript=event.text) if speaks else {"content": event.text})
            elif isinstance(event, AudioBlock):
                data = to_int16(event.pcm).astype("<i2").tobytes()
                yield self._chunk(self._sound(data=base64.b64encode(data).decode()))
            else:
                if speaks:
                    self._state.said.keep(self._sound_id, event.text, self._expires)
                    yield self._chunk(self._sound(expires_at=self._expires))
                yield self._chunk({}, event.finish_reason)
                if self._asked.usage:
                    head = self.head("chat.completion.chunk")
                    yield sse_event({**head, "choices": [], "usage": event.usage})
        yield b"data: [DONE]\n\n"

    def _sound(self, **given: Any) -> dict[str, Any]:
        return {"audio": {"id": self._sound_id, **given}}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self._asked.usage else {}
        return sse_event({**self.head("chat.completion.chunk"), "choices": [choice], **usage})


# -- what is shared with transcriptions ---------------------------------


async def submit(state: ChatState, request: ChatRequest, end: float) -> ChatJob:
    """Queue a request, to be done by then."""
    return await state.scheduler.submit(request, end - time.monotonic())


async def first_of(job: ChatJob) -> ChatEvent:
    """Return the first event, taken early so that what fails before it has a status of its own."""
    async for event in job:
        return event
    raise AssertionError("an answer ends with an event")


async def collected(job: ChatJob) -> tuple[str, npt.NDArray[np.float32], Done]:
    """Return an answer whole: text, samples and how it ended."""
    blocks = []
    async for event in job:
        if isinstance(event, AudioBlock):
            blocks.append(event.pcm)
        elif isinstance(event, Done):
            return event.text, join(blocks), event
    raise AssertionError("an answer ends with an event")


class EventStream(OfJob):
    """Server-sent events of a job; an error on the way is the last of them."""

    def __init__(self, job: ChatJob, chunks: AsyncIterator[bytes]) -> None:
        self.job: ChatJob = job
        headers = {"Cache-Control": "no-store"}
        super().__init__(self._sent(chunks), media_type="text/event-stream", headers=headers)

    async def _sent(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                yield chunk
        except Exception as error:
            yield sse_event({"error": said_of(error)})


async def after(first: ChatEvent, job: ChatJob) -> AsyncIterator[ChatEvent]:
    """Yield all events of a job whose first was taken."""
    yield first
    async for event in job:
        yield event


async def _by(end: float, work: Awaitable[T]) -> T:
    try:
        return await asyncio.wait_for(work, max(0.0, end - time.monotonic()))
    except asyncio.TimeoutError:
        raise TooLate("the request was not read by its deadline, expected it sooner") from None
