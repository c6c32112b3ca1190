"""Timing a model; ``pyomni bench`` and ``benchmarks/speak.py`` print what this measures."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyomni.api import SpeechModel
    from pyomni.voices import Voice

__all__ = ["TEXT", "bench_speech", "commit", "machine", "peak_mb", "resident_mb", "where"]

TEXT = (
    "The harbour was quiet that morning, and the boats lay still on the water. A bell rang twice from the "
    "old tower on the hill, and somewhere behind the market a dog began to bark."
)


def bench_speech(
    model: SpeechModel,
    text: str = TEXT,
    frames: int = 50,
    *,
    seed: int = 1,
    voice: Voice | None = None,
    instruct: str | None = None,
    streaming_layout: bool | None = None,
) -> dict[str, Any]:
    """Speak exactly `frames` frames and time each component.

    The same run once before makes the graphs and touches the weights; it is not counted.

    Parameters
    ----------
    model : SpeechModel
        With a talker, a code predictor and a codec decoder.
    frames : int
        Frames to make; the end is neither taken early nor waited for.
    voice, instruct, streaming_layout
        As `SpeechModel.speak`; by default the first speaker, or none.

    Returns
    -------
    dict
        ``rtf`` (seconds of compute per second of audio), ``ttfa_s`` (time to the first audio), ``wall_s``,
        ``prefill_ms``, ``talker_ms``, ``predictor_ms``, ``codec_ms`` (the last three per frame), ``peak_mb``,
        and what was run.
    """
    from pyomni.options import SpeechOptions
    from pyomni.voices import Voice

    if voice is None and not model.speakers:
        voice = Voice.none()

    def run(n: int) -> tuple[Any, float, float, int]:
        options = SpeechOptions(
            seed=seed, min_frames=n, max_frames=n, split="never", streaming_layout=streaming_layout
        )
        start, first, n_samples = perf_counter(), 0.0, 0
        with model.stream(text, voice=voice, instruct=instruct, options=options) as stream:
            for pcm in stream:
                first = first or perf_counter() - start
                n_samples += len(pcm)
        return stream, first, perf_counter() - start, n_samples

    # the same length, since a session is sized to the request, and graphs belong to a session
    run(frames)
    stream, first, wall, n_samples = run(frames)
    timings, info = stream.timings, model.info
    return {
        "device": info["device"],
        "threads": info["threads"],
        "codec_threads": info["codec_threads"],
        "precision": info["precision"],
        "frames": frames,
        "seconds": n_samples / model.sample_rate,
        "rtf": wall * model.sample_rate / n_samples,
        "ttfa_s": first,
        "wall_s": wall,
        "prompt_positions": timings.n_prefill,
        "prefill_ms": timings.prefill_s * 1000,
        "talker_ms": timings.talker_s * 1000 / frames,
        "predictor_ms": timings.predictor_s * 1000 / frames,
        "codec_ms": timings.codec_s * 1000 / frames,
        "peak_mb": peak_mb(),
    }


def where(tree: Path) -> dict[str, Any]:
    """Return what a line of figures ends with: the commit of `tree`, the machine and the version."""
    from pyomni import __version__

    return {"commit": commit(tree), "machine": machine(), "version": __version__}


def commit(tree: Path) -> str | None:
    """Return the short hash of a git tree, with a + where it was changed; None where there is none."""
    try:
        run = ["git", "-C", str(tree), "describe", "--always", "--dirty=+"]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def machine() -> str:
    """Return the processor's name and the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def peak_mb() -> float | None:
    """Return the most memory this process held so far in MB (10**6 bytes), None where it is unknown."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def resident_mb() -> dict[str, float]:
    """Return the MB (10**6 bytes) this process holds: ``anon_mb`` of its own, ``file_mb`` of mapped files.

    The system may take mapped pages and read them again. Empty where it does not say.
    """
    try:
        lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
        held = {words[0]: int(words[1]) * 1024 / 1e6 for words in lines if words[0].startswith("Rss")}
    except OSError:
        return {}
    return {"anon_mb": round(held.get("RssAnon:", 0.0)), "file_mb": round(held.get("RssFile:", 0.0))}
