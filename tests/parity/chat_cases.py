"""Conversations that parity is checked on end to end: what is said, heard and seen. No torch here."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from parity import recordings
from tiny_omni import omni_checkpoint

from pyomni.convert import convert

N_TOKENS, N_FRAMES = 64, 64
RATE = 16000
SPEAKERS = ("ethan", "chelsie", "aiden")
FILE = recordings.FOLDER / "chat.npz"

#: Room for the words of a system message; a talker whose experts and heads differ from the thinker's.
SIZES: dict[str, Any] = {}
SEED = 71


@dataclass(frozen=True)
class Case:
    """One conversation.

    Attributes
    ----------
    messages : (role, parts) in order; a part is text, or a letter and a number in brackets: ``[A1]`` for clip
        1, ``[I0]`` for image 0, ``[V0]`` for video 0, ``[H0]`` for video 0 heard with clip 1 as its sound
    """

    messages: tuple[tuple[str, tuple[str, ...]], ...]


def one(*parts: str, system: str = "") -> Case:
    """Return a conversation of one turn."""
    turns: list[tuple[str, tuple[str, ...]]] = [("user", parts)]
    return Case((("system", (system,)), *turns) if system else tuple(turns))


CASES = {
    "text": one("Hello there, how are you?"),
    "system": one("Now speak.", system="You are brief."),
    "audio": one("[A0]"),
    "audio_and_text": one("[A1]", "What was said?", system="Listen."),
    "image": one("[I0]", "What is it?"),
    "video": one("[V0]", "And then?"),
    # images and videos in one prompt: 4.57 fails on its own masks, so these are the mixtures there are
    "mixed": one("Look: ", "[I1]", " hear: ", "[A2]", " look: ", "[I2]", " and tell."),
    "film_and_clip": one("Hear: ", "[A1]", " watch: ", "[V1]", " and tell."),
    "film_heard": one("[H0]", "And?"),
    "turns": Case(
        (
            ("system", ("Be kind.",)),
            ("user", ("First.",)),
            ("assistant", ("Yes, first.",)),
            ("user", ("[A0]", "Second.")),
            ("assistant", ("Heard.",)),
            ("user", ("Third, and [last]?",)),
        )
    ),
    "turns_with_media": Case(
        (
            ("user", ("[I0]", "This.")),
            ("assistant", ("Seen.",)),
            ("user", ("[A2]", "[I2]", "That.")),
            ("assistant", ("All of it.",)),
            ("user", ("So?",)),
        )
    ),
}


def heard(name: str) -> bool:
    """Return whether the sound tracks of a case's films are heard."""
    return any(part.startswith("[H") for _, parts in CASES[name].messages for part in parts)


def clip(number: int) -> npt.NDArray[np.float32]:
    """Return a clip: float32 [n] at 16 kHz; shorter than a chunk, of several, of a few frames."""
    n = (9_000, 37_000, 23_456)[number]
    time = np.arange(n) / RATE
    noise = np.random.default_rng(90 + number).standard_normal(n)
    tone = np.sin(2 * np.pi * (180 + 60 * number) * time * (1 + 0.3 * time))
    return (0.4 * tone + 0.05 * noise).astype(np.float32)


def picture(number: int) -> npt.NDArray[np.uint8]:
    """Return an image whose sides are whole blocks, so that it is not resized: uint8 [h, w, 3]."""
    h, w = ((64, 96), (96, 64), (64, 64))[number]
    rng = np.random.default_rng(80 + number)
    return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


def film(number: int) -> tuple[npt.NDArray[np.uint8], float]:
    """Return frames, uint8 [n, h, w, 3] of a size that is kept, and their rate."""
    n, h, w, fps = ((4, 64, 96, 2.0), (7, 96, 64, 1.0))[number]
    rng = np.random.default_rng(70 + number)
    return rng.integers(0, 256, (n, h, w, 3), dtype=np.uint8), fps


def medium(part: str) -> tuple[str, int] | None:
    """Return the letter and number of a part that is no text."""
    if len(part) == 4 and part[0] == "[" and part[1] in "AIVH" and part[3] == "]":
        return part[1], int(part[2])
    return None


def speaker(name: str) -> str:
    """Return who speaks a case."""
    return SPEAKERS[list(CASES).index(name) % len(SPEAKERS)]


def messages(name: str) -> list[dict[str, Any]]:
    """Return a case as our own side takes it."""
    made = []
    for role, parts in CASES[name].messages:
        content: list[dict[str, Any]] = []
        for part in parts:
            match medium(part):
                case None:
                    content.append({"type": "text", "text": part})
                case "A", number:
                    content.append({"type": "audio", "audio": (clip(number), RATE)})
                case "I", number:
                    content.append({"type": "image", "image": picture(number)})
                case letter, number:
                    seen = {"type": "video", "video": film(number), "min_pixels": 32 * 32}
                    content.append({**seen, "sound": (clip(1), RATE)} if letter == "H" else seen)
        made.append({"role": role, "content": content if role == "user" else "".join(parts)})
    return made


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyomni-chat-")


@functools.cache
def folder() -> Path:
    """Return the checkpoint folder, written once a process; it goes away with the process."""
    return omni_checkpoint(Path(_scratch().name) / "toy", seed=SEED, dtype="bf16", **SIZES)


@functools.cache
def gguf() -> Path:
    """Return the converted toy, F32."""
    return convert(folder(), Path(_scratch().name) / "toy.gguf", "f32")


def sampled(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return some rows of a talker's prompt, [m, n_embd]: every seventh, and the nine of the answer."""
    return np.concatenate([rows[:-9:7], rows[-9:]])


def weights_hash() -> str:
    """Return a hash of the weights both sides make from the seed."""
    return hashlib.sha256((folder() / "model.safetensors").read_bytes()).hexdigest()
