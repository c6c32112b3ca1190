"""The talker and the code predictor, by teacher forcing on the codes, in the official streaming layout.

    python train_talker.py WORK [--steps 14000] [--sets train common] [--threads 2]

Steer by the text gain it prints: cross-entropy with another sentence's text minus with its own, on unseen
clips. A helper head names the phones of the frame to come from the same hidden state, which makes the text
the thing to look at from the first steps on. WORK/talker.pt is written every 250 steps (weights, their
running mean, optimizer) and taken up again. Products are of bfloat16 where the processor has them, and on a
GPU when there is one; weights and losses stay float32. Where others use the machine,
`torchrun --nproc-per-node 2 train_talker.py WORK --threads 1` shares each batch between two processes, which
wait for each other once a step.
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from codec_model import DEVICE
from render import HERE
from talker_model import Clips, Voice
from torch import distributed, nn

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


def shared(voice: Voice, spent: float) -> float:
    """Average the gradients, and the seconds spent, over all processes; return the seconds."""
    found = [p.grad for p in voice.parameters() if p.grad is not None]
    joined = torch.cat([*(grad.flatten() for grad in found), found[0].new_tensor([spent])])
    distributed.all_reduce(joined)
    joined /= distributed.get_world_size()
    for grad, mean in zip(found, joined[:-1].split([grad.numel() for grad in found]), strict=True):
        grad.copy_(mean.view_as(grad))
    return float(joined[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--voice", default="rms")
    parser.add_argument("--sets", nargs="+", default=["train", "common"])
    parser.add_argument("--steps", type=int, default=14000)
    parser.add_argument("--minutes", type=float, help="of training in all, stops left out, in place of steps")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--phone-weight", type=float, default=0.3)
    parser.add_argument(
        "--hide", type=float, default=0.2, help="share of past frames hidden, halved towards the end"
    )
    parser.add_argument("--swap", type=float, default=0.04)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--any-length",
        action="store_true",
        help="clips of every length from the first step on: for a talker that reads already",
    )
    parser.add_argument("--float32", action="store_true", help="products of float32, and nothing compiled")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1:
        distributed.init_process_group("gloo")
    batch = BATCH // processes
    work = arguments.work
    voice = Voice(work).to(DEVICE)
    if not arguments.float32:
        voice.compile()
    kinds = [[p for p in voice.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)]
    optimizer = torch.optim.AdamW(
        [{"params": kinds[0], "weight_decay": 0.03}, {"params": kinds[1], "weight_decay": 0.0}],
        arguments.rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    path, step, spent = work / "talker.pt", 0, 0.0
    mean = {name: value.clone() for name, value in voice.state_dict().items()}
    if path.exists():
        saved = torch.load(path, map_location=DEVICE)
        voice.load_state_dict(saved["voice"])
        mean, step, spent = saved["mean"], saved["step"], saved.get("spent", 0.0)
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
    random = np.random.default_rng([step, rank])
    torch.manual_seed(processes * step + rank)

    def progress() -> float:
        return spent / (60 * arguments.minutes) if arguments.minutes else step / arguments.steps

    began, seen = time.time() - spent, {}
    while (done := progress()) < 1:
        rate = min(1, (step + 1) / 100) * (
            1 if done < 0.3 else 0.5 * (1 + math.cos(math.pi * (done - 0.3) / 0.7)) + 0.01
        )
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * rate
        # Clips of about one length; the shortest first, for the alignment to appear there.
        limit = len(order)
        if not arguments.any_length and done < 0.08:
            limit = int(limit * (0.3 + 0.7 * done / 0.08))
        start = int(random.integers(0, limit - 8 * BATCH))
        chosen = order[start + random.permutation(8 * BATCH)[:batch]].tolist()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=not arguments.float32):
            losses = voice.losses(
                clips,
                chosen,
                (random.random(batch) < 0.6).tolist(),
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
        spent = time.time() - began
        if processes > 1:
            spent = shared(voice, spent)
        nn.utils.clip_grad_norm_(voice.parameters(), 1.0)
        optimizer.step()
        step += 1
        keep = min(0.999, step / (step + 9))
        with torch.no_grad():
            for name, value in voice.state_dict().items():
                mean[name].lerp_(value, 1 - keep) if value.is_floating_point() else mean[name].copy_(value)
        for name, value in losses.items():
            seen[name] = 0.97 * seen.get(name, value.item()) + 0.03 * value.item()
        if rank == 0 and step % 100 == 0:
            line = " ".join(f"{name} {value:.3f}" for name, value in seen.items())
            print(f"{step} {spent:.0f} s {line}", flush=True)
        if rank == 0 and (step % 250 == 0 or progress() >= 1):
            current = {name: value.clone() for name, value in voice.state_dict().items()}
            voice.load_state_dict(mean)
            print(f"{step} mean weights: {text_gain(voice, unseen)}", flush=True)
            voice.load_state_dict(current)
            state = {
                "voice": current,
                "mean": mean,
                "step": step,
                "spent": spent,
                "optimizer": optimizer.state_dict(),
            }
            torch.save(state, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)


if __name__ == "__main__":
    main()
