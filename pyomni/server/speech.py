"""The routes that speak."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pyomni.api import SpeechRequest
from pyomni.api.result import join
from pyomni.audio.tempo import stretched
from pyomni.errors import AudioError
from pyomni.server.answers import Streamed, audio_headers, collected, unless_gone
from pyomni.server.doors import error_answer
from pyomni.server.encoding import whole
from pyomni.server.failures import BadRequest, TooLate
from pyomni.server.fields import Asked, read_speech
from pyomni.server.job import Job
from pyomni.server.schema import check
from pyomni.server.state import State
from pyomni.server.tables import BATCH, FORMATS

__all__ = ["batch", "json_body", "speech", "with_voice"]


async def json_body(request: Request) -> Any:
    """Return the body, parsed.

    Raises
    ------
    BadRequest
        It is not JSON.
    """
    raw = await request.body()
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON, expected a JSON object") from None


async def speech(request: Request) -> Response:
    """``POST /v1/audio/speech``."""
    state: State = request.app.state.pyomni
    asked = _read(state, await json_body(request))

    async def begin() -> tuple[Job, Any]:
        job = await _submit(state, asked)
        try:
            if not asked.stream:
                return job, await collected(job)
            async for block in job:
                return job, block
            raise AudioError("the speech came out empty, expected some sound; another text may give it")
        except BaseException:
            job.cancel()
            raise

    job, pcm = await unless_gone(request, begin)
    rate = state.model.sample_rate
    if asked.stream:
        return Streamed(job, pcm, asked.format, rate, events=asked.events, speed=asked.speed)
    data, headers = await asyncio.to_thread(_file, job, pcm, asked, rate)
    return Response(data, media_type=FORMATS[asked.format], headers=headers)


async def batch(request: Request) -> Response:
    """``POST /v1/audio/speech/batch``: what became of each text, in order; sound as base64."""
    state: State = request.app.state.pyomni
    body = await json_body(request)
    check(body, BATCH)
    items = body["items"]
    common = {key: value for key, value in body.items() if key not in ("items", "stream", "stream_format")}

    async def one(index: int, item: Any) -> dict[str, Any]:
        try:
            if not isinstance(item, dict):
                raise BadRequest(f"items[{index}] is not an object, expected a request for speech", "items")
            asked = _read(state, {**common, **item})
            job = await _submit(state, asked)
            try:
                pcm = await collected(job)
            finally:
                job.cancel()
            data, _ = await asyncio.to_thread(_file, job, pcm, asked, state.model.sample_rate)
        except Exception as error:
            answer = error_answer(error)
            return {"index": index, "status": answer.status_code, **json.loads(bytes(answer.body))}
        receipt = job.receipt.to_dict() if job.receipt else None
        audio = base64.b64encode(data).decode()
        return {"index": index, "status": 200, "format": asked.format, "audio": audio, "receipt": receipt}

    async def together() -> list[dict[str, Any]]:
        return await asyncio.gather(*(one(i, item) for i, item in enumerate(items)))

    return JSONResponse({"results": await unless_gone(request, together)})


def _read(state: State, body: Any) -> Asked:
    return read_speech(body, state.served, state.settings.max_chars)


async def _submit(state: State, asked: Asked) -> Job:
    """Clone what is to be cloned, lay the text out, and queue it; the deadline is that of all this."""
    end = time.monotonic() + state.settings.deadline
    request = await with_voice(state, asked, state.settings.deadline)
    prepared = await asyncio.to_thread(state.scheduler.live.prepare, request)
    return state.scheduler.submit(prepared, end - time.monotonic())


async def with_voice(state: State, asked: Asked, seconds: float) -> SpeechRequest:
    """Return a request with the voice of its clip, if it has one.

    Raises
    ------
    TooLate
        The clip was not heard within so many seconds.
    """
    if asked.clip is None:
        return asked.request
    live, clip, transcript = state.scheduler.live, asked.clip, asked.transcript
    cloning = state.scheduler.between_frames(lambda: live.clone(clip, transcript))
    try:
        return replace(asked.request, voice=await asyncio.wait_for(cloning, seconds))
    except asyncio.TimeoutError:
        raise TooLate("the clip was not heard by the deadline, expected a shorter queue") from None


def _file(job: Job, pcm: Any, asked: Asked, rate: int) -> tuple[bytes, dict[str, str]]:
    """Return a finished file, and the headers that go with it."""
    headers, receipt = audio_headers(asked.format, rate), job.receipt
    pcm = join(stretched([pcm], rate, asked.speed))
    if receipt is not None:
        headers["X-Pyomni-Receipt"] = receipt.to_json()
    return whole(pcm, rate, asked.format, receipt.info() if receipt else {}), headers
