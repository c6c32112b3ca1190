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

from pyomni.api import OmniModel, SpeechModel
from pyomni.errors import UnsupportedModel
from pyomni.server import chat, front, speech, talk, transcriptions, voices
from pyomni.server.chat_scheduler import ChatScheduler
from pyomni.server.doors import Doors, error_answer
from pyomni.server.failures import BUG, NotFound, failure_of
from pyomni.server.names import ALIASES
from pyomni.server.openapi import openapi
from pyomni.server.realtime.route import Realtime, refuse
from pyomni.server.scheduler import Scheduler
from pyomni.server.settings import Settings
from pyomni.server.state import AnyState, ChatState, State

__all__ = ["make_app"]

LOG = logging.getLogger("pyomni.server")
Handler = Callable[[Request], Awaitable[Response]]


def make_app(model: SpeechModel | OmniModel, settings: Settings) -> Starlette:
    """Return the ASGI application that serves a model; `app.state.pyomni` is its `State` or `ChatState`.

    The model works for the application alone until ``app.state.pyomni.scheduler.close()``.
    """
    state: AnyState
    if isinstance(model, OmniModel):
        state = ChatState(model, ChatScheduler(model, settings.queue), settings)
    else:
        state = State(model, Scheduler(model.live(), settings.queue), settings)

    realtime = Realtime(state.scheduler, settings) if isinstance(state, ChatState) else None

    def only(handler: Handler, converses: bool = False) -> Handler:
        return _counted(handler if converses == isinstance(model, OmniModel) else _other(converses))

    app = Starlette(
        routes=[
            *front.routes(),
            Route("/v1/pyomni/about", only(front.about)),
            Route("/v1/audio/speech", only(speech.speech), methods=["POST"]),
            Route("/v1/audio/speech/batch", only(speech.batch), methods=["POST"]),
            Route("/v1/audio/voices", _counted(voices.listed), methods=["GET"]),
            Route("/v1/audio/voices", only(voices.create), methods=["POST"]),
            Route("/v1/audio/voices/{id}", only(voices.delete), methods=["DELETE"]),
            Route("/v1/chat/completions", only(chat.completions, converses=True), methods=["POST"]),
            Route(
                "/v1/audio/transcriptions",
                only(transcriptions.transcriptions, converses=True),
                methods=["POST"],
            ),
            WebSocketRoute("/v1/realtime", refuse if realtime is None else realtime.serve),
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
    if isinstance(model, SpeechModel):
        app.router.routes.append(WebSocketRoute("/v1/audio/speech/stream", talk.speech_stream))
    app.add_middleware(Doors, settings=settings)
    app.state.pyomni, app.state.realtime = state, realtime
    return app


def _other(converses: bool) -> Handler:
    """Return what answers on a route that models of the other kind have."""

    async def answer(request: Request) -> Response:
        if converses:
            raise UnsupportedModel("the model speaks texts, expected a Qwen3-Omni one, which converses")
        raise UnsupportedModel(
            "the model converses, expected one that speaks texts; /v1/chat/completions speaks its answers"
        )

    return answer


def _counted(handler: Handler) -> Handler:
    """Count a route's requests, and make answers of its errors."""

    async def answer(request: Request) -> Response:
        state: AnyState = request.app.state.pyomni
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


def _names(state: AnyState) -> tuple[str, ...]:
    """Return the model's name, and of one that speaks texts the names of OpenAI's that it answers to."""
    return (state.name, *ALIASES) if isinstance(state, State) else (state.name,)


async def models(request: Request) -> Response:
    """``GET /v1/models``."""
    names = _names(request.app.state.pyomni)
    return JSONResponse({"object": "list", "data": [_model(name) for name in names]})


async def model_named(request: Request) -> Response:
    """``GET /v1/models/{id}``: one of them."""
    name, known = request.path_params["id"], request.app.state.pyomni.name
    if name not in _names(request.app.state.pyomni):
        raise NotFound(f"model {name[:100]!r} is not here, expected {known!r}", "model")
    return JSONResponse(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "pyomni"}


async def audio_models(request: Request) -> Response:
    """``GET /v1/audio/models``, as Open WebUI reads it."""
    names = _names(request.app.state.pyomni)
    return JSONResponse({"models": [{"id": one, "name": one} for one in names]})


async def health(request: Request) -> Response:
    """``GET /health``: the process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """``GET /ready``: it takes requests."""
    takes = request.app.state.pyomni.scheduler.ready
    return JSONResponse({"status": "ready" if takes else "stopping"}, 200 if takes else 503)


async def metrics(request: Request) -> Response:
    """``GET /metrics``, in Prometheus' text format."""
    state: AnyState = request.app.state.pyomni
    running, waiting = state.scheduler.load()
    work, rate = state.scheduler, max(1, state.model.sample_rate)  # 0 where the model does not speak
    what = "speeches" if isinstance(state, State) else "answers"
    rows: list[tuple[str, str, str, Any]] = [
        ("requests_total", "counter", "Requests to the /v1 routes that do work.", state.requests),
        ("requests_failed_total", "counter", "Those answered with an error.", state.failures),
        (f"{what}_total", "counter", f"{what.capitalize()} made to their end.", work.done),
        (f"{what}_cancelled_total", "counter", f"{what.capitalize()} nobody waited for.", work.cancelled),
        (f"{what}_failed_total", "counter", f"{what.capitalize()} that failed on the way.", work.failed),
        ("frames_total", "counter", "Frames of speech.", work.frames),
        ("audio_seconds_total", "counter", "Seconds of sound.", work.samples / rate),
        ("running", "gauge", "Requests that have a lane.", running),
        ("waiting", "gauge", "Requests that wait for one.", waiting),
        ("lanes", "gauge", "Lanes.", work.live.lanes),
    ]
    if isinstance(work, ChatScheduler):
        realtime: Realtime = request.app.state.realtime
        rows.append(("tokens_total", "counter", "Tokens written.", work.tokens))
        rows.append(("sessions_total", "counter", "Sessions of /v1/realtime.", realtime.opened))
        rows.append(("sessions", "gauge", "Sessions that are open.", realtime.sessions))
    text = "".join(
        f"# HELP pyomni_{name} {words}\n# TYPE pyomni_{name} {kind}\npyomni_{name} {value}\n"
        for name, kind, words, value in rows
    )
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
