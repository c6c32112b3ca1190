"""What each type costs and what it saves, as JSON lines: one a type, and one more with an importance matrix.

    python benchmarks/file_types.py quality voice-f32.gguf tools/demo_voice/development.txt \
        --calibrate tools/demo_voice/checkpoint/common_texts.npz --words
    python benchmarks/file_types.py speed 0.6b-bf16.gguf --frames 25 -t 2 --rounds 3

`quality`: the f32 model speaks each text; then every type is given the same codes, frame by frame and group
by group, and its logits are compared with those of f32: root mean square and largest difference, the
Kullback-Leibler divergence from f32 in nats, and how often the largest logit is the same. With `--words` each
type also speaks freely and a recogniser hears it (needs pocketsphinx and soxr). `speed`: size and real-time
factor, the types in turn. A type may say more, as ``q4_k+code_predictor.*=q4_k`` (`quantize --tensor-type`).
Tables in `RESULTS.md` quote these lines.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import pyomni
from pyomni.bench import bench_speech, where
from pyomni.components.lm import CODEC, DecoderLM, Step
from pyomni.convert import FILE_TYPES
from pyomni.imatrix import collect
from pyomni.quantize import quantize_files
from pyomni.quantize.importance import write_importance

HERE = Path(__file__).parent
TYPES = tuple(kind for kind in FILE_TYPES if kind not in ("f32", "f16"))
SEARCHED = ("q6_k", "q5_k", "q4_k", "q4_0", "iq4_nl")  # types that an importance matrix changes
SURE = 1e9  # the logit of an id that must be drawn

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


class Forced:
    """Hands a model the frames it has to say, and keeps the logits it would have drawn them from.

    `watch` is for `Weights.watch`. The loop, the prompt and the rows are the model's own.
    """

    def __init__(self) -> None:
        self.frames: I32 = np.empty((0, 0), np.int32)
        self.n_said, self.end = 0, 0
        self.last: F32 = np.empty(0, np.float32)  # of the talker
        self.kept: dict[int, list[F32]] = {}  # by group
        self.opened: dict[str, DecoderLM] = {}

    def watch(self, name: str, lm: DecoderLM) -> DecoderLM:
        """Return the session to use in place of `lm`."""
        self.opened[name] = lm
        return _Talker(lm, self) if name == "talker" else _Predictor(lm, self)

    def said(self, model: Any, text: str, frames: I32, seed: int) -> dict[int, F32]:
        """Let `model` say `text` in these frames; the logits of each group, float32 [n, n_vocab]."""
        self.frames, self.n_said, self.kept = frames, 0, {}
        options = pyomni.SpeechOptions(
            seed=seed, greedy=True, guard=False, max_frames=len(frames), split="never"
        )
        for codes in model.codes(text, options=options):
            assert np.array_equal(codes, frames[self.n_said - 1])
        assert self.n_said == len(frames)
        self.kept[0].append(self.last)  # where it ends
        return {group: np.stack(rows) for group, rows in self.kept.items()}


class _Talker(DecoderLM):
    def __init__(self, lm: DecoderLM, forced: Forced) -> None:
        self.__dict__.update(lm.__dict__)
        self.forced = forced

    def decode(self, rows: npt.ArrayLike, **given: Any) -> Step:
        step, f = super().decode(rows, **given), self.forced
        f.last = step.logits[0].copy()
        wanted = f.frames[f.n_said, 0] if f.n_said < len(f.frames) else f.end
        logits = np.full_like(step.logits, -SURE)
        logits[0, wanted] = SURE
        return step._replace(logits=logits)


class _Predictor(DecoderLM):
    def __init__(self, lm: DecoderLM, forced: Forced) -> None:
        self.__dict__.update(lm.__dict__)
        self.forced = forced

    def groups(self, hidden: npt.ArrayLike, code0: npt.ArrayLike, **draw: Any) -> tuple[I32, F32]:
        f = self.forced
        frame = f.frames[f.n_said]
        f.kept.setdefault(0, []).append(f.last)
        row = f.opened["talker"].embed(CODEC, frame[:1])[0]
        total, rows = row.copy(), np.stack([np.asarray(hidden, np.float32)[0], row])
        self.rewind()
        for group in range(1, len(frame)):
            f.kept.setdefault(group, []).append(self.decode(rows, head=group - 1).logits[0].copy())
            rows = self.embed(group - 1, frame[group : group + 1])
            total += rows[0]
        f.n_said += 1
        return frame[None], total[None]


def record(path: Path, texts: list[str], threads: int | None, most: int | None = None) -> list[I32]:
    """The codes of each text, spoken by a model as it speaks."""
    with pyomni.load(path, device="cpu", threads=threads) as model:
        return [
            np.stack(
                list(
                    model.codes(text, options=pyomni.SpeechOptions(seed=1 + i, guard=False, max_frames=most))
                )
            )
            for i, text in enumerate(texts)
        ]


def logits_of(path: Path, texts: list[str], codes: list[I32], threads: int | None) -> dict[int, F32]:
    """Each group's logits where the texts are said in these codes, float32 [n, n_allowed]."""
    forced, found = Forced(), []
    with pyomni.load(path, device="cpu", threads=threads) as model:
        meta = model._meta
        forced.end = meta.codec_eos_id
        model._weights.watch = forced.watch
        for i, text in enumerate(texts):
            found.append(forced.said(model, text, codes[i], 1 + i))
    begin, end = meta.suppress
    allowed = [
        id_ for id_ in range(found[0][0].shape[1]) if not begin <= id_ < end or id_ == meta.codec_eos_id
    ]
    whole = {group: np.concatenate([one[group] for one in found]) for group in found[0]}
    whole[0] = whole[0][:, allowed]
    return whole


def apart(exact: dict[int, F32], found: dict[int, F32]) -> dict[str, Any]:
    """How far logits are from the exact ones: of group 0, of the others together, and agreement of each."""

    def log_softmax(x: F32) -> npt.NDArray[np.float64]:
        y = x.astype(np.float64) - x.max(1, keepdims=True)
        return y - np.log(np.exp(y).sum(1, keepdims=True))

    result: dict[str, Any] = {}
    for name, groups in (("talker", [0]), ("predictor", [g for g in exact if g])):
        differences = [found[g] - exact[g] for g in groups]
        divergences = []
        for g in groups:
            p, q = log_softmax(exact[g]), log_softmax(found[g])
            divergences.append((np.exp(p) * (p - q)).sum(1))
        every = np.concatenate([d.ravel() for d in differences]).astype(np.float64)
        result[f"{name}_rms"] = float(np.sqrt((every**2).mean()))
        result[f"{name}_max"] = float(np.abs(every).max())
        result[f"{name}_kl"] = float(np.concatenate(divergences).mean())
    result["agreement"] = [float((found[g].argmax(1) == exact[g].argmax(1)).mean()) for g in sorted(exact)]
    return result


def word_errors(path: Path, texts: list[str], threads: int | None, precision: str) -> float:
    """Word errors of a recogniser, in percent, where the model speaks as it does."""
    sys.path.insert(0, str(HERE.parent / "tools" / "demo_voice"))
    from hearing import Listener, word_error_rate

    listener, pairs = Listener(), []
    with pyomni.load(path, device="cpu", threads=threads, precision=precision) as model:
        for i, text in enumerate(texts):
            speech = model.speak(text, options=pyomni.SpeechOptions(seed=1 + i))
            pairs.append((text, listener.hear(speech.audio, speech.sample_rate)))
    return float(word_error_rate(pairs))


def lines_of(path: Path, n: int | None = None) -> list[str]:
    """Texts of a file, one a line, or of an archive of the packaged voice; `n` of them, evenly spread."""
    whole = (
        bytes(np.load(path)["text"]).decode() if path.suffix == ".npz" else path.read_text(encoding="utf-8")
    )
    lines = [line for line in whole.splitlines() if line.strip()]
    return lines if n is None or n >= len(lines) else [lines[i * len(lines) // n] for i in range(n)]


def variants(
    args: argparse.Namespace, folder: Path, imatrix: Path | None
) -> Iterator[tuple[str, bool, Path]]:
    """(type, whether with the importance matrix, file), each written when it is asked for."""
    for whole in args.types:
        kind, *by_name = whole.split("+")
        given = [tuple(one.split("=")) for one in by_name]
        for weighted in (False, True) if imatrix and kind in SEARCHED else (False,):
            out = folder / f"{whole}{'-imatrix' if weighted else ''}.gguf"
            weights = imatrix if weighted else None
            yield (
                whole,
                weighted,
                quantize_files(args.model, out, kind, imatrix=weights, tensor_types=given)[0],
            )


def quality(args: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """One line for each type."""
    texts, imatrix = lines_of(args.texts, args.n_texts), None
    if args.calibrate:
        said = lines_of(args.calibrate, args.n_calibrate)
        imatrix = folder / "imatrix.gguf"
        write_importance(
            imatrix,
            collect(
                args.model,
                said,
                dataset=args.calibrate.name,
                max_frames=args.max_frames,
                threads=args.threads,
            ),
        )
    codes = record(args.model, texts, args.threads, args.max_frames)
    exact = logits_of(args.model, texts, codes, args.threads)
    first = [("f32", False, args.model)] if args.words else []
    for kind, weighted, path in [*first, *variants(args, folder, imatrix)]:
        line = {"type": kind, "imatrix": weighted, "bytes": path.stat().st_size, "texts": len(texts)}
        line |= {"frames": sum(map(len, codes)), **apart(exact, logits_of(path, texts, codes, args.threads))}
        if args.words:
            line["precision"] = args.precision
            line["word_error_rate"] = word_errors(path, texts, args.threads, args.precision)
        yield line


def speed(args: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """One line for each type and round, the types in turn."""
    made = list(variants(args, folder, None))
    for turn in range(args.rounds):
        for kind, _, path in made:
            with pyomni.load(path, device="cpu", threads=args.threads, precision=args.precision) as model:
                found = bench_speech(model, frames=args.frames)
            yield {"type": kind, "round": turn, "bytes": path.stat().st_size, **found}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Compare the types of one model; JSON lines.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    q = verbs.add_parser("quality")
    q.add_argument("model", type=Path, help="f32 GGUF of a model that speaks")
    q.add_argument("texts", type=Path, help="one text a line")
    q.add_argument("--n-texts", type=int, help="so many of them")
    q.add_argument("--calibrate", type=Path, help="texts for an importance matrix: none of those above")
    q.add_argument("--n-calibrate", type=int, default=200)
    q.add_argument("--max-frames", type=int, help="of a text, at most")
    q.add_argument("--words", action="store_true", help="count word errors as well")
    s = verbs.add_parser("speed")
    s.add_argument("model", type=Path, help="f32 or bf16 GGUF of a model that speaks")
    s.add_argument("--frames", type=int, default=25)
    s.add_argument("--rounds", type=int, default=3)
    for p in (q, s):
        p.add_argument("--types", nargs="+", default=list(TYPES), metavar="TYPE[+NAMES=TYPE]")
        p.add_argument("--precision", choices=("exact", "fast"), default="exact", help="of what is heard")
        p.add_argument("-t", "--threads", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pyomni-types-", dir=args.model.parent) as folder:
        for line in {"quality": quality, "speed": speed}[args.verb](args, Path(folder)):
            common = {"benchmark": "types", "what": args.verb, "model": args.model.name}
            print(json.dumps({**common, **line, **where(HERE)}), flush=True)


if __name__ == "__main__":
    main()
