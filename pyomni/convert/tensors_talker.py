"""Talker and code predictor: sizes, GGUF keys and tensors."""

from __future__ import annotations

from dataclasses import dataclass

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, copy
from pyomni.convert.writer import Value
from pyomni.errors import UnsupportedModel

__all__ = ["CodePredictor", "Stack", "Talker"]

MAX_LAYERS, MAX_GROUPS = 512, 256


@dataclass(frozen=True)
class Stack:
    """Sizes of a pre-norm decoder stack with grouped-query attention (`Qwen3TTSTalkerModel`)."""

    n_layer: int
    n_embd: int
    n_ff: int
    n_head: int
    n_head_kv: int
    head_dim: int
    rms_eps: float
    rope_theta: float

    @classmethod
    def read(cls, c: Config) -> Stack:
        """Sizes from a configuration in HF's words.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        check_attention(c, "silu")
        sizes = cls(
            n_layer=c.whole("num_hidden_layers", high=MAX_LAYERS),
            n_embd=c.whole("hidden_size"),
            n_ff=c.whole("intermediate_size"),
            n_head=c.whole("num_attention_heads"),
            n_head_kv=c.whole("num_key_value_heads"),
            head_dim=c.whole("head_dim"),
            rms_eps=c.number("rms_norm_eps"),
            rope_theta=c.number("rope_theta", low=1.0),
        )
        if sizes.n_head % sizes.n_head_kv:
            raise c.fail("num_key_value_heads", f"a divisor of num_attention_heads, {sizes.n_head}")
        if sizes.head_dim % 2:
            raise c.fail("head_dim", "an even number, for rotary positions")
        return sizes

    def keys(self, prefix: str) -> dict[str, Value]:
        """GGUF keys and their values."""
        return {f"{prefix}.{name}": value for name, value in vars(self).items()}

    def attention(self, out: str, source: str) -> list[Planned]:
        """The four projections; `out` and `source` end with a dot."""
        q, kv = self.n_head * self.head_dim, self.n_head_kv * self.head_dim
        return [
            copy(f"{out}attn_q.weight", f"{source}q_proj.weight", (q, self.n_embd)),
            copy(f"{out}attn_k.weight", f"{source}k_proj.weight", (kv, self.n_embd)),
            copy(f"{out}attn_v.weight", f"{source}v_proj.weight", (kv, self.n_embd)),
            copy(f"{out}attn_output.weight", f"{source}o_proj.weight", (self.n_embd, q)),
        ]

    def mlp(self, out: str, source: str) -> list[Planned]:
        """SwiGLU's three matrices."""
        return [
            copy(f"{out}ffn_gate.weight", f"{source}gate_proj.weight", (self.n_ff, self.n_embd)),
            copy(f"{out}ffn_up.weight", f"{source}up_proj.weight", (self.n_ff, self.n_embd)),
            copy(f"{out}ffn_down.weight", f"{source}down_proj.weight", (self.n_embd, self.n_ff)),
        ]

    def feed_forward(self, out: str, source: str) -> list[Planned]:
        """What follows the second norm of a layer; `out` and `source` end with a dot."""
        return self.mlp(out, source)

    def tensors(self, prefix: str, source: str) -> list[Planned]:
        """All layers and the output norm of a language model."""
        planned: list[Planned] = []
        for i in range(self.n_layer):
            o, s = f"{prefix}.blk.{i}.", f"{source}.layers.{i}."
            planned += [
                copy(f"{o}attn_norm.weight", f"{s}input_layernorm.weight", (self.n_embd,)),
                *self.attention(o, f"{s}self_attn."),
                copy(f"{o}attn_q_norm.weight", f"{s}self_attn.q_norm.weight", (self.head_dim,)),
                copy(f"{o}attn_k_norm.weight", f"{s}self_attn.k_norm.weight", (self.head_dim,)),
                copy(f"{o}ffn_norm.weight", f"{s}post_attention_layernorm.weight", (self.n_embd,)),
                *self.feed_forward(o, f"{s}mlp."),
            ]
        planned.append(copy(f"{prefix}.output_norm.weight", f"{source}.norm.weight", (self.n_embd,)))
        return planned


@dataclass(frozen=True)
class Talker:
    """Sizes of the talker."""

    stack: Stack
    n_ctx_max: int
    n_vocab: int
    n_groups: int
    text_n_vocab: int
    text_n_embd: int

    @classmethod
    def read(cls, c: Config) -> Talker:
        """Sizes from a configuration in HF's words."""
        return cls(
            Stack.read(c),
            c.whole("max_position_embeddings"),
            c.whole("vocab_size"),
            c.whole("num_code_groups", low=2, high=MAX_GROUPS),
            c.whole("text_vocab_size"),
            c.whole("text_hidden_size"),
        )

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        return {
            **self.stack.keys("talker"),
            "talker.n_ctx_max": self.n_ctx_max,
            "talker.n_vocab": self.n_vocab,
            "talker.n_groups": self.n_groups,
            "talker.text.n_vocab": self.text_n_vocab,
            "talker.text.n_embd": self.text_n_embd,
        }

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        t, n_embd, text = "talker.", self.stack.n_embd, self.text_n_embd
        codes = (self.n_vocab, n_embd)
        fc = "talker.text_projection.linear_fc"
        return [
            copy(t + "text_embd.weight", t + "model.text_embedding.weight", (self.text_n_vocab, text)),
            copy(t + "text_proj.fc1.weight", fc + "1.weight", (text, text)),
            copy(t + "text_proj.fc1.bias", fc + "1.bias", (text,)),
            copy(t + "text_proj.fc2.weight", fc + "2.weight", (n_embd, text)),
            copy(t + "text_proj.fc2.bias", fc + "2.bias", (n_embd,)),
            copy(t + "codec_embd.weight", t + "model.codec_embedding.weight", codes),
            copy(t + "codec_head.weight", t + "codec_head.weight", codes),
            *self.stack.tensors("talker", "talker.model"),
        ]


@dataclass(frozen=True)
class CodePredictor:
    """Sizes of the code predictor, whose inputs and embeddings are as wide as the talker."""

    stack: Stack
    n_ctx_max: int
    n_vocab: int
    n_groups: int
    n_embd_in: int

    @classmethod
    def read(cls, c: Config, n_groups: int, n_embd_in: int) -> CodePredictor:
        """Sizes from a configuration in HF's words, beside a talker of so many groups and that width."""
        if c.whole("num_code_groups", high=MAX_GROUPS) != n_groups:
            raise c.fail("num_code_groups", f"the talker's {n_groups}")
        return cls(
            Stack.read(c),
            c.whole("max_position_embeddings"),
            c.whole("vocab_size"),
            n_groups,
            n_embd_in,
        )

    @property
    def input_proj(self) -> bool:
        """Whether inputs are projected: the widths differ."""
        return self.n_embd_in != self.stack.n_embd

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        c = "code_predictor."
        return {
            **self.stack.keys("code_predictor"),
            c + "n_ctx_max": self.n_ctx_max,
            c + "n_vocab": self.n_vocab,
            c + "n_groups": self.n_groups,
            c + "n_embd_in": self.n_embd_in,
            c + "input_proj": self.input_proj,
        }

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        o, s, n_embd = "code_predictor.", "talker.code_predictor.", self.stack.n_embd
        planned: list[Planned] = []
        for k in range(self.n_groups - 1):
            planned += [
                copy(
                    f"{o}codec_embd.{k}.weight",
                    f"{s}model.codec_embedding.{k}.weight",
                    (self.n_vocab, self.n_embd_in),
                ),
                copy(f"{o}codec_head.{k}.weight", f"{s}lm_head.{k}.weight", (self.n_vocab, n_embd)),
            ]
        if self.input_proj:
            proj = s + "small_to_mtp_projection"
            planned += [
                copy(o + "input_proj.weight", proj + ".weight", (n_embd, self.n_embd_in)),
                copy(o + "input_proj.bias", proj + ".bias", (n_embd,)),
            ]
        return planned + self.stack.tensors("code_predictor", s + "model")


def check_attention(c: Config, activation: str) -> None:
    """Refuse what no released checkpoint has and the graphs do not do.

    Raises
    ------
    UnsupportedModel
        Another activation, biases in attention, a window where there is none, scaled rotary positions.
    """
    found = c.text("hidden_act")
    if found != activation:
        raise UnsupportedModel(f"{c.path}: {c.where}.hidden_act is {found!r}, expected {activation!r}")
    for key in ("attention_bias", "use_sliding_window", "tie_word_embeddings"):
        if c.flag(key, False):
            raise UnsupportedModel(f"{c.path}: {c.where}.{key} is true, expected false")
    # The three axes of the talker's multi-axis rotation always hold the same position, so it is a plain one.
    scaling = c.sub("rope_scaling", {})
    kind = scaling.text("rope_type", scaling.text("type", "default"))
    if kind not in ("default", "mrope"):
        raise UnsupportedModel(f"{c.path}: {c.where}.rope_scaling is of type {kind!r}, expected 'default'")
