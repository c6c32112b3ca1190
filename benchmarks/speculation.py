"""What proposing code groups would gain, as JSON lines: how often drafts are right, what passes cost.

    python benchmarks/speculation.py acceptance -t 1
    python benchmarks/speculation.py cost 06b-q8_0.gguf --rounds 25 -t 2

`acceptance`: the packaged voice says held-out sentences, greedy and as it draws by default; each draft is
then shown what it would have seen, and its chances q are compared with the predictor's p, with the same
temperature and top-k. Greedy: how often the largest is the same. Sampled: the mean of ``sum(min(p, q))``,
which is what rejection accepts; ``same_number`` is how often both draw the same code with one uniform number,
which needs no rejection and changes no draw. Fitted drafts saw other sentences. Two last lines count what the
engine itself proposes and accepts. `cost`: a pass over 1 to 4 rows and their heads, in turns, and a whole
frame without proposals and with them (random weights accept next to none: what counts is the time of the
passes).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import pyomni
from pyomni._binding import Device, Model
from pyomni.api import packaged_voice
from pyomni.bench import where
from pyomni.components.lm import CODEC, DecoderLM
from pyomni.doctor.tensors import read_tensor
from pyomni.options import Draw
from pyomni.pipelines.speculation import speculated

sys.path.append(str(Path(__file__).parent))  # which PYTHONSAFEPATH leaves out

from probes import probed  # isort: skip

HERE = Path(__file__).parent
SENTENCES = HERE.parent / "tools" / "demo_voice"
RIDGE = 100.0  # of fitted drafts: the best of 10, 100 and 1000 there
F64 = npt.NDArray[np.float64]


class Said(NamedTuple):
    """What the predictor saw and did while sentences were said, group 0 first."""

    hidden: F64  # [n, n_embd], the talker's
    codes: npt.NDArray[np.int32]  # [n, n_groups]
    rows: F64  # [n, n_groups, n_embd], embeddings of the codes
    states: F64  # [n_layer, n, n_groups, n_embd], normed, behind each layer; that of g decides on group g
    passed: tuple[int, int]  # proposals the engine decided on and accepted, with one a pass


def say(names: tuple[str, ...], greedy: bool, args: argparse.Namespace) -> Said:
    """Let the packaged voice say the sentences of these files."""
    frames: list[tuple[Any, Any]] = []
    opened: dict[str, DecoderLM] = {}

    def watch(name: str, lm: DecoderLM) -> DecoderLM:
        opened[name] = lm
        if name == "code_predictor":
            fill = lm.groups

            def groups(hidden: Any, code0: Any, **how: Any) -> Any:
                made = fill(hidden, code0, **how)
                frames.append((np.array(hidden)[0], made[0][0].copy()))
                return made

            lm.groups = groups  # type: ignore[method-assign]
        return lm

    texts = [line for name in names for line in (SENTENCES / name).read_text().splitlines() if line.strip()]
    proposed = accepted = 0
    with pyomni.load(packaged_voice(), device="cpu", threads=args.threads) as model:
        model._weights.watch = watch
        for i, text in enumerate(texts[: args.sentences]):
            for speculate in (0, 1):
                options = pyomni.SpeechOptions(seed=1 + i, greedy=greedy, speculate=speculate)
                with model.stream(text, options=options) as stream:
                    for _ in stream:
                        pass
                proposed += stream.timings.n_proposed
                accepted += stream.timings.n_accepted
        lm = DecoderLM(model._weights.model("code_predictor"), 16)
        hidden, codes = (np.stack(part) for part in zip(*frames, strict=True))
        n, n_groups = codes.shape
        rows = [opened["talker"].embed(CODEC, codes[:, 0])]
        rows += [lm.embed(g - 1, codes[:, g]) for g in range(1, n_groups)]
        n_layer = len(
            {t.name for t in tensors() if t.name.endswith("ffn_norm.weight") and "predictor" in t.name}
        )
        for layer in range(n_layer):
            lm.session.tap(f"blk.{layer}.out")
        states = np.empty((n_layer, n, n_groups, hidden.shape[1]))
        for i in range(n):
            lm.rewind()
            lm.decode(np.stack([hidden[i], *(r[i] for r in rows[:-1])]))
            for layer in range(n_layer):
                states[layer, i] = lm.session.read_tap(f"blk.{layer}.out").reshape(n_groups, -1)
    states *= tensor("code_predictor.output_norm.weight") / np.sqrt(
        (states**2).mean(-1, keepdims=True) + 1e-6
    )
    return Said(hidden.astype(float), codes, np.stack(rows, 1).astype(float), states, (proposed, accepted))


def tensors() -> Any:
    """Of the packaged voice."""
    from pyomni.metadata import Metadata

    return Metadata.read(packaged_voice()).tensors


def tensor(name: str) -> npt.NDArray[np.float32]:
    """Return one of its tensors."""
    return read_tensor(packaged_voice(), next(t for t in tensors() if t.name == name))


def fitted(seen: F64, state: F64) -> Any:
    """Return the map from what was seen to the state, by ridge regression with a constant."""
    ones = np.c_[seen, np.ones(len(seen))]
    best = np.linalg.solve(ones.T @ ones + RIDGE * np.eye(ones.shape[1]), ones.T @ state)
    return lambda x: np.c_[x, np.ones(len(x))] @ best


def drafts(fit: Said, test: Said, group: int) -> Iterator[tuple[str, F64]]:
    """Yield drafts of a group: a name, and the states that its head is to be applied to, of `test`."""
    state, known = fit.states[-1][:, group], test.states[-1]
    for layer in range(len(fit.states) - 1):
        yield f"early exit behind layer {layer + 1}", test.states[layer][:, group]
        leave = fitted(fit.states[layer][:, group], state)
        yield f"early exit behind layer {layer + 1}, fitted", leave(test.states[layer][:, group])
    seen = [np.concatenate([s.hidden, s.rows[:, 0]], 1) for s in (fit, test)]
    yield "talker's hidden row and group 0, fitted", fitted(seen[0], state)(seen[1])
    for depth in range(1, group):
        before, here = fit.states[-1][:, group - depth], known[:, group - depth]
        yield f"own head, depth {depth}", here
        yield f"own head, depth {depth}, and an offset", here + (state - before).mean(0)
        yield f"own head, depth {depth}, fitted", fitted(before, state)(here)
        both = [
            np.concatenate([s.states[-1][:, group - depth], s.rows[:, group - depth]], 1) for s in (fit, test)
        ]
        yield f"own head, depth {depth}, with the code before, fitted", fitted(both[0], state)(both[1])


def tables(test: Said, group: int) -> Iterator[tuple[str, F64]]:
    """Yield online tables: log of counts of what was said before."""
    n_vocab = len(tensor(f"code_predictor.codec_head.{group - 1}.weight"))
    for name, context in (
        ("table of the group before", test.codes[:, group - 1]),
        ("table of the frame before", np.r_[0, test.codes[:-1, group]]),
    ):
        counts, alone = np.zeros((int(context.max()) + 1, n_vocab)), np.full(n_vocab, 1e-3)
        scores = np.empty((len(context), n_vocab))
        for i, (at, code) in enumerate(zip(context, test.codes[:, group], strict=True)):
            scores[i] = np.log((counts[at] + 2 * alone / alone.sum()) / (counts[at].sum() + 2))
            counts[at, code] += 1
            alone[code] += 1
        yield name, scores


def shares(scores: F64, draw: Draw) -> F64:
    """Return the probabilities that scores [n, n_vocab] stand for."""
    if draw.temperature == 0:
        return np.eye(scores.shape[1])[scores.argmax(1)]
    z = scores / draw.temperature
    z = np.where(z >= np.partition(z, -draw.top_k, 1)[:, -draw.top_k, None], z, -np.inf)
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def acceptance(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One line for each draft and group, and one of the engine."""
    fit = say(("development.txt", "everyday.txt"), False, args)
    tests = {greedy: say(("held_out.txt",), greedy, args) for greedy in (True, False)}
    u = np.random.default_rng(0).random((len(tests[False].codes), 1))
    for group in range(1, fit.codes.shape[1]):
        head = tensor(f"code_predictor.codec_head.{group - 1}.weight").astype(float)
        lines: dict[str, dict[str, Any]] = {}
        for greedy, test in tests.items():
            right = test.states[-1][:, group] @ head.T
            for name, found in drafts(fit, test, group):
                scores = found @ head.T
                line = lines.setdefault(name, {"draft": name, "group": group})
                for key, draw in ways(greedy):
                    p, q = shares(right, draw), shares(scores, draw)
                    line[key] = round(float(np.minimum(p, q).sum(1).mean()), 3)
                    if not greedy:
                        same = (p.cumsum(1) > u).argmax(1) == (q.cumsum(1) > u).argmax(1)
                        line[f"{key}_same_number"] = round(float(same.mean()), 3)
            for name, scores in tables(test, group):
                line = lines.setdefault(name, {"draft": name, "group": group})
                for key, draw in ways(greedy):  # its scores are logs of chances already
                    q = shares(scores, draw if greedy else Draw(1.0, draw.top_k))
                    line[key] = round(float(np.minimum(shares(right, draw), q).sum(1).mean()), 3)
        yield from lines.values()
    for greedy, test in tests.items():
        proposed, accepted = test.passed
        yield {"engine": "greedy" if greedy else "sampled", "frames": len(test.codes), "proposed": proposed,
               "accepted": round(accepted / proposed, 3)}  # fmt: skip


def ways(greedy: bool) -> tuple[tuple[str, Draw], ...]:
    """Of drawing: the voice's own, and what Qwen's checkpoints recommend, on the same frames."""
    return (
        (("greedy", Draw(0.0)),) if greedy else (("sampled", Draw(0.1, 50)), ("sampled_0.9", Draw(0.9, 50)))
    )


def cost(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One line: milliseconds of passes and frames, medians and best, and ratios to a row and to a frame."""
    model = Model(Device("cpu", args.threads), args.model, "code_predictor")
    n_groups, rng = model.info.n_groups, np.random.default_rng(0)
    lm, other = DecoderLM(model, n_groups), DecoderLM(model, n_groups)
    rows = (0.05 * rng.standard_normal((4, model.info.n_embd))).astype(np.float32)
    numbers, draw, n_passes = rng.random((3, n_groups)), Draw(0.9, 50), {}
    times: dict[str, list[float]] = {}

    def timed(name: str, run: Any) -> Any:
        start = perf_counter()
        made = run()
        times.setdefault(name, []).append((perf_counter() - start) * 1e3)
        return made

    def frame() -> None:
        u = numbers[:1, 1:]
        lm.groups(rows[:1], [1], temperature=draw.temperature, top_k=draw.top_k, top_p=1.0, uniforms=u)

    with probed(args.threads or 2) as probes:
        for _ in range(args.rounds + 2):
            for n in (1, 2, 3, 4):  # n rows judge as many groups, and the same number of heads drafts
                other.rewind()
                timed(f"pass_{n}", lambda n=n: other.each(rows[:n], n_heads=min(2 * n - 1, n_groups - 1)))
            timed("frame", frame)
            for most in (1, 2, 3):
                made = timed(
                    f"frame_{most}",
                    lambda m=most: speculated(other, rows[0], rows[1], 1, draw=draw, numbers=numbers, most=m),
                )
                n_passes[f"passes_{most}"] = made.n_passes
    line: dict[str, Any] = {"model": Path(args.model).name, "threads": args.threads, **n_passes, **probes}
    for kind, of in (("median", median), ("best", min)):
        found = {name: of(taken[2:]) for name, taken in times.items()}
        line[f"{kind}_ms"] = {name: round(ms, 2) for name, ms in found.items()}
        line[f"{kind}_ratio"] = {
            name: round(ms / found["pass_1" if name.startswith("pass") else "frame"], 3)
            for name, ms in found.items()
        }
    yield line


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="What proposing code groups would gain; JSON lines.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    a = verbs.add_parser("acceptance")
    a.add_argument("--sentences", type=int, help="the first so many of each list; default all")
    c = verbs.add_parser("cost")
    c.add_argument("model", help="GGUF file, of real sizes")
    c.add_argument("--rounds", type=int, default=25)
    for p in verbs.choices.values():
        p.add_argument("-t", "--threads", type=int)
    args = parser.parse_args()
    for line in {"acceptance": acceptance, "cost": cost}[args.verb](args):
        print(json.dumps({"benchmark": "speculation", "what": args.verb, **line, **where(HERE)}), flush=True)


if __name__ == "__main__":
    main()
