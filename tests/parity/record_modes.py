"""Record what the official wrapper makes of every prompt of `mode_cases.py`.

    python tests/parity/record_modes.py [OUT]

Needs torch, transformers and qwen-tts. Writes ``modes_<case>.npz`` and ``modes.json`` into OUT, by default
the committed ``tests/parity/recorded``. Arrays, with H the talker's width and G its code groups:

| array | shape | what |
|---|---|---|
| ``{p}.rows``, ``{p}.trailing`` | [n, H], [m, H] | what the talker's `generate` is given for prompt p |
| ``pad`` | [H] | the text row of every frame after those |
| ``{p}.greedy`` | [N_FRAMES, G] | codes of a greedy run |
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from parity import mode_cases
from parity.official import Official
from parity.record import margins
from parity.recordings import FOLDER as RECORDED
from qwen_tts.inference.qwen3_tts_model import VoiceClonePromptItem


class _Stop(Exception):
    pass


@contextlib.contextmanager
def _caught(owner: Any, seen: dict[str, Any]) -> Any:
    """Keep the keyword arguments of ``owner.generate`` and stop there."""

    def generate(**kwargs: Any) -> None:
        seen.update(kwargs)
        raise _Stop

    original = owner.generate
    owner.generate = generate
    try:
        with contextlib.suppress(_Stop):
            yield
    finally:
        owner.generate = original


def arguments(official: Official, name: str, prompt: mode_cases.ModePrompt) -> dict[str, Any]:
    """Return what the wrapper's own method for this kind of model hands to `generate`."""
    wrapper, kind = official.wrapper, mode_cases.CASES[name].kind
    common = {
        "text": prompt.text, "language": prompt.language, "non_streaming_mode": not prompt.streaming,
        "max_new_tokens": mode_cases.N_FRAMES + 1, "do_sample": False, "subtalker_dosample": False,
    }  # fmt: skip
    seen: dict[str, Any] = {}
    with _caught(official.model, seen):
        if kind == "custom_voice":
            wrapper.generate_custom_voice(speaker=prompt.speaker, instruct=prompt.instruct or None, **common)
        elif kind == "voice_design":
            wrapper.generate_voice_design(instruct=prompt.instruct, **common)
        else:
            in_context = prompt.n_reference > 0
            codes = mode_cases.reference_codes(name, prompt.n_reference).astype(np.int64)
            item = VoiceClonePromptItem(
                ref_code=torch.from_numpy(codes) if in_context else None,
                ref_spk_embedding=torch.from_numpy(mode_cases.speaker_vector(name)),
                x_vector_only_mode=not in_context,
                icl_mode=in_context,
                ref_text=prompt.transcript if in_context else None,
            )
            wrapper.generate_voice_clone(voice_clone_prompt=[item], **common)
    return seen


def record(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Record one case: its arrays, and what ``modes.json`` says of it."""
    official = Official(mode_cases.folder(name))
    arrays: dict[str, np.ndarray] = {}
    smallest: dict[str, float] = {}
    for p, prompt in enumerate(mode_cases.CASES[name].prompts):
        given = arguments(official, name, prompt)
        seen: dict[str, Any] = {}
        with _caught(official.talker, seen):
            official.model.generate(**given)
        arrays[f"{p}.rows"] = seen["inputs_embeds"][0].numpy()
        arrays[f"{p}.trailing"] = seen["trailing_text_hidden"][0].numpy()
        arrays["pad"] = seen["tts_pad_embed"][0, 0].numpy()
        if not prompt.greedy:
            continue
        with official.watch() as log:
            codes = official.model.generate(**given)[0][0].numpy()
        if len(codes) != mode_cases.N_FRAMES:
            raise AssertionError(f"{name}: a run of {len(codes)} frames, expected {mode_cases.N_FRAMES}")
        arrays[f"{p}.greedy"] = codes.astype(np.int16)
        for part, gap in margins(log, codes, official.talker.config).items():
            smallest[part] = min(gap, smallest.get(part, gap))
    about = {
        "weights_sha256": mode_cases.weights_hash(name),
        "smallest_margin": {part: float(f"{gap:.3g}") for part, gap in smallest.items()},
    }
    return arrays, about


def main(out: Path = RECORDED) -> None:
    """Record every case into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    abouts = {}
    for name in mode_cases.CASES:
        arrays, abouts[name] = record(name)
        path = out / f"modes_{name}.npz"
        np.savez_compressed(path, **arrays)
        print(f"{path}: {path.stat().st_size} bytes, {abouts[name]}", flush=True)
    (out / "modes.json").write_text(json.dumps(abouts, indent=1) + "\n")


if __name__ == "__main__":
    main(*(Path(arg) for arg in sys.argv[1:]))
