"""Record what the official package makes of `compat_program.py`.

    python tests/parity/record_compat.py [OUT]

Needs torch, transformers, librosa and qwen-tts. Writes ``compat.npz`` into OUT, by default the committed
``tests/parity/recorded``: ``{kind}.{call}.{i}`` holds every fifth sample of a waveform,
``{kind}.{call}.{i}.n`` its length, ``{kind}.weights_sha256`` tells whose weights they were.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from parity import compat_program
from parity.official import Official


def record() -> dict[str, np.ndarray]:
    """Run the program on every kind of model."""
    arrays: dict[str, np.ndarray] = {}
    for kind in compat_program.KINDS:
        official = Official(compat_program.folder(kind))
        arrays[f"{kind}.weights_sha256"] = np.array(compat_program.weights_hash(kind))
        for call, (wavs, rate) in compat_program.waves(official.wrapper, kind):
            arrays[f"{kind}.{call}.rate"] = np.array(rate)
            for i, wav in enumerate(wavs):
                arrays[f"{kind}.{call}.{i}"] = np.asarray(wav, np.float32)[:: compat_program.EVERY]
                arrays[f"{kind}.{call}.{i}.n"] = np.array(len(wav))
    return arrays


def main(out: Path = compat_program.SPEECH.parent) -> None:
    """Record into a folder."""
    torch.set_num_threads(1)
    path = out / "compat.npz"
    np.savez_compressed(path, **record())
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(*(Path(arg) for arg in sys.argv[1:]))
