"""First half of the codec: log-mel through encoder, quantizer and the decoder's part before the wave stack.

    python train_codec.py WORK [--steps 9000] [--threads 1]

No sample is generated: a throw-away head reads log-mel rows off the 50 Hz rows, so a step is cheap. A phone
classifier on the first group alone makes its codes phonetic, which is what the talker will have to predict
from text (Mimi's semantic group does the same with a larger teacher). WORK/codec.pt is written every 250
steps and taken up again when it exists.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from codec_model import BANDS, DEVICE, SLOTS, WIDTH, Encoder, Mel, Phones, Quantizer, make_decoder, rows_50hz
from render import load
from sizes import CODEC, FRAME, PHONES, RATE
from torch import Tensor, nn

SECONDS, BATCH, FRAMES = 2.0, 32, 25
WITHOUT_CODES = 500  # steps before the quantizer is switched on


class Crops:
    """Random stretches of FRAMES codec frames, with the phones in them."""

    def __init__(self, path: Path) -> None:
        self.clips, phones = load(path)
        self.phones = [Phones(entry) for entry in phones]

    def draw(self, random: np.random.Generator, batch: int = BATCH) -> tuple[Tensor, Tensor]:
        length = FRAMES * FRAME
        samples = np.zeros((batch, length), np.float32)
        slots = np.zeros((batch, FRAMES * SLOTS), np.int64)
        for row in range(batch):
            index = int(random.integers(len(self.clips)))
            clip = self.clips[index]
            start = int(
                random.integers(-5000, max(1, len(clip) - length + 5000))
            )  # some silence at either end
            a, b = max(0, start), min(len(clip), start + length)
            samples[row, a - start : b - start] = clip[a:b]
            slots[row] = self.phones[index].slots(FRAMES, start / RATE)
        device = torch.get_default_device()
        return torch.from_numpy(samples / 32768).to(device), torch.from_numpy(slots).to(device)


class Trainee(nn.Module):
    """What is trained, and the two heads thrown away afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.quantizer, self.decoder = Encoder(), Quantizer(), make_decoder()
        self.to_mel = nn.Conv1d(CODEC["latent_dim"], 2 * BANDS, 3, padding=1)
        nn.init.constant_(self.to_mel.bias, -4)
        self.to_phones = nn.Conv1d(WIDTH, SLOTS * len(PHONES), 1)

    def mel_of(self, quantized: Tensor) -> Tensor:
        rows = self.to_mel(rows_50hz(self.decoder, quantized))  # [B, 2 * BANDS, 4 T]
        return rows.view(len(rows), 2, BANDS, -1).permute(0, 2, 3, 1).reshape(len(rows), BANDS, -1)

    def phones_of(self, first: Tensor) -> Tensor:  # [B, PHONES, SLOTS * T]
        return self.to_phones(first).view(len(first), SLOTS, len(PHONES), -1).permute(0, 2, 3, 1).flatten(2)

    def trained(self) -> list[nn.Parameter]:
        return [
            p
            for n, p in self.named_parameters()
            if not n.startswith("decoder.decoder.") and "_codebook" not in n
        ]


def measure(model: Trainee, mel: Mel, crops: tuple[Tensor, Tensor], coded: bool) -> str:
    """Mean log-mel difference and phone accuracy on unseen speech, by number of groups kept."""
    model.eval()
    with torch.no_grad():
        target = mel(crops[0])
        latent = model.encoder(target)
        line = f"unquantized {(model.mel_of(latent) - target).abs().mean():.3f}"
        if coded:
            _, first, codes, _ = model.quantizer(latent)
            kept = [
                (model.mel_of(model.quantizer.decode(codes[:, : n + 1])) - target).abs().mean().item()
                for n in range(codes.shape[1])
            ]
            right = (model.phones_of(first).argmax(1) == crops[1]).float().mean().item()
            used = [len(torch.unique(codes[:, n])) for n in range(codes.shape[1])]
            line += f" groups {[round(value, 3) for value in kept]} phones {right:.3f} used {used}"
    model.train()
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--voice", default="rms")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--phone-weight", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_default_device(DEVICE)
    torch.manual_seed(0)
    model, mel = Trainee(), Mel()
    optimizer = torch.optim.AdamW(model.trained(), arguments.rate, betas=(0.9, 0.98), weight_decay=1e-3)
    path, step = arguments.work / "codec.pt", 0
    if path.exists():
        saved = torch.load(path, map_location=torch.get_default_device())
        model.load_state_dict(saved["model"])
        if saved["optimizer"]:  # none in a checkpoint that came out of the repository
            optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
    random = np.random.default_rng(step)
    crops = Crops(arguments.work / f"{arguments.voice}-train")
    unseen = Crops(arguments.work / f"{arguments.voice}-development").draw(np.random.default_rng(1), 48)
    began = time.time()
    while step < arguments.steps:
        done = step / arguments.steps
        rate = min(1, step / 50 + 0.02) * (
            1 if done < 0.3 else 0.5 * (1 + math.cos(math.pi * (done - 0.3) / 0.7)) + 0.01
        )
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * rate
        if step % 1000 == 0:
            crops = Crops(arguments.work / f"{arguments.voice}-train")  # more may have been rendered
        samples, slots = crops.draw(random)
        target = mel(samples)
        latent = model.encoder(target)
        if step < WITHOUT_CODES:
            quantized = first = latent
            commitment = latent.sum() * 0
        else:
            if step == WITHOUT_CODES:
                with torch.no_grad():
                    rows = torch.cat([model.encoder(mel(crops.draw(random)[0])) for _ in range(12)])
                model.quantizer.start(rows.transpose(1, 2).reshape(-1, WIDTH))
            quantized, first, _, commitment = model.quantizer(latent, learn=True)
        difference = (model.mel_of(quantized) - target).abs().mean()
        phones = F.cross_entropy(model.phones_of(first), slots)
        loss = difference + 0.02 * commitment + arguments.phone_weight * phones
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.trained(), 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            line = measure(model, mel, unseen, step > WITHOUT_CODES)
            print(
                f"{step} {time.time() - began:.0f} s mel {difference:.3f} phones {phones:.3f} | {line}",
                flush=True,
            )
        if step % 250 == 0 or step == arguments.steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            torch.save(state, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)


if __name__ == "__main__":
    main()
