"""The routes of voices: the model's speakers, and those saved in the user's folder."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pyomni.errors import ArgumentError
from pyomni.server.failures import BadRequest, NotFound
from pyomni.server.forms import read_form
from pyomni.server.names import known_voices
from pyomni.server.schema import check
from pyomni.server.speech import json_body
from pyomni.server.state import AnyState, State
from pyomni.server.tables import VOICE
from pyomni.server.values import decoded
from pyomni.voices import library

__all__ = ["create", "delete", "listed"]


async def listed(request: Request) -> Response:
    """``GET /v1/audio/voices``: objects with `id` and `name`, which is what Open WebUI reads."""
    state: AnyState = request.app.state.pyomni
    speakers = state.model.speakers
    saved: list[str] = []
    if isinstance(state, State):
        saved = [name for name in await asyncio.to_thread(known_voices) if name not in speakers]
    found = [{"id": name, "name": name, "kind": "preset"} for name in speakers]
    found += [{"id": name, "name": name, "kind": "saved"} for name in saved]
    return JSONResponse({"voices": found})


async def create(request: Request) -> Response:
    """``POST /v1/audio/voices``: clone a clip and keep the voice; multipart or JSON."""
    state: State = request.app.state.pyomni
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        fields, clip = await read_form(request, "audio_sample")
    else:
        fields, clip = await json_body(request), None
    check(fields, VOICE)
    name, transcript = fields["name"], fields.get("ref_text") or None
    try:
        library.path_of(name)
    except ArgumentError as error:
        raise BadRequest(str(error), "name") from None
    if name.lower() in state.model.speakers:
        raise BadRequest(f"name {name!r} is a speaker of the model, expected another", "name")
    given = fields.get("audio_sample") or fields.get("wav_b64")
    if clip is None and given is not None:
        clip = decoded(given, "audio_sample")
    if not clip:
        raise BadRequest("audio_sample is missing, expected a clip of the speaker", "audio_sample")
    live = state.scheduler.live
    voice = await state.scheduler.between_frames(lambda: live.clone(clip, transcript, name))
    await asyncio.to_thread(library.save, name, voice)
    made = {"id": name.lower(), "name": name.lower(), "kind": "saved"}
    openai = {"object": "audio.voice", "type": "audio_sample", "created_at": int(time.time())}
    return JSONResponse({**made, **openai}, 201)


async def delete(request: Request) -> Response:
    """``DELETE /v1/audio/voices/{id}``."""
    state: State = request.app.state.pyomni
    name = request.path_params["id"].strip().lower()
    if name in state.model.speakers:
        raise BadRequest(f"voice {name!r} is a speaker of the model, expected a saved voice", "id")
    if name not in await asyncio.to_thread(known_voices):
        raise NotFound(f"voice {name[:100]!r} is not here, expected a saved voice", "id")
    await asyncio.to_thread(library.remove, name)
    return JSONResponse({"id": name, "object": "audio.voice.deleted", "deleted": True})
