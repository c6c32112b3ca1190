"""What the FFmpeg of the package av can do here, if the package is installed at all."""

from __future__ import annotations

from typing import Literal

__all__ = ["lacking"]


def lacking(kind: Literal["encoder", "filter"], name: str) -> str | None:
    """Return why there is no such part here, None where there is one.

    Parameters
    ----------
    kind : ``"encoder"`` or ``"filter"``
    name : FFmpeg's name of it
    """
    try:
        import av
    except ImportError:
        return "it needs the package av, which is not installed; pip install 'pyomni[server]'"
    known = av.codecs_available if kind == "encoder" else av.filter.filters_available
    return None if name in known else f"the FFmpeg of the package av has no {kind} for it"
