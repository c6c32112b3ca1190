"""What the routes share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

from pyomni.api import OmniModel, SpeechModel
from pyomni.server.chat_scheduler import ChatScheduler
from pyomni.server.names import Served
from pyomni.server.said import Said
from pyomni.server.scheduler import Scheduler
from pyomni.server.settings import Settings

__all__ = ["AnyState", "ChatState", "State"]

M = TypeVar("M", SpeechModel, OmniModel)
S = TypeVar("S", Scheduler, ChatScheduler)


@dataclass
class _Shared(Generic[M, S]):
    """A model, its scheduler, and how they are served."""

    model: M
    scheduler: S
    settings: Settings
    requests: int = 0
    failures: int = 0

    @property
    def name(self) -> str:
        """What the model is called: its file, without a folder."""
        return self.model.path.stem


@dataclass
class State(_Shared[SpeechModel, Scheduler]):
    """That of a model which speaks texts."""

    @cached_property
    def served(self) -> Served:
        """What requests may ask of the model."""
        model = self.model
        return Served(self.name, model.info["model_type"], model.speakers, model.languages)


@dataclass
class ChatState(_Shared[OmniModel, ChatScheduler]):
    """That of a model which converses."""

    said: Said = field(default_factory=Said)


AnyState = State | ChatState
