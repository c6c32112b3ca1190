"""The language model while it is trained.

official classes at small sizes, and the streaming prompt as rows.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from codec_model import SLOTS  # also puts the stand-ins on the path
from sizes import CODEC, PHONES
from tokenizer import ROLE, SPECIAL, load_tokenizer
from tokenizers import Tokenizer
from torch import Tensor, nn

from qwen_tts.core.models import Qwen3TTSConfig, Qwen3TTSForConditionalGeneration  # isort: skip

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD, INNER = 6, 256, 4, 2, 64, 768
PREDICTOR_LAYERS, PREDICTOR_INNER = 2, 512
AHEAD = 2  # frames whose phones the helper head names: this one and the next
GROUPS, BOOK = CODEC["num_quantizers"], CODEC["codebook_size"]


def config(work: Path, speakers: tuple[str, ...] = ("rms",)) -> dict[str, Any]:
    """config.json of the voice, in the layout of the released checkpoints."""
    vocab = json.loads((work / "tokenizer" / "vocab.json").read_text())
    n = len(vocab)
    third = (
        HEAD // 6
    )  # three axes of rotary channels; equal positions make the split immaterial, but it must fit
    return {
        "model_type": "qwen3_tts",
        "architectures": ["Qwen3TTSForConditionalGeneration"],
        "tokenizer_type": "qwen3_tts_tokenizer_12hz",
        "tts_model_size": "0b6",
        "tts_model_type": "custom_voice",
        "im_start_token_id": n + SPECIAL.index("<|im_start|>"),
        "im_end_token_id": n + SPECIAL.index("<|im_end|>"),
        "assistant_token_id": vocab[ROLE],
        "tts_pad_token_id": n + SPECIAL.index("<tts_pad>"),
        "tts_bos_token_id": n + SPECIAL.index("<tts_text_bos>"),
        "tts_eos_token_id": n + SPECIAL.index("<tts_text_eod>"),
        "talker_config": {
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "head_dim": HEAD,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000,
            "rope_scaling": {
                "interleaved": True,
                "mrope_section": [HEAD // 2 - 2 * third, third, third],
                "rope_type": "default",
                "type": "default",
            },
            "max_position_embeddings": 4096,
            # generate() bans the last 1024 ids but the end, so real codes must lie below them
            "vocab_size": BOOK + 1024,
            "text_vocab_size": n + 8,
            "text_hidden_size": WIDTH,
            "num_code_groups": GROUPS,
            "attention_bias": False,
            "use_sliding_window": False,
            "sliding_window": None,
            "codec_pad_id": BOOK,
            "codec_bos_id": BOOK + 1,
            "codec_eos_token_id": BOOK + 2,
            "codec_think_id": BOOK + 3,
            "codec_nothink_id": BOOK + 4,
            "codec_think_bos_id": BOOK + 5,
            "codec_think_eos_id": BOOK + 6,
            "codec_language_id": {"english": BOOK + 8},
            "spk_id": {name: BOOK + 9 + index for index, name in enumerate(speakers)},
            "spk_is_dialect": dict.fromkeys(speakers, False),
            "code_predictor_config": {
                "hidden_size": WIDTH,
                "intermediate_size": PREDICTOR_INNER,
                "num_hidden_layers": PREDICTOR_LAYERS,
                "num_attention_heads": HEADS,
                "num_key_value_heads": KV_HEADS,
                "head_dim": HEAD,
                "vocab_size": BOOK,
                "num_code_groups": GROUPS,
                "rms_norm_eps": 1e-6,
                "rope_theta": 10000,
                "rope_scaling": None,
                "hidden_act": "silu",
                "max_position_embeddings": 4096,
                "use_sliding_window": False,
                "sliding_window": None,
                "attention_bias": False,
            },
        },
    }


@dataclass
class Clips:
    """Texts with their codes (frames, GROUPS) and phone slots (frames * SLOTS,)."""

    texts: list[str]
    codes: list[np.ndarray]
    phones: list[np.ndarray]

    @classmethod
    def load(cls, work: Path, voice: str, name: str, texts: list[str]) -> "Clips":
        stored = np.load(work / f"{voice}-{name}.npz")
        ends = np.cumsum(stored["frames"])[:-1]
        codes = np.split(stored["codes"].astype(np.int64), ends)
        phones = np.split(stored["phones"].astype(np.int64), ends * SLOTS)
        return cls(texts[: len(codes)], codes, phones)

    def __add__(self, other: "Clips") -> "Clips":
        return Clips(self.texts + other.texts, self.codes + other.codes, self.phones + other.phones)


class Voice(nn.Module):
    """The official model, and the helper head that is thrown away."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        self.config = config(work)
        self.tokenizer: Tokenizer = load_tokenizer(work)
        self.official = Qwen3TTSForConditionalGeneration._from_config(
            Qwen3TTSConfig(**self.config), attn_implementation="eager"
        )  # eager: at these lengths twice as fast on a CPU as the fused kernel's backward pass
        self.to_phones = nn.Linear(WIDTH, AHEAD * SLOTS * len(PHONES))
        talker = self.official.talker
        for name, parameter in talker.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                parameter.data.mul_((2 * LAYERS) ** -0.5)

    def compile(self) -> None:
        """Fuse what lies between the products of every layer: a third less time a step."""
        for model in (self.official.talker.model, self.official.talker.code_predictor.model):
            for layer in model.layers:
                layer.forward = torch.compile(layer.forward, dynamic=True)

    def rows(self, text: str, language: bool) -> tuple[list[int], list[int], list[int]]:
        """Streaming layout: text ids and codec ids (-1: none) of the prompt, text ids that trail."""
        c, t = self.config, self.config["talker_config"]
        newline = self.tokenizer.encode("\n").ids
        ids = self.tokenizer.encode(text).ids
        think = [
            t["codec_think_id"],
            t["codec_think_bos_id"],
            t["codec_language_id"]["english"],
            t["codec_think_eos_id"],
        ]
        no_think = [t["codec_nothink_id"], t["codec_think_bos_id"], t["codec_think_eos_id"]]
        codec = [*(think if language else no_think), *t["spk_id"].values(), t["codec_pad_id"]]
        role = [c["im_start_token_id"], c["assistant_token_id"], *newline]
        pads = [c["tts_pad_token_id"]] * (len(codec) - 1)
        return (
            [*role, *pads, c["tts_bos_token_id"], ids[0]],
            [-1, -1, -1, *codec, t["codec_bos_id"]],
            [*ids[1:], c["tts_eos_token_id"]],
        )

    def losses(
        self,
        clips: Clips,
        chosen: list[int],
        languages: list[bool],
        texts: list[str] | None = None,
        *,
        hide: float = 0.0,
        swap: float = 0.0,
        predicted: float = 1.0,
    ) -> dict[str, Tensor]:
        """Cross-entropies in nats: of group 0 and the end, of the other groups, and of the phones.

        `hide` of the past frames lose their embedding and `swap` of them take another frame's codes, so
        that the text has to be used; `predicted` of the frames go through the code predictor.
        """
        talker, pad = self.official.talker, self.config["tts_pad_token_id"]
        prompts = [
            self.rows(clips.texts[i] if texts is None else texts[k], languages[k])
            for k, i in enumerate(chosen)
        ]
        lengths = [len(text) for text, _, _ in prompts]
        total = max(n + len(clips.codes[i]) for n, i in zip(lengths, chosen, strict=True))
        shape = (len(chosen), total)
        text_ids, codec_ids = torch.full(shape, pad), torch.full(shape, -1)
        is_frame, frames = (
            torch.zeros(shape, dtype=torch.bool),
            torch.zeros((*shape, GROUPS), dtype=torch.long),
        )
        first = torch.full(shape, -100)
        rest, phones = torch.full((*shape, GROUPS), -1), torch.full((*shape, AHEAD * SLOTS), -100)
        for b, (i, (text, codec, trailing)) in enumerate(zip(chosen, prompts, strict=True)):
            n, codes = len(text), torch.from_numpy(clips.codes[i])
            count = len(codes)
            text_ids[b, :n], codec_ids[b, :n] = torch.tensor(text), torch.tensor(codec)
            shown = trailing[: total - n]
            text_ids[b, n : n + len(shown)] = torch.tensor(shown)
            is_frame[b, n : n + count], frames[b, n : n + count] = True, codes
            first[b, n - 1 : n - 1 + count] = codes[:, 0]
            first[b, n - 1 + count] = self.config["talker_config"]["codec_eos_token_id"]
            rest[b, n - 1 : n - 1 + count] = codes
            slots = np.concatenate([clips.phones[i], np.zeros(AHEAD * SLOTS, np.int64)])
            ahead = np.lib.stride_tricks.sliding_window_view(slots, AHEAD * SLOTS)[: count * SLOTS : SLOTS]
            phones[b, n - 1 : n - 1 + count] = torch.from_numpy(ahead.copy())
        device = self.to_phones.weight.device
        text_ids, codec_ids, is_frame, frames, first, rest, phones = (
            value.to(device) for value in (text_ids, codec_ids, is_frame, frames, first, rest, phones)
        )
        if swap > 0:
            where = is_frame & (torch.rand(shape, device=device) < swap)
            frames[where] = frames[is_frame][
                torch.randint(int(is_frame.sum()), (int(where.sum()),), device=device)
            ]
        if hide > 0:
            is_frame = is_frame & (torch.rand(shape, device=device) >= hide)
        first_table, tables = talker.model.codec_embedding, talker.code_predictor.model.codec_embedding
        summed = first_table(frames[..., 0]) + sum(tables[g - 1](frames[..., g]) for g in range(1, GROUPS))
        rows = talker.text_projection(talker.model.text_embedding(text_ids))
        rows = (
            rows
            + first_table(codec_ids.clamp(min=0)) * (codec_ids >= 0)[..., None]
            + summed * is_frame[..., None]
        )
        positions = torch.arange(total, device=device)[None, None].expand(3, len(chosen), total)
        hidden = talker.model(inputs_embeds=rows, position_ids=positions, use_cache=False).last_hidden_state
        at = first != -100
        scores = talker.codec_head(hidden[at])
        out = {"first": F.cross_entropy(scores, first[at])}
        out["right"] = (scores.argmax(-1) == first[at]).float().mean()
        spoken = rest[..., 0] >= 0
        named = self.to_phones(hidden[spoken]).view(-1, len(PHONES))
        out["phones"] = F.cross_entropy(named, phones[spoken].view(-1))
        frame_hidden, codes = hidden[spoken], rest[spoken]
        if predicted < 1:
            some = torch.rand(len(codes), device=device) < predicted
            frame_hidden, codes = frame_hidden[some], codes[some]
        out["rest"] = self._predictor_loss(frame_hidden, codes)
        return out

    def _predictor_loss(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Mean cross-entropy of groups 1 and up; position 0 takes the hidden state that named group 0."""
        talker = self.official.talker
        predictor, tables = talker.code_predictor, talker.code_predictor.model.codec_embedding
        rows = [hidden, talker.model.codec_embedding(codes[:, 0])]
        rows += [tables[g - 1](codes[:, g]) for g in range(1, GROUPS - 1)]
        rows = predictor.small_to_mtp_projection(torch.stack(rows, 1))
        out = predictor.model(inputs_embeds=rows, use_cache=False).last_hidden_state
        losses = [F.cross_entropy(predictor.lm_head[g - 1](out[:, g]), codes[:, g]) for g in range(1, GROUPS)]
        return torch.stack(losses).mean()
