"""The files one model may lie in, side by side: `model.gguf`, `model.media.gguf`, `model.speech.gguf`."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SIBLINGS", "main_path", "sibling_path"]

#: What stands before `.gguf`, and the components in such a file; those of no sibling are in the main file.
SIBLINGS = {
    "media": ("audio_encoder", "vision_encoder"),
    "speech": ("talker", "code_predictor", "code2wav"),
}
SUFFIX = ".gguf"


def sibling_path(main: Path, sibling: str) -> Path:
    """Return where a sibling of a main file lies: `a/x.gguf` has its speech in `a/x.speech.gguf`."""
    return main.with_name(f"{main.name.removesuffix(SUFFIX)}.{sibling}{SUFFIX}")


def main_path(path: Path) -> Path:
    """Return the main file a sibling belongs to; any other path is its own."""
    for sibling in SIBLINGS:
        if path.name.endswith(f".{sibling}{SUFFIX}"):
            return path.with_name(path.name.removesuffix(f".{sibling}{SUFFIX}") + SUFFIX)
    return path
