"""Print one JSON line: what the guard does to speech that goes wrong, and to healthy speech.

    python benchmarks/guard.py --seeds 3 --provoked 40

Healthy speech is every sentence of ``guard_sentences.txt`` and of the packaged voice's development and
held-out lists, with several seeds and the model's own options; an alarm is a generation that the guard
touched. To provoke failures, the end id's score is lowered, the temperature raised, or both, and the same
sentences and seeds are spoken without the guard and with it. A runaway is a speech that takes more than
twice as long as the healthy one, and a second.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyomni
from pyomni.bench import where
from pyomni.pipelines import lane

HERE = Path(__file__).resolve().parent
LISTS = (
    HERE / "guard_sentences.txt",
    HERE.parent / "tools" / "demo_voice" / "development.txt",
    HERE.parent / "tools" / "demo_voice" / "held_out.txt",
)
#: How failures are provoked: by how much the end id's score is lowered, and the temperature.
PROVOKED = {"no end": (60.0, None), "late end": (14.0, 1.0), "hot, no end": (60.0, 1.0), "hot": (0.0, 2.5)}


@contextmanager
def lowered_end(by: float) -> Iterator[None]:
    """Lower the end id's score in every draw."""
    whole = lane.restrict

    def restrict(logits: Any, **rules: Any) -> Any:
        scores = whole(logits, **rules)
        scores[rules["end_id"]] -= by
        return scores

    lane.restrict = restrict
    try:
        yield
    finally:
        lane.restrict = whole


def healthy(model: pyomni.SpeechModel, texts: list[str], seeds: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Speak everything as it is meant: the figures, and the frames of each text with the first seed."""
    alarms, n, frames = [], 0, {}
    for index, text in enumerate(texts):
        for seed in range(seeds):
            speech = model.speak(text, options=pyomni.SpeechOptions(seed=1000 * seed + index))
            n += 1
            if speech.guard.attempts or speech.finish_reason != "stop":
                alarms.append([text, 1000 * seed + index, speech.finish_reason])
            if seed == 0:
                frames[text] = len(speech.codes)
    return {"utterances": n, "alarms": len(alarms), "alarms_percent": 100 * len(alarms) / n,
            "alarmed": alarms[:10]}, frames  # fmt: skip


def provoked(model: pyomni.SpeechModel, texts: list[str], frames: dict[str, int], by: float,
             temperature: float | None) -> dict[str, Any]:  # fmt: skip
    """Speak without the guard and with it while something is wrong."""
    found: dict[str, Any] = {"end_lowered_by": by, "temperature": temperature, "utterances": len(texts)}
    second = model.sample_rate / model.hop
    for name, guard in (("without", False), ("with", True)):
        reasons: Counter[str] = Counter()
        runaways = extra = 0.0
        with lowered_end(by):
            for index, text in enumerate(texts):
                options = pyomni.SpeechOptions(seed=index, temperature=temperature)
                speech = model.speak(text, options=replace(options, guard=guard))
                reasons[speech.finish_reason] += 1
                runaways += len(speech.codes) > 2 * frames[text] + second
                extra += max(len(speech.codes) - frames[text], 0) / second
        found[name] = {
            "runaways": int(runaways), "extra_seconds": round(extra / len(texts), 2), "ended": dict(reasons)
        }  # fmt: skip
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Measure the guard and print one JSON line.")
    parser.add_argument("model", nargs="?", help="GGUF file (default: the voice in the package)")
    parser.add_argument("--seeds", type=int, default=3, help="of each healthy sentence")
    parser.add_argument("--provoked", type=int, default=40, help="sentences of each provoked failure")
    parser.add_argument("-t", "--threads", type=int)
    args = parser.parse_args()
    texts = [line for path in LISTS for line in path.read_text(encoding="utf-8").splitlines() if line]
    with pyomni.load(args.model, threads=args.threads) as model:
        result, frames = healthy(model, texts, args.seeds)
        some = texts[:: max(len(texts) // args.provoked, 1)][: args.provoked] if args.provoked else []
        for name, (by, temperature) in PROVOKED.items():
            if some:
                result[name] = provoked(model, some, frames, by, temperature)
    name = Path(args.model).name if args.model else "the voice in the package"
    print(json.dumps({"benchmark": "guard", "model": name, **result, **where(HERE)}))


if __name__ == "__main__":
    main()
