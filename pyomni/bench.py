"""Timing a model; ``pyomni bench`` and ``benchmarks/speak.py`` print what this measures."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyomni.api import SpeechModel
    from pyomni.voices import Voice

__all__ = ["TEXT", "bench_speech", "peak_mb"]

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


def peak_mb() -> float | None:
    """Return the most memory this process held so far in MB (10**6 bytes), None where it is unknown."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)
