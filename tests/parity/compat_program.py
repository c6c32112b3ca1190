"""One program against the official package's names, run on that package and on `pyomni.compat.qwen_tts`.

It goes the whole way: clips to voices, texts to prompts, greedy codes, waveforms. No torch here.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from tiny import tiny_checkpoint

KINDS = ("base", "custom_voice", "voice_design")
SPEECH = Path(__file__).parent / "recorded" / "speech.flac"
SAID = "The quick brown fox jumps over the lazy dog, doesn't it?"
TEXTS = ["Hello there, how are you?", "Two."]
GREEDY = {"do_sample": False, "subtalker_dosample": False, "max_new_tokens": 9}
EVERY = 5  # of the samples, this one is recorded

Waves = tuple[list[NDArray[np.float32]], int]


@functools.cache
def folder(kind: str) -> Path:
    """Return a checkpoint at toy size of the 1.7B kind, written once a process."""
    sizes = {"size": "1b7", "hidden": 72, "cp_hidden": 48, "text_hidden": 56}
    return tiny_checkpoint(Path(_scratch().name) / kind, kind, seed=51, eos_logit=-20.0, **sizes)


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyomni-parity-")


def weights_hash(kind: str) -> str:
    """Return the sha256 of a checkpoint's weights."""
    files = ("model.safetensors", "speech_tokenizer/model.safetensors")
    return hashlib.sha256(b"".join((folder(kind) / name).read_bytes() for name in files)).hexdigest()


def waves(tts: Any, kind: str) -> Iterator[tuple[str, Waves]]:
    """Call every method of a kind of model; yield names and what came back."""
    if kind == "custom_voice":
        pairs = {"language": ["English", "Auto"], "instruct": ["Whisper, please.", ""]}
        yield "speakers", tts.generate_custom_voice(TEXTS, ["Ryan", "eric"], **pairs, **GREEDY)
        yield "streaming", tts.generate_custom_voice(TEXTS[0], "Vivian", non_streaming_mode=False, **GREEDY)
        return
    if kind == "voice_design":
        words = ["A deep, slow voice.", ""]
        yield "descriptions", tts.generate_voice_design(TEXTS, words, language="English", **GREEDY)
        return
    pcm, rate = soundfile.read(SPEECH, dtype="float32")
    clip, slow = (pcm, rate), (pcm[: rate // 2], rate * 2 // 3)
    yield "in context", tts.generate_voice_clone(TEXTS[0], "English", clip, SAID, **GREEDY)
    path = {"ref_audio": str(SPEECH), "ref_text": SAID, "non_streaming_mode": True}
    yield "all text first", tts.generate_voice_clone(TEXTS[0], **path, **GREEDY)
    items = tts.create_voice_clone_prompt([clip, slow], [None, "Quick."], x_vector_only_mode=[True, False])
    yield "two voices", tts.generate_voice_clone(TEXTS, voice_clone_prompt=items, **GREEDY)
    alone = tts.create_voice_clone_prompt(clip, x_vector_only_mode=True)
    yield "one voice", tts.generate_voice_clone(TEXTS, ["Chinese"], voice_clone_prompt=alone, **GREEDY)
