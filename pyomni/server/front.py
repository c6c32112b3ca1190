"""The page at ``/``: its files, with what a browser may do with them, and what it asks about the model."""

from __future__ import annotations

from importlib import resources
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pyomni import __version__
from pyomni.audio import aac, tempo
from pyomni.server.state import State
from pyomni.server.tables import FORMATS

__all__ = ["PATHS", "about", "routes"]

#: The page loads from its own server and asks nobody else; a script or style slipped into it is not run.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), display-capture=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # a newer pyomni's files are not mixed with an older one's
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def _files() -> dict[str, tuple[bytes, str]]:
    """Return what is served, read once: path to bytes and media type. No other path reaches a file."""
    found = {}
    for file in resources.files("pyomni.server").joinpath("page").iterdir():
        if media := TYPES.get(PurePosixPath(file.name).suffix):
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            found[path] = (file.read_bytes(), media)
    return found


FILES = _files()
#: What is served without a key: there is nothing in it but the page.
PATHS = frozenset(FILES)


def routes() -> list[Route]:
    """Return the routes of the page's files."""
    return [_route(path, *found) for path, found in sorted(FILES.items())]


def _route(path: str, data: bytes, media: str) -> Route:
    async def file(request: Request) -> Response:
        return Response(data, media_type=media, headers=HEADERS)

    return Route(path, file)


async def about(request: Request) -> Response:
    """``GET /v1/pyomni/about``: what a page needs to know to offer what this model can do, and no more."""
    state: State = request.app.state.pyomni
    info, limits = state.model.info, state.settings
    kind = info["model_type"]
    return JSONResponse(
        {
            "version": __version__,
            "model": state.name,
            "kind": kind,
            "size": info["model_size"],
            "sample_rate": state.model.sample_rate,
            "languages": state.model.languages,
            "instructions": info["instruct"],
            "needs_description": kind == "voice_design",
            "clones": kind == "base",
            "formats": [name for name in FORMATS if name != "aac" or aac.why_not() is None],
            "speeds": list(tempo.SPEEDS) if tempo.why_not() is None else None,
            "max_chars": limits.max_chars,
            "max_upload": limits.max_upload,
        }
    )
