"""What can go wrong with a request, and the one table that makes an HTTP answer of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from pyomni.errors import (
    ArgumentError,
    AudioError,
    Cancelled,
    ContextFull,
    ImageError,
    OutOfMemory,
    OutputFileError,
    PyOmniError,
    UnsupportedModel,
    VideoError,
)

__all__ = [
    "BadRequest",
    "Busy",
    "Denied",
    "Draining",
    "Failure",
    "NotFound",
    "TooLarge",
    "TooLate",
    "close_code",
    "failure_of",
    "said_of",
]


class BadRequest(PyOmniError, ValueError):
    """A field of a request; `param` is its name."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class NotFound(BadRequest):
    """What the request names is not here."""


class TooLarge(BadRequest):
    """A text, a clip or a body beyond its limit."""


class Denied(PyOmniError):
    """No key, or another than the server's."""


class Busy(PyOmniError):
    """The queue is full."""


class Draining(PyOmniError):
    """The server is stopping, or its model cannot speak any more."""


class TooLate(PyOmniError):
    """The answer was not there by its deadline."""


class Failure(NamedTuple):
    """An HTTP answer: status, and `type` and `code` as OpenAI's errors have them."""

    status: int
    type: str
    code: str


#: First match wins; what is not here is a bug, and its words stay here.
FAILURES: tuple[tuple[type[BaseException], Failure], ...] = (
    (Denied, Failure(401, "invalid_request_error", "invalid_api_key")),
    (NotFound, Failure(404, "invalid_request_error", "not_found")),
    (TooLarge, Failure(413, "invalid_request_error", "too_large")),
    (Busy, Failure(429, "rate_limit_error", "queue_full")),
    (Draining, Failure(503, "server_error", "unavailable")),
    (TooLate, Failure(504, "server_error", "deadline_exceeded")),
    (Cancelled, Failure(499, "server_error", "cancelled")),
    (BadRequest, Failure(400, "invalid_request_error", "invalid_value")),
    (UnsupportedModel, Failure(400, "invalid_request_error", "unsupported_by_model")),
    (ContextFull, Failure(400, "invalid_request_error", "context_full")),
    (OutputFileError, Failure(507, "server_error", "not_stored")),
    (ArgumentError, Failure(400, "invalid_request_error", "invalid_value")),
    (AudioError, Failure(400, "invalid_request_error", "invalid_audio")),
    (ImageError, Failure(400, "invalid_request_error", "invalid_image")),
    (VideoError, Failure(400, "invalid_request_error", "invalid_video")),
    (OutOfMemory, Failure(503, "server_error", "out_of_memory")),
    (MemoryError, Failure(503, "server_error", "out_of_memory")),
)
BUG = Failure(500, "server_error", "internal_error")
#: Of these the words may hold a path of this machine.
WITHOUT_WORDS = {OutputFileError: "the voice could not be stored", MemoryError: "memory ran out"}


def failure_of(error: BaseException) -> tuple[Failure, str, str | None]:
    """Return the answer for an error: status and kind, its sentence, and the field it is about."""
    failure = next((found for kind, found in FAILURES if isinstance(error, kind)), BUG)
    words = str(error)
    if failure is BUG:
        words = "the server failed; its log has more"
    for kind, instead in WITHOUT_WORDS.items():
        if isinstance(error, kind):
            words = instead
    return failure, words, getattr(error, "param", None)


def said_of(error: BaseException) -> dict[str, Any]:
    """Return an error as OpenAI's answers and messages hold it: `message`, `type`, `code` and `param`."""
    failure, words, param = failure_of(error)
    return {"message": words, "type": failure.type, "code": failure.code, "param": param}


def close_code(error: BaseException) -> int:
    """Return what a socket is closed with after an error, of RFC 6455 and its registry."""
    status = failure_of(error)[0].status
    codes = {413: 1009, 429: 1013, 503: 1013}
    return codes.get(status, 1008 if status < 499 else 1011)
