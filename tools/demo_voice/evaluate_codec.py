"""Word errors of the codec alone: flite's own speech, and the same encoded and decoded.

    python evaluate_codec.py WORK [--set held_out]

Before train_wave.py has run, the log-mel of the first half is turned into sound by Griffin-Lim.
"""

import argparse
from pathlib import Path

import librosa
import numpy as np
import torch
from codec_model import Mel, rows_50hz, wave
from hearing import Listener, word_error_rate
from render import HERE, load
from sizes import FRAME, MEL_HOP, RATE
from train_wave import load_codec


def griffin_lim(mel: np.ndarray, size: int = 800) -> np.ndarray:
    """Sound of log-mel magnitudes [bands, rows]."""
    magnitudes = librosa.feature.inverse.mel_to_stft(
        np.exp(mel), sr=RATE, n_fft=size, power=1, fmin=0, fmax=RATE // 2
    )
    return librosa.griffinlim(magnitudes, n_iter=40, hop_length=MEL_HOP, n_fft=size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--voice", default="rms")
    parser.add_argument("--set", default="held_out")
    parser.add_argument("--groups", type=int, default=0, help="decode the first so many groups only")
    parser.add_argument("--griffin-lim", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    codec, mel, listener = load_codec(arguments.work), Mel(), Listener()
    waves = arguments.work / "wave.pt"
    spoken = waves.exists() and not arguments.griffin_lim
    if spoken:
        codec.decoder.load_state_dict(torch.load(waves, map_location="cpu")["decoder"])
    clips, _ = load(arguments.work / f"{arguments.voice}-{arguments.set}")
    texts = (HERE / f"{arguments.set}.txt").read_text().splitlines()
    original, through = [], []
    for text, clip in zip(texts, clips, strict=True):
        samples = clip.astype(np.float32) / 32768
        padded = np.pad(samples, (0, -len(samples) % FRAME + FRAME))
        with torch.no_grad():
            target = mel(torch.from_numpy(padded)[None])
            codes = codec.quantizer(codec.encoder(target))[2]
            quantized = codec.quantizer.decode(codes[:, : arguments.groups or codes.shape[1]])
            if spoken:
                made = wave(codec.decoder, rows_50hz(codec.decoder, quantized))[0, 0].numpy()
            else:
                made = griffin_lim(codec.mel_of(quantized)[0].numpy())
        original.append((text, listener.hear(samples, RATE)))
        through.append((text, listener.hear(made, RATE)))
    for (text, heard), (_, again) in list(zip(original, through, strict=True))[:8]:
        print(f"  {text} | {heard} | {again}")
    how, rates = "decoded" if spoken else "Griffin-Lim", [word_error_rate(p) for p in (original, through)]
    print(f"{len(texts)} sentences: original {rates[0]:.1f} %, {how} {rates[1]:.1f} %")


if __name__ == "__main__":
    main()
