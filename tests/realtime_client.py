"""A session with a client that reads its events, and a scheduler that answers what a test tells it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pyomni.server.chat_job import ChatJob, ChatRequest, Done
from pyomni.server.realtime.config import Offered
from pyomni.server.realtime.session import Session
from pyomni.server.realtime.sound import RATE
from pyomni.server.settings import Settings

TEXT = "One two three four five six seven eight nine ten."
SPEAKERS = ["chelsie", "ethan", "aiden"]


def loud(seconds: float) -> np.ndarray:
    """Return a noise, int16 [n]."""
    n = int(seconds * RATE)
    return (np.random.default_rng(n).uniform(-0.5, 0.5, n) * 32767).astype(np.int16)


def silent(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.int16)


def encoded(pcm: np.ndarray) -> str:
    return base64.b64encode(pcm.astype("<i2").tobytes()).decode()


def decoded(events: list[dict[str, Any]]) -> np.ndarray:
    """Return the sound of events, int16 [n]."""
    deltas = [e["delta"] for e in events if e["type"].endswith("audio.delta")]
    return np.frombuffer(b"".join(map(base64.b64decode, deltas)), "<i2")


def loudness() -> Callable[[np.ndarray], float]:
    """Return a network that takes every noise for speech."""
    return lambda window: float(np.abs(window).max() > 0.1)


class Scripted:
    """A scheduler whose jobs a test feeds."""

    def __init__(self) -> None:
        self.jobs: list[ChatJob] = []
        self.fails: Exception | None = None

    async def submit(self, request: ChatRequest, seconds: float) -> ChatJob:
        if self.fails is not None:
            raise self.fails
        self.jobs.append(ChatJob(request, time.monotonic() + seconds, lambda: None))
        return self.jobs[-1]


class Client:
    """The other end of a session; make it with `opened`."""

    def __init__(self, **options: Any) -> None:
        self.now, self.scheduler = 100.0, Scripted()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        offered = Offered("toy", RATE, SPEAKERS, ("audio", "image"), Settings(max_chars=500))
        beta, load = options.pop("beta", False), options.pop("load", loudness)
        self.session = Session(
            self.scheduler, offered, self._take, beta=beta, load=load, clock=lambda: self.now
        )

    async def _take(self, text: str) -> None:
        self._events.put_nowait(json.loads(text))

    async def send(self, kind: str, **fields: Any) -> None:
        await self.session.take(json.dumps({"type": kind, **fields}))

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """Return the events up to the next of a kind."""
        found = [await asyncio.wait_for(self._events.get(), 60)]
        while found[-1]["type"] != kind:
            found.append(await asyncio.wait_for(self._events.get(), 60))
        return found

    def left(self) -> list[dict[str, Any]]:
        """Return what has come and was not read."""
        return [self._events.get_nowait() for _ in range(self._events.qsize())]

    async def error(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send what is refused, and return the error."""
        await self.send(kind, event_id="mine", **fields)
        [event] = await self.until("error")
        assert event["error"]["event_id"] == "mine"
        return event["error"]

    async def says(self, text: str) -> None:
        """Put a user's words into the conversation."""
        content = [{"type": "input_text", "text": text}]
        await self.send(
            "conversation.item.create", item={"type": "message", "role": "user", "content": content}
        )
        await self.until("conversation.item.done")

    async def records(self, *parts: np.ndarray) -> None:
        for part in parts:
            await self.send("input_audio_buffer.append", audio=encoded(part))

    async def asks(self, **response: Any) -> ChatJob:
        """Ask for an answer, and return its job."""
        await self.send("response.create", response=response)
        await self.until("response.created")
        return await self.job()

    async def job(self) -> ChatJob:
        """Return the last job, once the answer reads it."""
        n = len(self.scheduler.jobs)
        while self.session.busy and (not n or self.scheduler.jobs[-1].gone):
            await asyncio.sleep(0)
            n = len(self.scheduler.jobs)
        return self.scheduler.jobs[-1]


async def opened(*, vad: bool = False, **options: Any) -> Client:
    """Open a session; without `vad`, push to talk."""
    client = Client(**options)
    await client.session.begin()
    await client.until("session.created")
    if not vad:
        await client.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
        await client.until("session.updated")
    return client


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def tone(seconds: float) -> np.ndarray:
    return (np.sin(np.arange(int(seconds * RATE)) * 0.1) * 0.5).astype(np.float32)


def finish(job: ChatJob, text: str, reason: str = "stop") -> None:
    job.give(Done(reason, text, 12, 5, 3, 2, None))
    job.give(None)


def role_texts(job: ChatJob) -> list[tuple[str, Any]]:
    def plain(content: Any) -> Any:
        return content if isinstance(content, str) else [part.get("text", part["type"]) for part in content]

    return [(message["role"], plain(message["content"])) for message in job.request.messages]
