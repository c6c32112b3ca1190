"""The socket: who may open it, how long it may be silent, and what ends with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from pyomni.errors import PyOmniError, UnsupportedModel
from pyomni.server.chat_scheduler import ChatScheduler
from pyomni.server.doors import error_answer
from pyomni.server.failures import Busy, NotFound
from pyomni.server.realtime.config import Offered
from pyomni.server.realtime.events import Gone, error_of
from pyomni.server.realtime.hearing import silero
from pyomni.server.realtime.session import Session
from pyomni.server.settings import Settings

__all__ = ["IDLE_S", "MOST_SESSIONS", "Realtime", "refuse"]

LOG = logging.getLogger("pyomni.server")
#: Seconds a client may say nothing, while nothing is answered.
IDLE_S = 600.0
#: Sessions at once.
MOST_SESSIONS = 64
#: OpenAI's models of this interface, which the model here answers for.
ALIASES = ("gpt-realtime", "gpt-4o-realtime", "gpt-4o-mini-realtime", "gpt-audio")
PROTOCOL, BETA_PROTOCOL = "realtime", "openai-beta.realtime-v1"


class Realtime:
    """``/v1/realtime`` of one model.

    Parameters
    ----------
    scheduler : ChatScheduler
    settings : Settings
    load : callable
        As of `Session`.

    Attributes
    ----------
    sessions, opened : int
        Sessions that are open, and that ever were.
    """

    def __init__(
        self, scheduler: ChatScheduler, settings: Settings, load: Callable[[], Any] = silero
    ) -> None:
        model = scheduler.model
        self._offered = Offered(
            model.path.stem, model.sample_rate, model.speakers, tuple(model.takes), settings
        )
        self._scheduler, self.load = scheduler, load
        self.sessions = self.opened = 0
        self.idle_s, self.most = IDLE_S, MOST_SESSIONS

    async def serve(self, socket: WebSocket) -> None:
        """Hold a session, from the first event to the last."""
        try:
            self._check(socket)
        except PyOmniError as error:
            await socket.send_denial_response(error_answer(error))
            return
        protocols = socket.scope.get("subprotocols", [])
        beta = BETA_PROTOCOL in protocols or "realtime=v1" in socket.headers.get("openai-beta", "")
        self.sessions += 1
        self.opened += 1
        session = Session(self._scheduler, self._offered, _writer(socket), beta=beta, load=self.load)
        try:
            await socket.accept(PROTOCOL if PROTOCOL in protocols else None)
            await session.begin()
            await self._listen(socket, session)
        except Gone:
            pass
        except Exception:
            LOG.exception("a session failed")
            if socket.application_state == WebSocketState.CONNECTED:
                await socket.close(1011)
        finally:
            self.sessions -= 1
            await session.close()

    async def _listen(self, socket: WebSocket, session: Session) -> None:
        while True:
            coming = asyncio.ensure_future(socket.receive())
            try:
                while not (await asyncio.wait({coming}, timeout=self.idle_s))[0]:
                    if not session.busy:
                        words = f"nothing came for {self.idle_s:.0f} s, expected a session that is used"
                        said = {"type": "invalid_request_error", "code": "session_expired", "message": words}
                        await session.send("error", error={**said, "param": None, "event_id": None})
                        await socket.close()
                        return
                message = coming.result()
            except PyOmniError as error:  # larger than the door lets in
                await session.send("error", error=error_of(error))
                continue
            finally:
                coming.cancel()
            if message["type"] == "websocket.disconnect":
                return
            await session.take(message.get("text"))

    def _check(self, socket: WebSocket) -> None:
        name = socket.query_params.get("model")
        if name is not None and name != self._offered.name and not name.startswith(ALIASES):
            raise NotFound(f"model {name[:100]!r} is not here, expected {self._offered.name!r}", "model")
        if self.sessions >= self.most:
            raise Busy(f"{self.sessions} sessions are open, expected fewer; try again later")


async def refuse(socket: WebSocket) -> None:
    """Answer where the model does not converse."""
    error = UnsupportedModel("the model speaks texts, expected a Qwen3-Omni one, which converses")
    await socket.send_denial_response(error_answer(error))


def _writer(socket: WebSocket) -> Callable[[str], Awaitable[None]]:
    async def write(text: str) -> None:
        try:
            await socket.send_text(text)
        except (WebSocketDisconnect, RuntimeError, OSError):
            raise Gone from None

    return write
