"""A decoder stack whose feed-forward layers are mixtures of experts, turned along three position axes."""

from __future__ import annotations

from dataclasses import dataclass

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, copy, stack
from pyomni.convert.tensors_talker import Stack
from pyomni.convert.writer import Value
from pyomni.errors import UnsupportedModel

__all__ = ["MoeStack"]

MAX_EXPERTS = 1024


@dataclass(frozen=True)
class MoeStack(Stack):
    """Sizes of the stack (`Qwen3OmniMoeThinkerTextModel`, `Qwen3OmniMoeTalkerModel`); `n_ff` has no key."""

    n_expert: int
    n_expert_used: int
    n_ff_expert: int
    n_ff_shared: int  # 0: no shared expert
    norm_topk: bool
    rope_sections: tuple[int, ...]  # frequencies of the time, height and width axis

    @classmethod
    def read(cls, c: Config) -> MoeStack:
        """Sizes from a configuration in HF's words.

        Raises
        ------
        ModelFormatError
            A key is missing or out of range, or the sections do not fill half a head.
        UnsupportedModel
            Layers without experts, or rotary positions that are not interleaved.
        """
        base = Stack.read(c)
        if c.whole("decoder_sparse_step", 1) != 1 or c.values.get("mlp_only_layers"):
            raise UnsupportedModel(f"{c.path}: {c.where} has layers without experts, expected none")
        scaling = c.sub("rope_scaling")
        for key in ("interleaved", "mrope_interleaved"):
            if not scaling.flag(key, True):
                raise UnsupportedModel(f"{c.path}: {scaling.where}.{key} is false, expected true")
        sections = tuple(scaling.wholes("mrope_section"))
        if len(sections) != 3 or sum(sections) != base.head_dim // 2:
            raise scaling.fail("mrope_section", f"three numbers whose sum is {base.head_dim // 2}")
        n_expert = c.whole("num_experts", high=MAX_EXPERTS)
        return cls(
            **vars(base),
            n_expert=n_expert,
            n_expert_used=c.whole("num_experts_per_tok", high=n_expert),
            n_ff_expert=c.whole("moe_intermediate_size"),
            n_ff_shared=c.whole("shared_expert_intermediate_size", low=0),
            norm_topk=c.flag("norm_topk_prob"),
            rope_sections=sections,
        )

    def keys(self, prefix: str) -> dict[str, Value]:
        """GGUF keys and their values."""
        return {key: value for key, value in super().keys(prefix).items() if key != f"{prefix}.n_ff"}

    def feed_forward(self, out: str, source: str) -> list[Planned]:
        """Router, stacked experts, and the shared expert with its gate; `out` and `source` end with a dot."""
        n_embd, n_ff, shared = self.n_embd, self.n_ff_expert, self.n_ff_shared
        planned = [copy(f"{out}ffn_gate_inp.weight", f"{source}gate.weight", (self.n_expert, n_embd))]
        matrices = (
            ("gate", (n_ff, n_embd)),
            ("up", (n_ff, n_embd)),
            ("down", (n_embd, n_ff)),
        )
        for name, shape in matrices:
            each = [f"{source}experts.{e}.{name}_proj.weight" for e in range(self.n_expert)]
            planned.append(stack(f"{out}ffn_{name}_exps.weight", each, shape))
        if shared:
            s = source + "shared_expert"
            planned += [
                copy(f"{out}ffn_gate_inp_shexp.weight", f"{s}_gate.weight", (1, n_embd), out=(n_embd,)),
                copy(f"{out}ffn_gate_shexp.weight", f"{s}.gate_proj.weight", (shared, n_embd)),
                copy(f"{out}ffn_up_shexp.weight", f"{s}.up_proj.weight", (shared, n_embd)),
                copy(f"{out}ffn_down_shexp.weight", f"{s}.down_proj.weight", (n_embd, shared)),
            ]
        return planned
