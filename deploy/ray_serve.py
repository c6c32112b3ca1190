"""The HTTP server on Ray Serve: ``serve run deploy.ray_serve:app``, from the root of the project.

Each replica opens the model that ``PYOMNI_MODEL`` names and answers all routes of `pyomni serve`. Voices are
those of the replica's machine. Without ``PYOMNI_API_KEY`` only this machine is answered.
"""

from __future__ import annotations

import os
from typing import Any

from ray import serve


def _application() -> Any:
    """Open the model and return the ASGI application; called in each replica."""
    from pyomni.api import SpeechModel, model_path
    from pyomni.server.app import make_app
    from pyomni.server.settings import Settings

    lanes = int(os.environ.get("PYOMNI_LANES", "4"))
    threads = int(os.environ.get("PYOMNI_THREADS", "0")) or None
    model = SpeechModel(model_path(None), lanes=lanes, threads=threads)
    return make_app(model, Settings(api_key=os.environ.get("PYOMNI_API_KEY") or None))


@serve.deployment(name="pyomni", max_ongoing_requests=64)
@serve.ingress(_application)
class Speech:
    """A replica; Ray Serve asks it whether it is well."""

    def check_health(self) -> None:
        """Raise once the model cannot speak any more, so that Ray Serve starts another."""
        application: Any = self.app  # type: ignore[attr-defined] # of what `ingress` makes of this class
        if not application.state.pyomni.scheduler.ready:
            raise RuntimeError("the model does not speak any more")


app = Speech.bind()
