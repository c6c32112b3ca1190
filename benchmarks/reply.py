"""Print one JSON line: what a Qwen3-Omni model takes to answer in text, then aloud.

    python benchmarks/reply.py omni.gguf -t 2
    python benchmarks/reply.py omni.gguf -t 2 --packed

Times of a first answer hold the reading of its weights from disk; each kind is asked twice, of other words,
so the second shows what it costs from then on. RTF is seconds from the question to the last sample, over
seconds of sound.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import pyomni
from pyomni.bench import TEXT, resident_mb, where


def answer(model: pyomni.OmniModel, question: str, tokens: int, frames: int) -> dict[str, Any]:
    """Ask and time one answer; with `frames`, a spoken one of that many."""
    start = perf_counter()
    firsts: dict[str, float] = {}
    n_samples = 0
    with model.stream_reply(
        [{"role": "user", "content": question}],
        speak=frames > 0,
        options=pyomni.ChatOptions(seed=1, max_tokens=tokens),
        speech_options=pyomni.SpeechOptions(seed=1, min_frames=frames or None, max_frames=frames or None),
    ) as stream:
        for event in stream:
            firsts.setdefault("text" if event.pcm is None else "sound", perf_counter() - start)
            n_samples += 0 if event.pcm is None else len(event.pcm)
        seconds, made, timings = perf_counter() - start, len(stream.tokens), stream.timings
    found = {
        "prompt_tokens": timings.n_prefill + timings.n_reused,
        "tokens": made,
        "prefill_s": round(timings.prefill_s, 2),
        "tokens_s": round(made / timings.decode_s, 2),
        "first_text_s": round(firsts["text"], 2),
        "seconds": round(seconds, 2),
    }
    if n_samples:
        sound = n_samples / model.sample_rate
        found |= {
            "first_sound_s": round(firsts["sound"], 2),
            "sound_s": round(sound, 2),
            "rtf": round(seconds / sound, 2),
        }
    return {**found, **resident_mb()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time answers and print one JSON line.")
    parser.add_argument("model", type=Path, help="GGUF file, its siblings beside it")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--frames", type=int, default=50, help="of 80 ms")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--packed", action="store_true", help="matrices rearranged in memory")
    args = parser.parse_args()
    start = perf_counter()
    model = pyomni.load(args.model, threads=args.threads, kv="f16", packed=args.packed)
    opened = perf_counter() - start
    result = {"open_s": round(opened, 2), "open": resident_mb()}
    with model:
        for kind, frames in (("text", 0), ("spoken", args.frames)):
            for turn, begin in (("first", "Listen. "), ("next", "Now listen to something else. ")):
                result[f"{kind}_{turn}"] = answer(model, begin + TEXT, args.tokens, frames)
        loaded = {name: round(n / 1e6) for name, n in model.info["loaded"].items()}
    about = {"benchmark": "reply", "model": args.model.name, "threads": args.threads, "packed": args.packed}
    print(json.dumps({**about, **result, "loaded_mb": loaded, **where(Path(__file__).parent)}))


if __name__ == "__main__":
    main()
