"""From a job to an HTTP answer: whole, as chunks, or as events."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pyomni.api.result import join
from pyomni.audio.tempo import Tempo
from pyomni.errors import AudioError, Cancelled
from pyomni.server.encoding import Encoder
from pyomni.server.failures import said_of
from pyomni.server.job import Job
from pyomni.server.tables import FORMATS
from pyomni.server.ticket import Ticket, ended

__all__ = ["OfJob", "Streamed", "audio_headers", "collected", "sse_event", "unless_gone"]

F32 = npt.NDArray[np.float32]
T = TypeVar("T")
LOG = logging.getLogger("pyomni.server")


def audio_headers(kind: str, sample_rate: int) -> dict[str, str]:
    """Return what an answer says of its sound, before compression."""
    return {
        "X-Audio-Sample-Rate": str(sample_rate),
        "X-Audio-Encoding": "pcm_s16le" if kind in ("pcm", "wav") else kind,
        "X-Audio-Channels": "1",
        "X-Audio-Bits-Per-Sample": "16",
    }


async def unless_gone(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """Do some work, but not for a client that hangs up; its body was read before.

    Raises
    ------
    Cancelled
        The client is gone.
    """
    task = asyncio.ensure_future(work())

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    watcher = asyncio.ensure_future(watch())
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Cancelled("the client is gone")
        return task.result()
    finally:
        await ended(watcher, task)


async def collected(job: Job) -> F32:
    """Return the speech whole, float32 [n].

    Raises
    ------
    AudioError
        There is none.
    """
    pcm = join([block async for block in job])
    if not pcm.size:
        raise AudioError("the speech came out empty, expected some sound; another text or seed may give it")
    return pcm


class OfJob(StreamingResponse):
    """What a job makes, as it is made; the job is cancelled when the client is gone, however that shows."""

    job: Ticket[Any]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.job.cancel()


class Streamed(OfJob):
    """Sound as it is made.

    Parameters
    ----------
    job : Job
    first : float32 [n]
        Its first block, taken before so that what fails before it has a status of its own.
    kind : str
        Format.
    speed : float
        As of `Tempo`.
    """

    def __init__(
        self, job: Job, first: F32, kind: str, sample_rate: int, *, events: bool, speed: float = 1.0
    ) -> None:
        self.job: Job = job
        self._first = first
        self._tempo = Tempo(sample_rate, speed)
        self._encoder = Encoder(kind, sample_rate)
        super().__init__(
            self._events() if events else self._chunks(),
            media_type="text/event-stream" if events else FORMATS[kind],
            headers={**audio_headers(kind, sample_rate), "Cache-Control": "no-store"},
        )

    async def _chunks(self) -> AsyncIterator[bytes]:
        # an error after the first sound can only break the connection: an ended chunked body would look whole
        if data := self._encoder.push(self._tempo.push(self._first)):
            yield data
        async for block in self.job:
            if data := self._encoder.push(self._tempo.push(block)):
                yield data
        if data := self._encoder.push(self._tempo.finish()) + self._encoder.finish():
            yield data

    async def _events(self) -> AsyncIterator[bytes]:
        n_in = len(self.job.prepared.script.parts[0].plan.layout.positions)
        try:
            async for data in self._chunks():
                if data:
                    yield sse_event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})
        except Exception as error:
            LOG.warning("a stream ended early: %s", error)
            yield sse_event({"type": "speech.audio.error", "error": said_of(error)})
            return
        receipt = self.job.receipt
        n_out = receipt.frames if receipt else 0
        usage = {"input_tokens": n_in, "output_tokens": n_out, "total_tokens": n_in + n_out}
        yield sse_event(
            {
                "type": "speech.audio.done",
                "usage": usage,
                "receipt": receipt.to_dict() if receipt else None,
            }
        )


def sse_event(value: dict[str, Any]) -> bytes:
    """Return a server-sent event."""
    return f"data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
