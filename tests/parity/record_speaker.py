"""Record what the official speaker encoder and its mel front end do with the toys of `speaker.py`.

    python tests/parity/record_speaker.py [OUT]

Needs torch, transformers and qwen-tts. Writes ``speaker_*.npz`` into OUT, by default the committed
``tests/parity/recorded``. Arrays, with T frames, M bands, H output width:

| array | shape | what |
|---|---|---|
| ``weights_sha256`` | [] | hash of the weights both sides make from the seed |
| ``mel.{n}`` | [T, M] | `mel_spectrogram` of the clip of n samples |
| ``embedding.{n}`` | [H] | of a clip of n samples (`extract_speaker_embedding`), or of n random rows |
| ``tap.{stage}`` | [T, C] | each stage's output on the tapped clip or rows |
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from parity import recordings
from parity.official import Official
from qwen_tts.core.models import modeling_qwen3_tts as official

from pyomni.verify import toy_speaker as speaker

Arrays = dict[str, np.ndarray]


def mel(clip: np.ndarray) -> torch.Tensor:
    """Return the official spectrogram [1, T, M], with the arguments `extract_speaker_embedding` gives."""
    settings = {"n_fft": 1024, "num_mels": 128, "sampling_rate": 24000, "hop_size": 256, "win_size": 1024}
    out = official.mel_spectrogram(torch.from_numpy(clip)[None], **settings, fmin=0, fmax=12000)
    return out.transpose(1, 2)


def tapped(encoder: Any, rows: torch.Tensor) -> Arrays:
    """Return each stage's output [T, C] on rows [1, T, M]."""
    taps: Arrays = {}

    def keep(name: str) -> Any:
        def hook(module: Any, args: Any, out: torch.Tensor) -> None:
            taps[f"tap.{name}"] = out[0].T.numpy().copy()

        return hook

    modules = {f"blk.{i}.out": block for i, block in enumerate(encoder.blocks)}
    modules |= {"mfa": encoder.mfa, "pooled": encoder.asp}
    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    with torch.no_grad():
        encoder(rows)
    for handle in handles:
        handle.remove()
    return taps


def record(name: str) -> Arrays:
    """Return the arrays of a case."""
    case = speaker.CASES[name]
    model = Official(speaker.folder(name)).model
    out: Arrays = {"weights_sha256": np.array(speaker.weights_hash(name))}
    for n in case.clips:
        embedding = model.extract_speaker_embedding(speaker.clip(n), 24000)
        out[f"embedding.{n}"] = embedding.numpy().astype(np.float32)
    for n in case.rows:
        with torch.no_grad():
            embedding = model.speaker_encoder(torch.from_numpy(speaker.rows(name, n))[None])
        out[f"embedding.{n}"] = embedding[0].numpy()
    if case.clips:
        out |= {f"mel.{n}": mel(speaker.clip(n))[0].numpy() for n in speaker.MEL_CLIPS}
    rows = (
        mel(speaker.clip(case.tapped))
        if case.clips
        else torch.from_numpy(speaker.rows(name, case.tapped))[None]
    )
    return out | tapped(model.speaker_encoder, rows)


def main() -> None:
    """Write the recordings."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for name in speaker.CASES:
        recordings.store(name, record(name), folder)


if __name__ == "__main__":
    main()
