"""Second half of the codec: the wave stack, codes frozen. Can run beside train_talker.py.

    python train_wave.py WORK [--steps 5000] [--threads 1]

The part at 50 Hz runs over two seconds, the wave stack over a random stretch of it, against magnitudes at
several resolutions and log-mel. WORK/wave.pt is written every 200 steps and taken up again when it exists.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from codec_model import DEVICE, Mel, put_codebooks, rows_50hz, wave
from sizes import CODEC, FRAME
from torch import Tensor, nn
from train_codec import FRAMES, Crops, Trainee

BATCH, STRETCH = (
    12,
    9,
)  # clips, codec frames through the wave stack; the first is its left context and not scored
FFTS = (256, 512, 1024)


class Spectra:
    """Spectral convergence and log magnitudes at several resolutions, and log-mel."""

    def __init__(self) -> None:
        self.windows = {size: torch.hann_window(size) for size in FFTS}
        self.mels = (Mel(800), Mel(320))

    def __call__(self, made: Tensor, true: Tensor) -> Tensor:  # [B, samples] both
        loss = made.sum() * 0
        for size, window in self.windows.items():
            pair = [torch.stft(x, size, size // 4, window=window, return_complex=True) for x in (made, true)]
            a, b = ((torch.view_as_real(x).pow(2).sum(-1) + 1e-7).sqrt() for x in pair)
            loss = (
                loss
                + 0.5 * (a - b).norm() / b.norm()
                + (torch.log(a + 1e-3) - torch.log(b + 1e-3)).abs().mean()
            )
        for mel in self.mels:
            loss = loss + (mel(made) - mel(true)).abs().mean()
        return loss / len(FFTS)


def load_codec(work: Path) -> Trainee:
    """What train_codec.py left, with its codebooks in the official quantizer."""
    model = Trainee()
    model.load_state_dict(torch.load(work / "codec.pt", map_location=torch.get_default_device())["model"])
    put_codebooks(model.decoder, model.quantizer)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--voice", default="rms")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="torch.compile the wave stack")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_default_device(DEVICE)
    torch.manual_seed(0)
    codec, mel, spectra = load_codec(arguments.work), Mel(), Spectra()
    decoder, path, step = codec.decoder, arguments.work / "wave.pt", 0
    fast = [p for name, p in decoder.named_parameters() if name.startswith("decoder.")]
    slow = [
        p
        for name, p in decoder.named_parameters()
        if not name.startswith("decoder.") and "_codebook" not in name
    ]
    optimizer = torch.optim.AdamW(
        [{"params": fast, "scale": 1.0}, {"params": slow, "scale": 0.3}],
        arguments.rate,
        betas=(0.8, 0.99),
        weight_decay=1e-3,
    )
    if path.exists():
        saved = torch.load(path, map_location=torch.get_default_device())
        decoder.load_state_dict(saved["decoder"])
        if saved["optimizer"]:  # none in a checkpoint that came out of the repository
            optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
    stack = torch.compile(wave, dynamic=False) if arguments.compile else wave
    decoder.train()
    crops, random = Crops(arguments.work / f"{arguments.voice}-train"), np.random.default_rng(step + 1)
    unseen = Crops(arguments.work / f"{arguments.voice}-development").draw(np.random.default_rng(1), 24)[0]
    began, mean = time.time(), 0.0
    while step < arguments.steps:
        done = step / arguments.steps
        rate = min(1, (step + 1) / 50) * (
            1 if done < 0.4 else 0.5 * (1 + math.cos(math.pi * (done - 0.4) / 0.6)) + 0.01
        )
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * rate * group["scale"]
        samples, _ = crops.draw(random, BATCH)
        with torch.no_grad():
            codes = codec.quantizer(codec.encoder(mel(samples)))[2]
        hidden = rows_50hz(decoder, codec.quantizer.decode(codes))
        at = random.integers(0, FRAMES - STRETCH + 1, BATCH)
        rows = math.prod(CODEC["upsampling_ratios"])  # 4 rows a codec frame
        stretch = torch.stack([hidden[b, :, rows * a : rows * (a + STRETCH)] for b, a in enumerate(at)])
        true = torch.stack([samples[b, FRAME * a : FRAME * (a + STRETCH)] for b, a in enumerate(at)])
        loss = spectra(stack(decoder, stretch)[:, 0, FRAME:], true[:, FRAME:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*fast, *slow], 5.0)
        optimizer.step()
        step += 1
        mean = loss.item() if mean == 0 else 0.97 * mean + 0.03 * loss.item()
        if step % 100 == 0:
            line = ""
            if step % 500 == 0:
                decoder.eval()
                with torch.no_grad():
                    codes = codec.quantizer(codec.encoder(mel(unseen)))[2]
                    made = wave(decoder, rows_50hz(decoder, codec.quantizer.decode(codes)))[:, 0]
                    line = f" unseen {spectra(made, unseen):.3f}"
                decoder.train()
            print(f"{step} {time.time() - began:.0f} s loss {mean:.3f}{line}", flush=True)
        if step % 200 == 0 or step == arguments.steps:
            state = {"decoder": decoder.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            torch.save(state, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)


if __name__ == "__main__":
    main()
