"""Record where the official code puts media in the prompts of `places.py`.

    python tests/parity/record_places.py [OUT]

Needs torch and transformers 4.57. Writes ``places.json`` into OUT, by default the committed
``tests/parity/recorded``: for each case its expanded tokens (`replace_multimodal_special_tokens`), and the
positions [3][n] and the delta that the thinker and the talker make of it (`get_rope_index`).

"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from parity import places, recordings
from tiny_omni import omni_checkpoint
from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe as official
from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeConfig
from transformers.models.qwen3_omni_moe.processing_qwen3_omni_moe import Qwen3OmniMoeProcessor

NAMES = {token: f"<{name}>" for name, token in vars(places.TOKENS).items()}


def models() -> dict[str, Any]:
    """Return the official thinker and talker of the toy, without weights."""
    with tempfile.TemporaryDirectory() as folder:
        omni_checkpoint(Path(folder), seed=1)
        config = Qwen3OmniMoeConfig.from_pretrained(folder)
    with torch.device("meta"):
        thinker = official.Qwen3OmniMoeThinkerForConditionalGeneration(config.thinker_config)
        talker = official.Qwen3OmniMoeTalkerForConditionalGeneration(config.talker_config)
    for model in thinker, talker:
        for kind, token in vars(places.TOKENS).items():
            setattr(model.config, f"{kind}_token_id", token)
    assert config.thinker_config.position_id_per_seconds == places.LAYOUT.per_second
    return {"thinker": thinker, "talker": talker}


def expanded(name: str) -> list[int]:
    """Return a case's tokens as the official processor expands them; every token is a character here."""
    media, sounds = places.media(name), any(m.kind == "video" and m.n_audio for m in places.media(name))
    names = dict(zip(places.PIECES, ("audio", "image", "video"), strict=True))
    processor = SimpleNamespace(
        image_processor=SimpleNamespace(merge_size=2),
        video_processor=SimpleNamespace(merge_size=2),
        **{f"{kind}_token": NAMES[getattr(places.TOKENS, kind)] for kind in names.values()},
        vision_bos_token=NAMES[places.TOKENS.vision_start],
        vision_eos_token=NAMES[places.TOKENS.vision_end],
        audio_bos_token=NAMES[places.TOKENS.audio_start],
        audio_eos_token=NAMES[places.TOKENS.audio_end],
    )
    grids = {kind: [np.array(m.grid) for m in media if m.kind == kind] for kind in ("image", "video")}
    [text] = Qwen3OmniMoeProcessor.replace_multimodal_special_tokens(
        processor,
        ["".join(NAMES.get(token) or chr(token) for token in places.ids(name))],
        iter([m.n_audio for m in media if m.n_audio]),
        iter(grids["image"]),
        iter(grids["video"]),
        video_second_per_grid=iter([m.seconds_per_step for m in media if m.kind == "video"]),
        use_audio_in_video=sounds,
        position_id_per_seconds=13.0,
        seconds_per_chunk=2.0,
    )
    back = {text: token for token, text in NAMES.items()}
    out, rest = [], text
    while rest:
        found = next((text for text in back if rest.startswith(text)), rest[0])
        out.append(back.get(found) or ord(found))
        rest = rest[len(found) :]
    return out


def positions(model: Any, ids: list[int], name: str) -> dict[str, Any]:
    """Return the official positions of tokens with a case's media."""
    given, media = iter(places.CASES[name].media), places.media(name)
    grids: dict[str, list[Any]] = {"image": [], "video": []}
    steps, mel = [], []
    for medium in media:
        item = next(given)
        if medium.kind == "audio":
            mel.append(item)
        else:
            grids[medium.kind].append(medium.grid)
        if medium.kind == "video":
            steps.append(medium.seconds_per_step)
            mel += [item[2]] if item[2] else []
    xyz, delta = model.get_rope_index(
        torch.tensor([ids]),
        torch.tensor(grids["image"]) if grids["image"] else None,
        torch.tensor(grids["video"]) if grids["video"] else None,
        torch.ones(1, len(ids), dtype=torch.long),
        any(m.kind == "video" and m.n_audio for m in media),
        torch.tensor(mel) if mel else None,
        torch.tensor(steps) if steps else None,
    )
    return {"positions": xyz[:, 0].float().tolist(), "delta": float(delta[0, 0])}


def record() -> dict[str, dict[str, Any]]:
    """Return what the official code does with each case."""
    out, by_name = {}, models()
    for name in places.CASES:
        ids = expanded(name)
        shorter = places.talker_ids(name, ids)
        out[name] = {
            "ids": ids,
            "thinker": positions(by_name["thinker"], ids, name),
            "talker": positions(by_name["talker"], shorter, name),
        }
    return out


def main() -> None:
    """Write the recording."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else recordings.FOLDER
    path = folder / places.FILE.name
    path.write_text(
        json.dumps(record(), separators=(",", ":")).replace('},"', '},\n"') + "\n", encoding="utf-8"
    )
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
