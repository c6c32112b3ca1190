"""What the routes share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pyomni.api import SpeechModel
from pyomni.server.names import Served
from pyomni.server.scheduler import Scheduler
from pyomni.server.settings import Settings

__all__ = ["State"]


@dataclass
class State:
    """A model, its scheduler, and how they are served."""

    model: SpeechModel
    scheduler: Scheduler
    settings: Settings
    requests: int = 0
    failures: int = 0

    @property
    def name(self) -> str:
        """What the model is called: its file, without a folder."""
        return self.model.path.stem

    @cached_property
    def served(self) -> Served:
        """What requests may ask of the model."""
        model = self.model
        return Served(self.name, model.info["model_type"], model.speakers, model.languages)
