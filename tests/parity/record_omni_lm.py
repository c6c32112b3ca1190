"""Record what the official thinker, talker and code predictor do with the toys of `toy_omni`.

    python tests/parity/record_omni_lm.py [OUT]

Needs torch and transformers 4.57. Writes ``omni_lm_*.npz`` into OUT, by default the committed
``tests/parity/recorded``. Arrays, for n rows of a prompt:

| array | shape | what |
|---|---|---|
| ``weights_sha256`` | [] | hash of the weights both sides make from the seed |
| ``thinker.{text,film}.accepted`` | [n, n_embd] | rows behind ``accept_hidden_layer`` layers |
| ``thinker.{text,film}.hidden`` | [n, n_embd] | normed rows |
| ``thinker.{text,film}.logits`` | [10, n_vocab] | of some rows |
| ``talker.text_rows``, ``talker.hidden_rows`` | [n, n_embd] | the two projections of the thinker's rows |
| ``talker.{text,film}.hidden``, ``.logits`` | [n, n_embd], [10, n_vocab] | given ``talker.text_rows`` |
| ``predictor.logits`` | [n_groups - 1, n_vocab] | given a frame and the last of ``talker.text.hidden`` |
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from parity import recordings
from safetensors.torch import load_file
from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeConfig
from transformers.models.qwen3_omni_moe.modeling_qwen3_omni_moe import (
    Qwen3OmniMoeTalkerForConditionalGeneration,
    Qwen3OmniMoeThinkerTextModel,
)

from pyomni.verify import toy_omni as omni_lm
from pyomni.verify.toy_omni import LOGIT_ROWS

Arrays = dict[str, np.ndarray]


def _loaded(model: torch.nn.Module, name: str, prefix: str) -> Any:
    weights = load_file(omni_lm.folder(name) / "model.safetensors")
    own = {key.removeprefix(prefix): w.float() for key, w in weights.items() if key.startswith(prefix)}
    model.float().eval().load_state_dict(own, strict=True)
    return model


def thinker(name: str) -> tuple[Any, torch.Tensor]:
    """Return the official text model of a case in float32, and its output head [n_vocab, n_embd]."""
    config = Qwen3OmniMoeConfig.from_pretrained(omni_lm.folder(name)).thinker_config.text_config
    config._attn_implementation = "eager"
    head = load_file(omni_lm.folder(name) / "model.safetensors")["thinker.lm_head.weight"].float()
    return _loaded(Qwen3OmniMoeThinkerTextModel(config), name, "thinker.model."), head


def talker(name: str) -> Any:
    """Return the official talker of a case with its code predictor, in float32."""
    config = Qwen3OmniMoeConfig.from_pretrained(omni_lm.folder(name)).talker_config
    for part in (config, config.text_config, config.code_predictor_config):
        part._attn_implementation = "eager"
    return _loaded(Qwen3OmniMoeTalkerForConditionalGeneration(config), name, "talker.")


def record_thinker(name: str) -> Arrays:
    """Return a case's arrays of the thinker."""
    (model, head), out = thinker(name), {}
    accept = omni_lm.config_of(name).sub("talker_config").whole("accept_hidden_layer")
    embeds = model.embed_tokens(torch.from_numpy(omni_lm.ids(name)))[None]
    seen = torch.zeros(1, omni_lm.N_ROWS, 1, dtype=torch.bool)
    seen[:, omni_lm.SEEN] = True
    film = {
        "position_ids": torch.from_numpy(omni_lm.positions().T[:, None]),
        "visual_pos_masks": seen.expand(-1, -1, embeds.shape[2]),
        "deepstack_visual_embeds": list(torch.from_numpy(omni_lm.added(name))),
    }
    prompts: dict[str, dict[str, Any]] = {"text": {}, "film": film}
    for prompt, given in prompts.items():
        result = model(inputs_embeds=embeds, output_hidden_states=True, **given)
        out[f"thinker.{prompt}.accepted"] = result.hidden_states[accept][0].numpy()
        out[f"thinker.{prompt}.hidden"] = result.last_hidden_state[0].numpy()
        out[f"thinker.{prompt}.logits"] = (result.last_hidden_state[0, LOGIT_ROWS] @ head.T).numpy()
    return out


def record_talker(name: str) -> Arrays:
    """Return a case's arrays of the talker and the code predictor."""
    model, out = talker(name), {}
    given = torch.from_numpy(omni_lm.thinker_rows(name))
    rows = model.text_projection(given)
    out["talker.text_rows"], out["talker.hidden_rows"] = rows.numpy(), model.hidden_projection(given).numpy()
    places: dict[str, dict[str, Any]] = {
        "text": {},
        "film": {"position_ids": torch.from_numpy(omni_lm.positions().T[:, None])},
    }
    for prompt, where in places.items():
        hidden = model.model(inputs_embeds=rows[None], **where).last_hidden_state[0]
        out[f"talker.{prompt}.hidden"] = hidden.numpy()
        out[f"talker.{prompt}.logits"] = model.codec_head(hidden[LOGIT_ROWS]).numpy()
    predictor, codes = model.code_predictor, torch.from_numpy(omni_lm.frame(name))
    embeds = [torch.from_numpy(out["talker.text.hidden"][-1:]), model.model.codec_embedding(codes[:1])]
    embeds += [table(codes[g + 1 : g + 2]) for g, table in enumerate(predictor.model.codec_embedding[:-1])]
    hidden = predictor.model(inputs_embeds=torch.cat(embeds)[None]).last_hidden_state[0]
    out["predictor.logits"] = torch.stack(
        [head(hidden[g + 1]) for g, head in enumerate(predictor.lm_head)]
    ).numpy()
    return out


@torch.no_grad()
def record(name: str) -> Arrays:
    """Return the arrays of a case."""
    torch.set_num_threads(1)
    hashed = {"weights_sha256": np.array(omni_lm.weights_hash(name))}
    return hashed | record_thinker(name) | record_talker(name)


def main() -> None:
    """Write the recordings."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for name in omni_lm.CASES:
        recordings.store(name, record(name), folder)


if __name__ == "__main__":
    main()
