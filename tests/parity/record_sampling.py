"""Record what Hugging Face ``generate()`` does to scores before it draws.

    python tests/parity/record_sampling.py

The processors and their order come from ``GenerationMixin`` itself, given the arguments the official
``Qwen3TTSForConditionalGeneration.generate`` hands over. Needs ``torch`` and ``transformers``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

OUT = Path(__file__).parent / "recorded" / "sampling.npz"
N_VOCAB = 64
END_ID = 50
SUPPRESS = (40, 64)  # as the talker's: a range at the top with the end id inside


def cases() -> list[dict]:
    """Return the inputs: float32 scores [N_VOCAB] of every kind, and the settings."""
    rng = np.random.Generator(np.random.PCG64(20))
    out = []
    for i in range(56):
        scores = rng.standard_normal(N_VOCAB).astype(np.float32) * np.float32(3)
        if i % 4 == 1:  # many ties: a coarse grid
            scores = np.round(scores)
        if i % 8 == 3:  # the end id leads
            scores[END_ID] = 9
        out.append(
            {
                "scores": scores.astype(np.float32),
                "seen": np.unique(rng.integers(0, 40, rng.integers(1, 12)))
                if i % 4 != 3
                else np.zeros(0, np.int64),
                "penalty": [1.0, 1.05, 1.3, 2.0][i % 4],
                "temperature": [1.0, 0.9, 0.5, 1.7, 0.2][i % 5],
                "top_k": [0, 50, 5, 1, 20, 63, 64, 400][i % 8],
                "top_p": [1.0, 0.9, 0.5, 0.05, 0.999, 1.0, 0.3][i % 7],
            }
        )
    # ties at both edges, with sums exact in float32: eight equal scores, everything else out of reach
    for top_k, top_p in ((3, 1.0), (0, 0.5), (5, 0.5), (0, 0.25), (0, 0.75), (8, 1e-6)):
        scores = np.full(N_VOCAB, -80, np.float32)
        scores[[2, 3, 5, 7, 11, 13, 17, 19]] = 1.0
        out.append(
            {"scores": scores, "seen": np.zeros(0, np.int64), "penalty": 1.0, "temperature": 1.0,
             "top_k": top_k, "top_p": top_p}
        )  # fmt: skip
    return out


def probabilities(case: dict) -> np.ndarray:
    """Return the float32 [N_VOCAB] probabilities Hugging Face would draw from."""
    import torch
    from transformers import GenerationConfig, PretrainedConfig
    from transformers.generation.utils import GenerationMixin

    class Bare(GenerationMixin):
        config = PretrainedConfig()

    config = GenerationConfig(
        do_sample=True,
        temperature=case["temperature"],
        top_k=case["top_k"],
        top_p=case["top_p"],
        repetition_penalty=case["penalty"],
        min_new_tokens=2,
        eos_token_id=END_ID,
        suppress_tokens=[i for i in range(*SUPPRESS) if i != END_ID],
    )
    config._eos_token_tensor = torch.tensor([END_ID])
    processors = Bare()._get_logits_processor(config, input_ids_seq_length=0, device="cpu")
    # the talker's prompt is embeddings, so the ids so far are those generated; the last one is repeated
    seen = case["seen"].tolist()
    ids = torch.tensor([seen + seen[-1:]], dtype=torch.long).reshape(1, -1)
    case["n_new"] = ids.shape[1]
    scores = processors(ids, torch.from_numpy(case["scores"].copy())[None])
    return torch.softmax(scores, dim=-1, dtype=torch.float32)[0].numpy()


def main() -> None:
    """Write ``recorded/sampling.npz``."""
    rows = cases()
    probs = np.stack([probabilities(case) for case in rows])  # [n, N_VOCAB]
    seen = np.zeros((len(rows), N_VOCAB), bool)
    for mask, case in zip(seen, rows, strict=True):
        mask[case["seen"]] = True
    settings = {
        k: np.array([c[k] for c in rows]) for k in ("n_new", "penalty", "temperature", "top_k", "top_p")
    }
    np.savez_compressed(
        OUT, scores=np.stack([c["scores"] for c in rows]), seen=seen, probs=probs, end_id=END_ID,
        suppress=np.array(SUPPRESS), **settings,
    )  # fmt: skip
    print(f"{OUT}: {len(rows)} cases")


if __name__ == "__main__":
    main()
