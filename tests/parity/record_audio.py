"""Record what the official audio encoder and its feature extractor do with the toys of `audio.py`.

    python tests/parity/record_audio.py [OUT]

Needs torch and transformers. Writes ``audio_*.npz`` into OUT, by default the committed
``tests/parity/recorded``. Arrays, with T frames, M bands, N rows, H output width:

| array | shape | what |
|---|---|---|
| ``weights_sha256`` | [] | hash of the weights both sides make from the seed |
| ``mel.{n}`` | [T, M] | of the clip of n samples, as the processor calls the feature extractor |
| ``mel.speech`` | [T, M] | of the recorded sentence, every fourth frame |
| ``features.{n}`` | [N, H] | of n random rows |
| ``features.speech`` | [N, H] | of the recorded sentence |
| ``tap.{stage}`` | [N, C] | each stage's output on the tapped rows |

The encoder's attention windows are applied by hand: 4.57 hands them to flash attention alone, and without it
every row sees the whole clip. The mask is the one the class makes and does not use.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from parity import recordings
from transformers import WhisperFeatureExtractor
from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe as official
from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeConfig

from pyomni.convert.safetensors_file import Checkpoint
from pyomni.verify import toy_audio as audio

Arrays = dict[str, np.ndarray]
PREFIX = "thinker.audio_tower."
STRIDE = 4  # of the frames recorded of a long spectrogram


def load_encoder(name: str) -> Any:
    """Load the official encoder of a case, its windows in force."""
    config = Qwen3OmniMoeConfig.from_pretrained(audio.folder(name)).thinker_config.audio_config
    config._attn_implementation = "eager"
    encoder = official.Qwen3OmniMoeAudioEncoder(config).float().eval()
    stored = Checkpoint(audio.folder(name))
    weights = {
        key.removeprefix(PREFIX): torch.from_numpy(tensor.f32().reshape(tensor.shape).copy())
        for key, tensor in stored.items()
        if key.startswith(PREFIX)
    }
    encoder.load_state_dict(weights, strict=True)

    def windowed(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kwargs["attention_mask"] = encoder._prepare_attention_mask(args[0], args[1])
        return args, kwargs

    for layer in encoder.layers:
        layer.register_forward_pre_hook(windowed, with_kwargs=True)
    return encoder


def features(encoder: Any, rows: np.ndarray) -> np.ndarray:
    """Return the rows [N, H] of a spectrogram [T, M]."""
    with torch.no_grad():
        out = encoder(torch.from_numpy(rows.T.copy()), feature_lens=torch.tensor([len(rows)]))
    return out.last_hidden_state.numpy()


def mel(name: str, clip: np.ndarray) -> np.ndarray:
    """Return the spectrogram [T, M] of a clip, with the arguments `Qwen3OmniMoeProcessor` gives."""
    extractor = WhisperFeatureExtractor.from_pretrained(audio.folder(name))
    out = extractor(
        [clip],
        sampling_rate=16000,
        padding=True,
        truncation=False,
        return_attention_mask=True,
        return_tensors="np",
    )
    valid = out["attention_mask"][0].astype(bool)
    return out["input_features"][0][:, valid].T


def tapped(encoder: Any, rows: np.ndarray) -> Arrays:
    """Return each stage's output [N, C] on a spectrogram."""
    taps: Arrays = {}

    def keep_in(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        taps["tap.stem"] = args[0].numpy().copy()

    def keep_out(name: str) -> Any:
        def hook(module: Any, args: Any, out: Any) -> None:
            taps[f"tap.{name}"] = (out[0] if isinstance(out, tuple) else out).numpy().copy()

        return hook

    handles = [encoder.layers[0].register_forward_pre_hook(keep_in, with_kwargs=True)]
    handles += [
        layer.register_forward_hook(keep_out(f"blk.{i}.out")) for i, layer in enumerate(encoder.layers)
    ]
    handles.append(encoder.ln_post.register_forward_hook(keep_out("norm")))
    features(encoder, rows)
    for handle in handles:
        handle.remove()
    return taps


def record(name: str) -> Arrays:
    """Return the arrays of a case."""
    torch.set_num_threads(1)
    case, encoder = audio.CASES[name], load_encoder(name)
    out: Arrays = {"weights_sha256": np.array(audio.weights_hash(name))}
    for n in case.frames:
        out[f"features.{n}"] = features(encoder, audio.rows(name, n))
    out |= {f"mel.{n}": mel(name, audio.clip(n)) for n in audio.MEL_CLIPS}
    if name == audio.HEARD:
        heard = mel(name, recordings.speech(16000))
        out["mel.speech"] = heard[::STRIDE]
        out["features.speech"] = features(encoder, heard)
    return out | tapped(encoder, audio.rows(name, case.tapped))


def main() -> None:
    """Write the recordings."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for name in audio.CASES:
        recordings.store(name, record(name), folder)


if __name__ == "__main__":
    main()
