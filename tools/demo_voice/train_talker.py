"""The talker and the code predictor, by teacher forcing on the codes, in the official streaming layout.

    python train_talker.py WORK [--steps 14000] [--sets train common] [--threads 2]

Steer by the text gain it prints: cross-entropy with another sentence's text minus with its own, on unseen
clips. A helper head names the phones of the frame to come from the same hidden state, which makes the text
the thing to look at from the first steps on. WORK/talker.pt is written every 250 steps (weights, their
running mean, optimizer) and taken up again. Products are of bfloat16 where the processor has them, and on a
GPU when there is one; weights and losses stay float32.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from render import HERE
from talker_model import Clips, Voice
from torch import nn

BATCH = 32


def text_gain(voice: Voice, clips: Clips) -> str:
    """Cross-entropies on unseen clips, and how much worse another's text makes the first."""
    voice.eval()
    chosen = list(range(len(clips.texts)))
    languages = [True] * len(chosen)
    others = clips.texts[7:] + clips.texts[:7]
    with torch.no_grad():
        own = voice.losses(clips, chosen, languages)
        other = voice.losses(clips, chosen, languages, others)
    voice.train()
    parts = " ".join(f"{name} {own[name]:.3f}" for name in ("first", "right", "rest", "phones"))
    return f"unseen {parts} text gain {other['first'] - own['first']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--voice", default="rms")
    parser.add_argument("--sets", nargs="+", default=["train", "common"])
    parser.add_argument("--steps", type=int, default=14000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--phone-weight", type=float, default=0.3)
    parser.add_argument(
        "--hide", type=float, default=0.2, help="share of past frames hidden, halved towards the end"
    )
    parser.add_argument("--swap", type=float, default=0.04)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float32", action="store_true", help="products of float32, and nothing compiled")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    work = arguments.work
    device = "cuda" if torch.cuda.is_available() else "cpu"
    voice = Voice(work).to(device)
    if not arguments.float32:
        voice.compile()
    kinds = [[p for p in voice.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)]
    optimizer = torch.optim.AdamW(
        [{"params": kinds[0], "weight_decay": 0.03}, {"params": kinds[1], "weight_decay": 0.0}],
        arguments.rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    path, step = work / "talker.pt", 0
    mean = {name: value.clone() for name, value in voice.state_dict().items()}
    if path.exists():
        saved = torch.load(path, map_location=device)
        voice.load_state_dict(saved["voice"])
        mean, step = saved["mean"], saved["step"]
        if saved["optimizer"]:  # none in a checkpoint that came out of the repository
            optimizer.load_state_dict(saved["optimizer"])
    sets = [
        Clips.load(work, arguments.voice, name, (work / f"{name}.txt").read_text().splitlines())
        for name in arguments.sets
    ]
    clips = sum(sets[1:], sets[0])
    unseen = Clips.load(
        work, arguments.voice, "development", (HERE / "development.txt").read_text().splitlines()
    )
    order = np.argsort([len(codes) for codes in clips.codes], kind="stable")
    print(
        f"{sum(p.numel() for p in voice.official.parameters()):,} parameters, {len(clips.texts)} clips",
        flush=True,
    )
    random = np.random.default_rng(step)
    torch.manual_seed(step)
    began, seen = time.time(), {}
    while step < arguments.steps:
        done = step / arguments.steps
        rate = min(1, (step + 1) / 100) * (
            1 if done < 0.3 else 0.5 * (1 + math.cos(math.pi * (done - 0.3) / 0.7)) + 0.01
        )
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * rate
        # Clips of about one length; the shortest first, for the alignment to appear there.
        limit = len(order) if done > 0.08 else int(len(order) * (0.3 + 0.7 * done / 0.08))
        start = int(random.integers(0, limit - 8 * BATCH))
        chosen = order[start + random.permutation(8 * BATCH)[:BATCH]].tolist()
        with torch.autocast(device, torch.bfloat16, enabled=not arguments.float32):
            losses = voice.losses(
                clips,
                chosen,
                (random.random(BATCH) < 0.6).tolist(),
                hide=arguments.hide * (1 - 0.5 * done),
                swap=arguments.swap,
                predicted=0.35,
            )
        loss = (
            losses["first"]
            + 0.5 * losses["rest"]
            + arguments.phone_weight * (1 - 0.7 * done) * losses["phones"]
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(voice.parameters(), 1.0)
        optimizer.step()
        step += 1
        keep = min(0.999, step / (step + 9))
        with torch.no_grad():
            for name, value in voice.state_dict().items():
                mean[name].lerp_(value, 1 - keep) if value.is_floating_point() else mean[name].copy_(value)
        for name, value in losses.items():
            seen[name] = 0.97 * seen.get(name, value.item()) + 0.03 * value.item()
        if step % 100 == 0:
            line = " ".join(f"{name} {value:.3f}" for name, value in seen.items())
            print(f"{step} {time.time() - began:.0f} s {line}", flush=True)
        if step % 250 == 0 or step == arguments.steps:
            current = {name: value.clone() for name, value in voice.state_dict().items()}
            voice.load_state_dict(mean)
            print(f"{step} mean weights: {text_gain(voice, unseen)}", flush=True)
            voice.load_state_dict(current)
            state = {"voice": current, "mean": mean, "step": step, "optimizer": optimizer.state_dict()}
            torch.save(state, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)


if __name__ == "__main__":
    main()
