"""A text on its way to sound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pyomni.api.live import Performance
from pyomni.api.many import Prepared
from pyomni.pipelines.engine import Plan
from pyomni.receipt import Receipt
from pyomni.server.ticket import Ticket

__all__ = ["Job"]

F32 = npt.NDArray[np.float32]


class Job(Ticket[F32]):
    """A speech in the scheduler, read as blocks, float32 [n].

    Attributes
    ----------
    prepared : Prepared
    plan : Plan
        Of the part that is next, or runs.
    receipt : Receipt or None
        Once all was read.
    """

    def __init__(self, prepared: Prepared, deadline: float, wake: Callable[[], None]) -> None:
        super().__init__(deadline, wake)
        self.prepared = prepared
        self.plan: Plan = prepared.script.parts[0].plan
        self.receipt: Receipt | None = None
        self.performance: Performance | None = None  # of the worker

    def tell(self) -> None:
        """Say that more of its text has come, or the end of it."""
        self._wake()

    def weight(self, item: F32) -> int:
        """Return its samples."""
        return len(item)
