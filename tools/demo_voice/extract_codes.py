"""Codes and phone slots of every rendered clip, for the talker: WORK/VOICE-SET.npz.

    python extract_codes.py WORK [--voice rms] [--lead 4] [--sets train]

`lead` frames of silence go before every clip, so that a few text tokens are known when speech begins.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from codec_model import Mel, Phones
from render import load
from sizes import FRAME, RATE
from train_wave import load_codec

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--voice", default="rms")
    parser.add_argument("--lead", type=int, default=4)
    parser.add_argument("--sets", nargs="+", default=["development", "held_out", "train"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    codec, mel, lead = load_codec(arguments.work), Mel(), arguments.lead
    for name in arguments.sets:
        clips, phones = load(arguments.work / f"{arguments.voice}-{name}")
        frames = np.array([lead + -(-len(clip) // FRAME) for clip in clips])
        codes: list[np.ndarray] = [np.zeros(0)] * len(clips)
        order = np.argsort(frames)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            # Two more frames of silence, as the encoder sees the future; its batch never shows a clip
            # another's sound.
            samples = np.zeros((len(rows), (frames[rows].max() + 2) * FRAME), np.float32)
            for row, clip in enumerate(rows):
                samples[row, lead * FRAME : lead * FRAME + len(clips[clip])] = clips[clip]
            with torch.no_grad():
                made = codec.quantizer(codec.encoder(mel(torch.from_numpy(samples / 32768))))[2]
            for row, clip in enumerate(rows):
                codes[clip] = made[row, :, : frames[clip]].t().numpy().astype(np.int16)
        slots = [
            Phones(entry).slots(int(n), -lead * FRAME / RATE) for entry, n in zip(phones, frames, strict=True)
        ]
        joined = np.concatenate(codes)
        np.savez(
            arguments.work / f"{arguments.voice}-{name}.npz",
            codes=joined,
            frames=frames,
            phones=np.concatenate(slots).astype(np.int8),
        )
        shares = [np.bincount(group) / len(joined) for group in joined.T]
        bits = [float(-(share[share > 0] * np.log2(share[share > 0])).sum()) for share in shares]
        print(
            f"{name}: {len(clips)} clips, {len(joined)} frames, bits a group {np.round(bits, 2)}", flush=True
        )


if __name__ == "__main__":
    main()
