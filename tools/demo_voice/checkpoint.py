"""Keep what training made in the repository, so that another machine can go on with it, and put it back.

    python checkpoint.py save WORK
    python checkpoint.py restore WORK
    python checkpoint.py mean WORK

Kept in `checkpoint/`: weights as F16 without the optimizers' state, codes and phones of the rendered clips,
the text and the tokenizer. `mean` makes WORK's talker the mean of its own weights and those kept here: what
training went on from and what came of it are better together. What is not kept is made again by the same
commands: the clips themselves (render.py), which only the codec's training and evaluation need.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from render import HERE
from safetensors.torch import load_file, save_file

KEPT = HERE / "checkpoint"
PARTS = {"codec": "model", "wave": "decoder", "talker": "mean"}
SETS = ("development", "held_out", "train", "common", "common2", "frequent")
TEXTS = {
    "train": "texts.npz",
    "common": "common_texts.npz",
    "common2": "common2_texts.npz",
    "frequent": "frequent_texts.npz",
}


def save(work: Path, voice: str) -> None:
    """WORK to checkpoint/."""
    KEPT.mkdir(exist_ok=True)
    tensors, steps = {}, {}
    for part, key in PARTS.items():
        stored = torch.load(work / f"{part}.pt", map_location="cpu")
        steps[part] = str(stored["step"])
        for name, value in stored[key].items():
            small = value.half() if value.is_floating_point() else value
            tensors[f"{part}/{name}"] = small.contiguous().clone()
    save_file(tensors, KEPT / "weights.safetensors", metadata=steps)
    for name in SETS:
        np.savez_compressed(KEPT / f"{voice}-{name}.npz", **np.load(work / f"{voice}-{name}.npz"))
    for name, kept in TEXTS.items():
        texts = (work / f"{name}.txt").read_text().splitlines()
        count = len(np.load(work / f"{voice}-{name}.npz")["frames"])
        np.savez_compressed(KEPT / kept, text=np.frombuffer("\n".join(texts[:count]).encode(), np.uint8))
    shutil.copytree(work / "tokenizer", KEPT / "tokenizer", dirs_exist_ok=True)


def restore(work: Path, voice: str) -> None:
    """checkpoint/ to WORK: training goes on from the weights, optimizer and schedule begin anew."""
    work.mkdir(parents=True, exist_ok=True)
    tensors = load_file(KEPT / "weights.safetensors")
    for part, key in PARTS.items():
        found = {
            name.partition("/")[2]: value.float() if value.dtype == torch.float16 else value
            for name, value in tensors.items()
            if name.startswith(f"{part}/")
        }
        again = {"voice": found} if part == "talker" else {}
        torch.save({key: found, **again, "step": 0, "optimizer": None}, work / f"{part}.pt")
    for name in SETS:
        shutil.copy(KEPT / f"{voice}-{name}.npz", work)
    for name, kept in TEXTS.items():
        (work / f"{name}.txt").write_bytes(np.load(KEPT / kept)["text"].tobytes() + b"\n")
    shutil.copytree(KEPT / "tokenizer", work / "tokenizer", dirs_exist_ok=True)


def mean(work: Path, voice: str) -> None:
    """Half WORK's talker, half the one in checkpoint/; training begins anew from there."""
    kept = load_file(KEPT / "weights.safetensors")
    joined = torch.load(work / "talker.pt", map_location="cpu")["mean"]
    for name, value in joined.items():
        if value.is_floating_point():
            value.lerp_(kept[f"talker/{name}"].to(value), 0.5)
    torch.save({"mean": joined, "voice": joined, "step": 0, "optimizer": None}, work / "talker.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("save", "restore", "mean"))
    parser.add_argument("work", type=Path)
    parser.add_argument("--voice", default="rms")
    arguments = parser.parse_args()
    {"save": save, "restore": restore, "mean": mean}[arguments.what](arguments.work, arguments.voice)


if __name__ == "__main__":
    main()
