"""What the routes share."""

from __future__ import annotations

from dataclasses import dataclass

from pyomni.api import SpeechModel
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
