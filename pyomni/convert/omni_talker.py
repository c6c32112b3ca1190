"""Qwen3-Omni's talker: sizes, GGUF keys and tensors. Its code predictor is that of `tensors_talker`."""

from __future__ import annotations

from dataclasses import dataclass

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, copy
from pyomni.convert.tensors_moe import MoeStack
from pyomni.convert.tensors_talker import MAX_GROUPS, CodePredictor
from pyomni.convert.writer import Value

__all__ = ["OmniTalker", "code_predictor"]

PROJECTIONS = (("text_proj", "text_projection"), ("hidden_proj", "hidden_projection"))


@dataclass(frozen=True)
class OmniTalker:
    """Sizes of the talker, whose text comes as rows of the thinker."""

    stack: MoeStack
    n_ctx_max: int
    n_vocab: int
    n_groups: int
    n_embd_thinker: int
    n_ff_proj: int  # inner width of both projections

    @classmethod
    def read(cls, config: Config) -> OmniTalker:
        """Sizes from a whole `config.json`.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        talker = config.sub("talker_config")
        text = talker.sub("text_config")
        stack = MoeStack.read(text)
        n_embd_thinker = talker.whole("thinker_hidden_size")
        given = config.sub("thinker_config").sub("text_config").whole("hidden_size")
        if n_embd_thinker != given:
            raise talker.fail("thinker_hidden_size", f"the thinker's hidden_size, {given}")
        return cls(
            stack,
            text.whole("max_position_embeddings"),
            text.whole("vocab_size"),
            talker.whole("num_code_groups", low=2, high=MAX_GROUPS),
            n_embd_thinker,
            text.whole("intermediate_size"),
        )

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        return {
            **self.stack.keys("talker"),
            "talker.n_ctx_max": self.n_ctx_max,
            "talker.n_vocab": self.n_vocab,
            "talker.n_groups": self.n_groups,
            "talker.n_embd_thinker": self.n_embd_thinker,
            "talker.n_ff_proj": self.n_ff_proj,
        }

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        n_embd, n_in, n_ff = self.stack.n_embd, self.n_embd_thinker, self.n_ff_proj
        codes = (self.n_vocab, n_embd)
        planned = [
            copy("talker.codec_embd.weight", "talker.model.codec_embedding.weight", codes),
            copy("talker.codec_head.weight", "talker.codec_head.weight", codes),
        ]
        for name, source in PROJECTIONS:
            o, s = f"talker.{name}.fc", f"talker.{source}.linear_fc"
            planned += [
                copy(f"{o}1.weight", f"{s}1.weight", (n_ff, n_in)),
                copy(f"{o}1.bias", f"{s}1.bias", (n_ff,)),
                copy(f"{o}2.weight", f"{s}2.weight", (n_embd, n_ff)),
                copy(f"{o}2.bias", f"{s}2.bias", (n_embd,)),
            ]
        return planned + self.stack.tensors("talker", "talker.model")


def code_predictor(config: Config, talker: OmniTalker) -> CodePredictor:
    """Sizes of the code predictor beside `talker`, from a whole `config.json`.

    Raises
    ------
    ModelFormatError, UnsupportedModel
    """
    c = config.sub("talker_config").sub("code_predictor_config")
    return CodePredictor.read(c, talker.n_groups, talker.stack.n_embd)
