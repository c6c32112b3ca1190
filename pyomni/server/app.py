"""The routes, and what surrounds them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Match, Route, WebSocketRoute

from pyomni.api import SpeechModel
from pyomni.server import speech, talk, voices
from pyomni.server.doors import Doors, error_answer
from pyomni.server.failures import BUG, NotFound, failure_of
from pyomni.server.names import ALIASES
from pyomni.server.openapi import openapi
from pyomni.server.scheduler import Scheduler
from pyomni.server.settings import Settings
from pyomni.server.state import State

__all__ = ["make_app"]

LOG = logging.getLogger("pyomni.server")
Handler = Callable[[Request], Awaitable[Response]]


def make_app(model: SpeechModel, settings: Settings) -> Starlette:
    """Return the ASGI application that serves a model; `app.state.pyomni` is its `State`.

    The model speaks for the application alone until ``app.state.pyomni.scheduler.close()``.
    """
    app = Starlette(
        routes=[
            Route("/v1/audio/speech", _counted(speech.speech), methods=["POST"]),
            Route("/v1/audio/speech/batch", _counted(speech.batch), methods=["POST"]),
            WebSocketRoute("/v1/audio/speech/stream", talk.speech_stream),
            Route("/v1/audio/voices", _counted(voices.listed), methods=["GET"]),
            Route("/v1/audio/voices", _counted(voices.create), methods=["POST"]),
            Route("/v1/audio/voices/{id}", _counted(voices.delete), methods=["DELETE"]),
            Route("/v1/audio/models", audio_models),
            Route("/v1/models", models),
            Route("/v1/models/{id}", _counted(model_named)),
            Route("/health", health),
            Route("/ready", ready),
            Route("/metrics", metrics),
            Route("/openapi.json", openapi),
        ],
        exception_handlers={HTTPException: _http_error},
    )
    app.add_middleware(Doors, settings=settings)
    app.state.pyomni = State(model, Scheduler(model.live(), settings.queue), settings)
    return app


def _counted(handler: Handler) -> Handler:
    """Count a route's requests, and make answers of its errors."""

    async def answer(request: Request) -> Response:
        state: State = request.app.state.pyomni
        state.requests += 1
        try:
            return await handler(request)
        except Exception as error:
            state.failures += 1
            if failure_of(error)[0] is BUG:
                LOG.exception("a request failed")
            return error_answer(error)

    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer for a route that is not there, or not for this method."""
    status = getattr(error, "status_code", 500)
    words = f"{request.method} {request.url.path} is not served here"
    kind = {"type": "invalid_request_error", "code": "not_found" if status == 404 else "bad_request"}
    headers = {"Allow": ", ".join(_methods(request))} if status == 405 else None
    return JSONResponse({"error": {"message": words, "param": None, **kind}}, status, headers)


def _methods(request: Request) -> list[str]:
    """Return the methods of all routes of a request's path."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    found = [route.methods or () for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted(set().union(*found))


async def models(request: Request) -> Response:
    """``GET /v1/models``: the model, and the names of OpenAI's that it answers to."""
    names = (request.app.state.pyomni.name, *ALIASES)
    return JSONResponse({"object": "list", "data": [_model(name) for name in names]})


async def model_named(request: Request) -> Response:
    """``GET /v1/models/{id}``: one of them."""
    name, known = request.path_params["id"], request.app.state.pyomni.name
    if name not in (known, *ALIASES):
        raise NotFound(f"model {name[:100]!r} is not here, expected {known!r}", "model")
    return JSONResponse(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "pyomni"}


async def audio_models(request: Request) -> Response:
    """``GET /v1/audio/models``, as Open WebUI reads it."""
    name = request.app.state.pyomni.name
    return JSONResponse({"models": [{"id": one, "name": one} for one in (name, *ALIASES)]})


async def health(request: Request) -> Response:
    """``GET /health``: the process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """``GET /ready``: it takes requests."""
    takes = request.app.state.pyomni.scheduler.ready
    return JSONResponse({"status": "ready" if takes else "stopping"}, 200 if takes else 503)


async def metrics(request: Request) -> Response:
    """``GET /metrics``, in Prometheus' text format."""
    state: State = request.app.state.pyomni
    running, waiting = state.scheduler.load()
    work = state.scheduler
    rows: list[tuple[str, str, str, Any]] = [
        ("requests_total", "counter", "Requests to the /v1/audio routes.", state.requests),
        ("requests_failed_total", "counter", "Those answered with an error.", state.failures),
        ("speeches_total", "counter", "Speeches made to their end.", work.done),
        ("speeches_cancelled_total", "counter", "Speeches nobody waited for.", work.cancelled),
        ("speeches_failed_total", "counter", "Speeches that failed on the way.", work.failed),
        ("frames_total", "counter", "Frames of speech.", work.frames),
        ("audio_seconds_total", "counter", "Seconds of sound.", work.samples / work.live.sample_rate),
        ("running", "gauge", "Requests that have a lane.", running),
        ("waiting", "gauge", "Requests that wait for one.", waiting),
        ("lanes", "gauge", "Lanes.", work.live.lanes),
    ]
    text = "".join(
        f"# HELP pyomni_{name} {words}\n# TYPE pyomni_{name} {kind}\npyomni_{name} {value}\n"
        for name, kind, words, value in rows
    )
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
