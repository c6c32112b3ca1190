"""Record what the official model answers in the conversations of `chat_cases.py`, in words and codes.

    python tests/parity/record_chat.py [OUT]

Needs torch, torchvision and transformers 4.57. Writes ``chat.npz`` into OUT, by default the committed
``tests/parity/recorded``. Arrays, by case:

| array | shape | what |
|---|---|---|
| ``weights_sha256`` | [] | hash of the weights both sides make from the seed |
| ``{case}.ids`` | [n] | tokens of the prompt, placeholders expanded |
| ``{case}.tokens`` | [64] | of the answer, greedy |
| ``{case}.text`` | [n] | the same as UTF-8 bytes; a random answer is mostly broken characters |
| ``{case}.rows`` | [m, n_embd] | some rows the talker is given (`chat_cases.sampled`) |
| ``{case}.trailing`` | [3, n_embd] | the first text rows beside its frames |
| ``{case}.codes`` | [64, n_groups] | of the answer spoken, greedy |
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from parity import chat_cases, recordings
from PIL import Image
from transformers import logging as transformers_logging

transformers_logging.set_verbosity_error()
torch.set_num_threads(1)

Arrays = dict[str, np.ndarray]


class Official:
    """The official model of the toy in float32 with eager attention, always greedy."""

    def __init__(self) -> None:
        # torchvision's wheel fails on import beside a torch for the CPU, for the sake of this module
        sys.modules.setdefault("torchvision._meta_registrations", ModuleType("_meta_registrations"))
        from transformers import Qwen3OmniMoeForConditionalGeneration, Qwen3OmniMoeProcessor

        folder = str(chat_cases.folder())
        self.model = Qwen3OmniMoeForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.processor = Qwen3OmniMoeProcessor.from_pretrained(folder)
        self.rows: dict[str, Any] = {}
        self.heard = False
        predict, speak = self.model.talker.code_predictor.generate, self.model.talker.generate

        def greedy(*args: Any, **kwargs: Any) -> Any:
            # the model's own code asks for sampling in so many words
            for name in ("top_k", "top_p", "temperature"):
                kwargs.pop(name, None)
            return predict(*args, **{**kwargs, "do_sample": False})

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.rows = kwargs
            # the official code tells the thinker alone, so that its talker would count other places
            return speak(*args, use_audio_in_video=self.heard, **kwargs)

        self.model.talker.code_predictor.generate = greedy
        self.model.talker.generate = watched

    def inputs(self, name: str) -> Any:
        """Return what the processor makes of a case."""
        given: dict[str, list[Any]] = {"A": [], "I": [], "V": []}
        video_kwargs: dict[str, Any] = {"do_resize": False}
        turns = []
        for role, parts in chat_cases.CASES[name].messages:
            content = []
            for part in parts:
                found = chat_cases.medium(part)
                if found is None:
                    content.append({"type": "text", "text": part})
                    continue
                letter, number = found
                if letter == "A":
                    given["A"].append(chat_cases.clip(number))
                elif letter == "I":
                    given["I"].append(Image.fromarray(chat_cases.picture(number)))
                else:
                    if letter == "H":
                        given["A"].append(chat_cases.clip(1))
                        video_kwargs["use_audio_in_video"] = True
                    frames, fps = chat_cases.film(number)
                    given["V"].append(torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()))
                    video_kwargs["fps"] = fps
                kind = {"A": "audio", "I": "image"}.get(letter, "video")
                content.append({"type": kind, kind: "given"})
            turns.append({"role": role, "content": content})
        prompt = self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return self.processor(
            text=prompt,
            images=given["I"] or None,
            audio=given["A"] or None,
            videos=given["V"] or None,
            videos_kwargs=video_kwargs if given["V"] else {},
            return_tensors="pt",
        )

    def answer(self, name: str) -> Arrays:
        """Return the arrays of a case."""
        inputs = self.inputs(name)
        n = inputs["input_ids"].shape[1]
        self.heard = chat_cases.heard(name)
        with torch.no_grad():
            result, _ = self.model.generate(
                **inputs,
                use_audio_in_video=self.heard,
                speaker=chat_cases.speaker(name),
                thinker_max_new_tokens=chat_cases.N_TOKENS + 1,  # the last one is written, but not spoken
                talker_do_sample=False,
                talker_max_new_tokens=chat_cases.N_FRAMES + 1,  # M ids make M - 1 frames
            )
        tokens = result.sequences[0, n : n + chat_cases.N_TOKENS]
        return {
            "ids": inputs["input_ids"][0].numpy().astype(np.int32),
            "tokens": tokens.numpy().astype(np.int32),
            "text": np.frombuffer(self.processor.decode(tokens, skip_special_tokens=True).encode(), np.uint8),
            "rows": chat_cases.sampled(self.rows["inputs_embeds"][0].numpy()),
            "trailing": self.rows["trailing_text_hidden"][0, :3].numpy(),
            "codes": self.codes,
        }

    @property
    def codes(self) -> np.ndarray:
        """The codes of the last answer, int32 [n_frames, n_groups]."""
        return self._codes

    def watch_codes(self) -> None:
        """Keep the codes that are decoded."""
        decode = self.model.code2wav.chunked_decode

        def kept(codes: torch.Tensor, **kwargs: Any) -> Any:
            self._codes = codes[0].T.numpy().astype(np.int32)
            return decode(codes, **kwargs)

        self.model.code2wav.chunked_decode = kept


def official() -> Official:
    """Return the official model, its codes watched."""
    model = Official()
    model.watch_codes()
    return model


def record() -> Arrays:
    """Return all arrays."""
    out: Arrays = {"weights_sha256": np.array(chat_cases.weights_hash())}
    model = official()
    for name in chat_cases.CASES:
        out |= {f"{name}.{key}": value for key, value in model.answer(name).items()}
        print(
            name, {key: out[f"{name}.{key}"].shape for key in ("ids", "tokens", "rows", "codes")}, flush=True
        )
    return out


def main() -> None:
    """Write the recording."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else recordings.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "chat.npz", **record())
    print((folder / "chat.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
