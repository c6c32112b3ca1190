"""The official model in float32 with eager attention, and hooks that keep what passes through. Needs torch.

The folder goes through ``Qwen3TTSForConditionalGeneration.from_pretrained`` as a user's would. Texts are
tokenised with the plain Qwen2 expression: loaded from a local folder, the package's processor would swap it
for another one (``fix_mistral_regex``), which it does not do for the published models.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "stand_ins"))

import torch
from qwen_tts.core.models import Qwen3TTSConfig, Qwen3TTSForConditionalGeneration
from qwen_tts.inference.qwen3_tts_model import Qwen3TTSModel
from transformers import AutoConfig, AutoModel, Qwen2TokenizerFast
from transformers import logging as transformers_logging

from pyomni.verify.toy_speech import Prompt

transformers_logging.set_verbosity_error()
torch.set_num_threads(1)  # toy sizes: more threads only wait for each other, for minutes on a busy machine


class Official:
    """The official model of one folder.

    Parameters
    ----------
    folder : checkpoint folder in Hugging Face layout
    """

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        AutoConfig.register("qwen3_tts", Qwen3TTSConfig, exist_ok=True)
        AutoModel.register(Qwen3TTSConfig, Qwen3TTSForConditionalGeneration, exist_ok=True)
        self.model = Qwen3TTSForConditionalGeneration.from_pretrained(
            str(folder), attn_implementation="eager", dtype=torch.float32
        ).eval()
        self.talker = self.model.talker
        self.predictor = self.talker.code_predictor
        self.speech_tokenizer = self.model.speech_tokenizer
        self.decoder = self.speech_tokenizer.model.decoder.eval()
        self.decoder.pre_transformer.config._attn_implementation = (
            "eager"  # the argument above does not reach it
        )
        self.tokenizer = Qwen2TokenizerFast.from_pretrained(str(folder), fix_mistral_regex=False)
        self.wrapper = Qwen3TTSModel(self.model, processor=self._process)

    def _process(self, text: str, return_tensors: str, padding: bool) -> Any:
        return self.tokenizer(text, return_tensors=return_tensors, padding=padding)

    def arguments(self, prompt: Prompt) -> dict[str, Any]:
        """Return what `generate_custom_voice` hands to `generate`; instructions at every model size."""
        ids = self.wrapper._tokenize_texts([self.wrapper._build_assistant_text(prompt.text)])
        instruct = None
        if prompt.instruct:
            instruct = self.wrapper._tokenize_texts([self.wrapper._build_instruct_text(prompt.instruct)])[0]
        return {
            "input_ids": ids,
            "instruct_ids": [instruct],
            "languages": [prompt.language],
            "speakers": [prompt.speaker],
            "non_streaming_mode": not prompt.streaming,
        }

    def rows(self, prompt: Prompt) -> dict[str, np.ndarray]:
        """Return ids, and what the talker's `generate` is given: rows [n, H], trailing [m, H], pad [H]."""
        seen: dict[str, Any] = {}

        class Stop(Exception):
            pass

        def generate(**kwargs: Any) -> None:
            seen.update(kwargs)
            raise Stop

        arguments = self.arguments(prompt)
        original = self.talker.generate
        self.talker.generate = generate
        try:
            with contextlib.suppress(Stop):
                self.model.generate(**arguments)
        finally:
            self.talker.generate = original
        instruct = arguments["instruct_ids"][0]
        return {
            "ids": arguments["input_ids"][0][0].numpy(),
            "instruct_ids": np.zeros(0, np.int64) if instruct is None else instruct[0].numpy(),
            "rows": seen["inputs_embeds"][0].numpy(),
            "trailing": seen["trailing_text_hidden"][0].numpy(),
            "pad": seen["tts_pad_embed"][0, 0].numpy(),
        }

    def greedy(self, prompt: Prompt, n_frames: int) -> np.ndarray:
        """Return the codes of a greedy run, int64 [n, G]; the official loop drops the last id it samples."""
        codes, _ = self.model.generate(
            **self.arguments(prompt), max_new_tokens=n_frames + 1, do_sample=False, subtalker_dosample=False
        )
        return codes[0].numpy()

    def pcm(self, codes: np.ndarray) -> np.ndarray:
        """Return codes [n, G] as `Qwen3TTSTokenizer.decode` gives them to a user: float32 [n * hop]."""
        wavs, _ = self.speech_tokenizer.decode([{"audio_codes": torch.from_numpy(codes)}])
        return np.asarray(wavs[0], np.float32)

    def stages(self) -> dict[str, torch.nn.Module]:
        """Return the codec decoder's modules by tap name, in order."""
        d = self.decoder
        out = {"rvq": d.quantizer, "pre_conv": d.pre_conv, "transformer": d.pre_transformer}
        for i, (conv, convnext) in enumerate(d.upsample):
            out |= {f"up.{i}.conv": conv, f"up.{i}.out": convnext}
        out["conv_in"] = d.decoder[0]
        for i, block in enumerate(d.decoder[1:-2]):
            out |= {f"wave.{i}.snake": block.block[0], f"wave.{i}.conv": block.block[1]}
            out |= {f"wave.{i}.res.{j}": unit for j, unit in enumerate(block.block[2:])}
            out[f"wave.{i}.out"] = block
        out["pcm_raw"] = d.decoder[-1]
        return out

    def decode_tapped(self, codes: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Decode codes [n, G] in one pass; returns PCM float32 [n * hop] and every stage's output [C, T]."""
        taps: dict[str, np.ndarray] = {}

        def keep(name: str) -> Any:
            def hook(module: Any, args: Any, out: Any) -> None:
                value = out.last_hidden_state.transpose(1, 2) if name == "transformer" else out
                taps[name] = value[0].numpy().copy()

            return hook

        stages = self.stages()
        quantizer = stages.pop("rvq")  # called by method, not through forward
        handles = [module.register_forward_hook(keep(name)) for name, module in stages.items()]
        tokens = torch.from_numpy(codes.T.astype(np.int64))[None]  # [1, G, n]
        try:
            with torch.no_grad():
                taps["rvq"] = quantizer.decode(tokens)[0].numpy().copy()
                pcm = self.decoder(tokens)[0, 0].numpy()
        finally:
            for handle in handles:
                handle.remove()
        return pcm, taps

    @contextlib.contextmanager
    def watch(self) -> Iterator[list[dict[str, Any]]]:
        """Yield a list that grows by one entry for every call of the talker's and the predictor's stacks.

        Entries have ``part`` ("talker" or "predictor"), ``rows`` (the stack's inputs [n, width]; the
        predictor's after its projection), ``blocks`` (each layer's output), ``hidden`` [n, width] and
        ``logits`` [n, V].
        """
        log: list[dict[str, Any]] = []
        handles = []

        def start(part: str) -> Any:
            def hook(module: Any, args: Any, kwargs: Any) -> None:
                log.append({"part": part, "rows": kwargs["inputs_embeds"][0].numpy().copy(), "blocks": []})

            return hook

        def layer(module: Any, args: Any, out: Any) -> None:
            log[-1]["blocks"].append((out[0] if isinstance(out, tuple) else out)[0].numpy().copy())

        def norm(module: Any, args: Any, out: Any) -> None:
            log[-1]["hidden"] = out[0].numpy().copy()

        def head(module: Any, args: Any, out: Any) -> None:
            log[-1]["logits"] = out[0].numpy().copy()

        for part, owner, heads in (
            ("talker", self.talker, [self.talker.codec_head]),
            ("predictor", self.predictor, list(self.predictor.lm_head)),
        ):
            handles.append(owner.model.register_forward_pre_hook(start(part), with_kwargs=True))
            handles += [one.register_forward_hook(layer) for one in owner.model.layers]
            handles.append(owner.model.norm.register_forward_hook(norm))
            handles += [one.register_forward_hook(head) for one in heads]
        try:
            yield log
        finally:
            for handle in handles:
                handle.remove()
