"""Record what the official model does with the toy checkpoints of `toy_speech`.

    python tests/parity/record.py [OUT]

Needs torch, transformers and qwen-tts. Writes one ``.npz`` per case and ``cases.json`` into OUT, by default
where the committed ones are (`recordings.py`). Arrays, with n rows, T columns, G groups, V ids, H talker
width:

| array | shape | what |
|---|---|---|
| ``prompt.{p}.ids``, ``.instruct_ids`` | [n] | ids of the wrapped texts |
| ``prompt.{p}.rows``, ``.trailing``, ``.pad`` | [n, H], [m, H], [H] | what the talker's `generate` is given |
| ``greedy.{p}`` | [N_FRAMES, G] | codes of a greedy run from prompt p |
| ``talker.prefill_rows`` / ``.step_rows`` | [n, H] / [N_STEPS, H] | inputs of prompt 0's greedy run |
| ``talker.block.{i}`` | [n, H] | layer i's output over the prefill |
| ``talker.hidden`` / ``.logits`` | [1 + N_STEPS, H] / [.., V] | of the prefill's last row and of each step |
| ``predictor.hidden``, ``.codes`` | [N_PREDICTED, H], [.., G] | a frame's input and its greedy codes |
| ``predictor.block.{i}`` | [2, P] | layer i's output over the two-row prefill of frame 0 |
| ``predictor.logits`` | [N_PREDICTED, G - 1, V] | of every head, teacher-forced with the codes |
| ``codec.codes``, ``codec.pcm`` | [T, G], [T * hop] | random codes through the decoder in one pass |
| ``codec.tap.{stage}`` | [C, T] | every stage's output on those codes (not at the real strides) |
| ``wave.{p}`` | [n * hop] | greedy codes as `Qwen3TTSTokenizer.decode` gives them |
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parity import recordings
from parity.official import Official

from pyomni.sampling import restrict
from pyomni.verify import recording
from pyomni.verify import toy_speech as cases

Arrays = dict[str, np.ndarray]
MAX_TAP_BYTES = 150_000  # all taps of a case; beyond, only those up to the first wave block are kept
N_WAVE_SAMPLES = 20_000  # PCM recorded per greedy run, rounded down to whole frames


def talker(log: list[dict[str, Any]]) -> Arrays:
    """Take the talker's prefill and its first steps out of a watched greedy run."""
    calls = [call for call in log if call["part"] == "talker"]
    prefill, steps = calls[0], calls[1 : 1 + cases.N_STEPS]
    out = {f"talker.block.{i}": block for i, block in enumerate(prefill["blocks"])}
    out["talker.prefill_rows"] = prefill["rows"]
    out["talker.step_rows"] = np.concatenate([call["rows"] for call in steps])
    out["talker.hidden"] = np.stack([call["hidden"][-1] for call in [prefill, *steps]])
    out["talker.logits"] = np.stack([call["logits"][-1] for call in [prefill, *steps]])
    return out


def predictor(log: list[dict[str, Any]], codes: np.ndarray) -> Arrays:
    """Take the first frames' predictor calls out of a watched greedy run with those codes."""
    hidden = [call["hidden"][-1] for call in log if call["part"] == "talker"]
    calls = [call for call in log if call["part"] == "predictor"]
    n_heads, n = codes.shape[1] - 1, cases.N_PREDICTED
    logits = np.stack([call["logits"][-1] for call in calls[: n * n_heads]])
    out = {f"predictor.block.{i}": block for i, block in enumerate(calls[0]["blocks"])}
    out["predictor.hidden"] = np.stack(hidden[:n])
    out["predictor.codes"] = codes[:n].astype(np.int16)
    out["predictor.logits"] = logits.reshape(n, n_heads, -1)
    return out


def margins(log: list[dict[str, Any]], codes: np.ndarray, config: Any) -> dict[str, float]:
    """Return the smallest distance between the largest two scores of a greedy run, talker and predictor."""
    found = choice_margins(log, codes, config)
    return {"talker": float(found[:, 0].min()), "predictor": float(found[:, 1:].min())}


def choice_margins(log: list[dict[str, Any]], codes: np.ndarray, config: Any) -> np.ndarray:
    """Return the distance between the largest two scores at each choice of a greedy run, float32 [n, G].

    The talker's are taken after the rules `generate` applies, as the choice is.
    """

    def gap(scores: np.ndarray) -> float:
        first, second = np.sort(scores)[-2:][::-1]
        return float(first - second)

    rows = [call["logits"][-1] for call in log if call["part"] == "talker"]
    seen = np.zeros(config.vocab_size, bool)
    talker_gaps = []
    for n, code0 in enumerate(codes[:, 0]):
        scores = restrict(
            rows[n], seen=seen, penalty=1.05, end_id=config.codec_eos_token_id, may_end=n >= 2,
            suppress=(config.vocab_size - 1024, config.vocab_size),
        )  # fmt: skip
        if int(scores.argmax()) != code0:
            raise AssertionError(
                f"frame {n}: the rules give {scores.argmax()}, the official run chose {code0}"
            )
        talker_gaps.append(gap(scores))
        seen[code0] = True
    calls = [call for call in log if call["part"] == "predictor"]
    n, rest = len(codes), codes.shape[1] - 1
    gaps = np.array([gap(call["logits"][-1]) for call in calls[: n * rest]]).reshape(n, rest)
    return np.concatenate([np.array(talker_gaps)[:, None], gaps], 1).astype(np.float32)


def codec(official: Official, case: cases.Case) -> Arrays:
    """Decode random codes with every stage kept."""
    config = official.decoder.config
    rng = np.random.Generator(np.random.PCG64(case.seed))
    codes = rng.integers(0, config.codebook_size, (case.n_tapped, config.num_quantizers))
    pcm, taps = official.decode_tapped(codes)
    if sum(tap.nbytes for tap in taps.values()) > MAX_TAP_BYTES:
        taps = {
            name: tap
            for name, tap in taps.items()
            if not name.startswith("wave.") or name.startswith("wave.0.")
        }
    # a stage's last unit is the stage, so one of the two is enough
    taps = {name: tap for name, tap in taps.items() if not name.endswith("res.2")}
    return {"codec.codes": codes.astype(np.int16), "codec.pcm": pcm} | {
        f"codec.tap.{k}": v for k, v in taps.items()
    }


def record(name: str) -> tuple[Arrays, dict[str, Any]]:
    """Record one case: its arrays, and what ``cases.json`` says of it."""
    case = cases.CASES[name]
    official = Official(cases.folder(name))
    config = official.talker.config
    hop = int(official.decoder.total_upsample)
    arrays: Arrays = {}
    smallest: dict[str, float] = {}
    for p, prompt in enumerate(case.prompts):
        for key, value in official.rows(prompt).items():
            arrays[f"prompt.{p}.{key}"] = value.astype(np.int32) if value.dtype == np.int64 else value
        with official.watch() as log:
            codes = official.greedy(prompt, cases.N_FRAMES)
        if codes.shape[0] != cases.N_FRAMES:
            raise AssertionError(
                f"{name}: the run ended after {codes.shape[0]} frames, expected {cases.N_FRAMES}"
            )
        arrays[f"greedy.{p}"] = codes.astype(np.int16)
        for part, gap in margins(log, codes, config).items():
            smallest[part] = min(gap, smallest.get(part, gap))
        if p == 0:
            arrays |= talker(log) | predictor(log, codes)
            arrays["wave.0"] = official.pcm(codes[: N_WAVE_SAMPLES // hop])
    arrays |= codec(official, case)
    about = {
        "weights_sha256": cases.weights_hash(name),
        "smallest_margin": {part: float(f"{gap:.3g}") for part, gap in smallest.items()},
        "hop": hop,
        "n_group_ids": len(
            np.unique(np.concatenate([arrays[f"greedy.{p}"][:, 0] for p in range(len(case.prompts))]))
        ),
    }
    return arrays, about


def main(out: Path | None = None) -> None:
    """Record every case into a folder."""
    abouts = {}
    for name in cases.CASES:
        arrays, abouts[name] = record(name)
        recordings.store(name, arrays, out)
        print(abouts[name], flush=True)
    ((out or recording.FOLDER) / "cases.json").write_text(json.dumps(abouts, indent=1) + "\n")


if __name__ == "__main__":
    main(*(Path(arg) for arg in sys.argv[1:]))
