"""Qwen3-Omni's thinker: sizes, GGUF keys and tensors."""

from __future__ import annotations

from dataclasses import dataclass

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, copy
from pyomni.convert.tensors_moe import MoeStack
from pyomni.convert.writer import Value

__all__ = ["Thinker"]


@dataclass(frozen=True)
class Thinker:
    """Sizes of the language model over text, sound and sight."""

    stack: MoeStack
    n_ctx_max: int
    n_vocab: int
    n_deepstack: int  # layers that vision rows are added behind
    accept_layer: int  # layers whose output the talker listens to; 0: there is no talker

    @classmethod
    def read(cls, config: Config) -> Thinker:
        """Sizes from a whole `config.json`.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        thinker = config.sub("thinker_config")
        text = thinker.sub("text_config")
        stack = MoeStack.read(text)
        n_deepstack = 0
        if "vision_config" in thinker:
            vision = thinker.sub("vision_config")
            levels = vision.values.get("deepstack_visual_indexes")
            if not isinstance(levels, list) or len(levels) > stack.n_layer:
                raise vision.fail("deepstack_visual_indexes", f"a list of at most {stack.n_layer}")
            n_deepstack = len(levels)
        accept = 0
        if config.flag("enable_audio_output", True):
            # the row behind the last layer comes out normed in the official code, so it is no hidden layer
            accept = config.sub("talker_config").whole("accept_hidden_layer", high=stack.n_layer - 1)
        return cls(
            stack, text.whole("max_position_embeddings"), text.whole("vocab_size"), n_deepstack, accept
        )

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        return {
            **self.stack.keys("thinker"),
            "thinker.n_ctx_max": self.n_ctx_max,
            "thinker.n_vocab": self.n_vocab,
            "thinker.n_deepstack": self.n_deepstack,
            "thinker.accept_layer": self.accept_layer,
        }

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        shape = (self.n_vocab, self.stack.n_embd)
        return [
            copy("thinker.token_embd.weight", "thinker.model.embed_tokens.weight", shape),
            copy("thinker.output.weight", "thinker.lm_head.weight", shape),
            *self.stack.tensors("thinker", "thinker.model"),
        ]
