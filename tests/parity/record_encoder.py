"""Record what the official codec encoder does with the toy models and clips of `toy_codec`.

    python tests/parity/record_encoder.py [OUT]
    python tests/parity/record_encoder.py --speech    # make the speech clip again; needs flite and soxr

Needs torch, transformers and qwen-tts. Writes ``encoder_{case}.npz`` into OUT, by default the committed
``tests/parity/recorded``. Clips go through `Qwen3TTSTokenizer.encode`, as a user's would. Arrays, for each
clip (its number of samples, or ``speech``), with R rows, F frames, G groups:

| array | shape | what |
|---|---|---|
| ``{clip}.codes`` | [F, G] | what `Qwen3TTSTokenizer.encode` returns |
| ``{clip}.seanet``, ``.encoder_transformer`` | [R, n_embd] | hidden rows, for a few clips |
| ``{clip}.downsample`` | [F, n_embd] | the frames before quantisation, for the same clips |
| ``speech.pcm`` | [F * hop / 7] | the codes of the speech decoded again, every seventh sample |
| ``margin`` | | the smallest lead of a nearest codebook row over the next, in squared distance |
| ``weights_sha256`` | | of the codec's weights |
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parity import recordings

from pyomni.verify import toy_codec as encoder_cases

Arrays = dict[str, np.ndarray]


def speech(out: Path = recordings.SPEECH) -> None:
    """Speak with flite and write 24 kHz FLAC in 16 bits."""
    from pyomni.audio.resample import resample

    text = "The quick brown fox jumps over the lazy dog, doesn't it?"
    with tempfile.TemporaryDirectory() as work:
        wav = Path(work) / "speech.wav"
        subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", str(wav)], check=True)
        samples, rate = soundfile.read(wav, dtype="float32")
    made = resample(samples, rate, 24000)
    soundfile.write(out, np.clip(np.rint(made * 32768), -32768, 32767).astype(np.int16), 24000, "PCM_16")


def tapped(official: Any, samples: np.ndarray) -> tuple[np.ndarray, Arrays]:
    """Return codes [F, G] of a clip, and the hidden rows it passed through."""
    encoder, taps = official.speech_tokenizer.model.encoder, {}

    def keep(name: str) -> Any:
        def hook(module: Any, args: Any, out: Any) -> None:
            taps[name] = (out[0] if name == "encoder_transformer" else out.transpose(1, 2))[0].numpy().copy()

        return hook

    modules = encoder.encoder, encoder.encoder_transformer, encoder.downsample
    handles = [
        module.register_forward_hook(keep(name))
        for name, module in zip(encoder_cases.TAPS, modules, strict=True)
    ]
    try:
        codes = official.speech_tokenizer.encode(samples, sr=24000).audio_codes[0].numpy()
    finally:
        for handle in handles:
            handle.remove()
    return codes, taps


def margin(official: Any, frames: np.ndarray, codes: np.ndarray) -> float:
    """Return the smallest lead of the chosen rows over the next nearest, following the chosen codes."""
    q = official.speech_tokenizer.model.encoder.quantizer
    least = np.inf
    done = 0
    for part in (q.semantic_residual_vector_quantizer, q.acoustic_residual_vector_quantizer):
        left = frames.astype(np.float64) @ part.input_proj.weight[:, :, 0].detach().double().numpy().T
        for layer in part.layers[: codes.shape[1] - done]:
            book = layer.codebook.embed.detach().double().numpy()
            distances = ((left[:, None] - book[None]) ** 2).sum(-1)
            mine = distances[np.arange(len(codes)), codes[:, done]]
            distances[np.arange(len(codes)), codes[:, done]] = np.inf
            least = min(least, float((distances.min(1) - mine).min()))
            left -= book[codes[:, done]]
            done += 1
    return least


def record(name: str) -> Arrays:
    """Record one case."""
    from parity.official import Official

    official = Official(encoder_cases.folder(name))
    arrays: Arrays = {"weights_sha256": np.array(encoder_cases.weights_hash(name))}
    least = np.inf
    for label, samples in recordings.codec_clips(name):
        codes, taps = tapped(official, samples)
        least = min(least, margin(official, taps["downsample"], codes))
        arrays[f"{label}.codes"] = codes.astype(np.int16)
        if label != "speech" and int(label) in encoder_cases.ENCODERS[name].tapped:
            arrays |= {f"{label}.{tap}": rows for tap, rows in taps.items()}
        if label == "speech":
            arrays["speech.pcm"] = official.pcm(codes)[:: recordings.PCM_STEP].copy()
    return arrays | {"margin": np.array(least)}


def main(out: Path | None = None) -> None:
    """Record every case into a folder."""
    import torch

    torch.set_num_threads(min(2, torch.get_num_threads()))
    for name in encoder_cases.ENCODERS:
        arrays = record(name)
        recordings.store(f"encoder_{name}", arrays, out)
        print(f"smallest margin {arrays['margin']:.3g}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--speech"]:
        speech()
    else:
        main(*(Path(arg) for arg in sys.argv[1:]))
