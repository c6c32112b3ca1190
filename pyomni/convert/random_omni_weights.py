"""Random weights for every tensor of a Qwen3-Omni checkpoint, of a size that keeps activations of order one.

No parameter is neutral: norms differ from one, biases and layer scales from zero, and attention is peaked, so
that a forgotten term or a wrong position changes what comes out. Rows of the output heads are equally long,
so that greedy decoding wanders. Hidden channel 0 of thinker and talker is a positive constant: every input
row carries it and no residual branch writes it; a head row that must never win is a negative number there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyomni.convert.random_omni_config import codec_ids
from pyomni.convert.random_omni_sizes import OmniDims
from pyomni.convert.random_weights import Array, Weights

__all__ = ["omni_weights"]

CONSTANT, NEVER = 0.75, -100.0  # value of channel 0, and of a losing head row there
HEAD_LENGTH = 3.0


def omni_weights(
    d: OmniDims, seed: int, *, never: Sequence[int], end_id: int | None = None, audio_output: bool = True
) -> Weights:
    """All tensors of a checkpoint, in the order of its networks.

    Parameters
    ----------
    d : from `omni_dims`
    seed : of the weights; a tensor's values depend on it and its name alone
    never : ids the thinker never says
    end_id : an id the thinker likes to say, and the talker's end with it; None: neither ever ends
    audio_output : with talker, code predictor and code2wav
    """
    w = OmniWeights(seed)
    _thinker(w, d, never, end_id)
    _audio(w, d)
    _vision(w, d)
    if audio_output:
        _talker(w, d, ends=end_id is not None)
        _predictor(w, d)
        _code2wav(w, d)
    return w


class OmniWeights(Weights):
    """Shorthands that differ from Qwen3-TTS's: larger biases, and a constant channel."""

    def matrix(
        self,
        name: str,
        n_out: int,
        n_in: int,
        gain: float = 1.0,
        *,
        bias: bool = False,
        channel0: float | None = None,
    ) -> None:
        """A matrix and perhaps a bias; `channel0`: what output channel 0 is for every input."""

        def silence(rows: Array) -> None:
            rows[0] = 0

        def constant(values: Array) -> None:
            values[0] = channel0

        still = channel0 is not None
        self.add(f"{name}.weight", (n_out, n_in), gain / math.sqrt(n_in), edit=silence if still else None)
        if bias:
            self.add(f"{name}.bias", (n_out,), 0.1, edit=constant if still else None)

    def filters(
        self, name: str, shape: tuple[int, ...], fan_in: int, gain: float = 1.0, n_bias: int = 0
    ) -> None:
        """A convolution of any kind."""
        self.add(f"{name}.weight", shape, gain / math.sqrt(fan_in))
        self.add(f"{name}.bias", (n_bias or shape[0],), 0.05)

    def scale(self, name: str, n: int, mean: float = 1.0, *, bias: bool = False) -> None:
        """A norm's weight."""
        self.add(f"{name}.weight", (n,), 0.1 * mean, mean)
        if bias:
            self.add(f"{name}.bias", (n,), 0.1)

    def table(self, name: str, n_rows: int, n: int, std: float = 1.0, channel0: float | None = None) -> None:
        """Embedding rows."""

        def constant(rows: Array) -> None:
            rows[:, 0] = channel0

        self.add(f"{name}.weight", (n_rows, n), std, edit=None if channel0 is None else constant)

    def head(
        self,
        name: str,
        n_rows: int,
        n: int,
        never: Sequence[int] = (),
        likely: tuple[int, float] | None = None,
    ) -> None:
        """Rows of one length, blind to channel 0. `likely`: an id, and how much longer its row is."""

        def even(rows: Array) -> None:
            rows[:, 0] = 0
            rows *= (HEAD_LENGTH / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
            strong = rows[likely[0]] * np.float32(likely[1]) if likely else None
            ids = np.asarray(never, np.intp)
            rows[ids] = 0
            rows[ids, 0] = NEVER
            if likely:
                rows[likely[0]] = strong

        self.add(f"{name}.weight", (n_rows, n), 1.0, edit=even)

    def attention(
        self, p: str, n_embd: int, d: dict[str, Any], channel0: float | None = None, *, qk_norm: bool = True
    ) -> None:
        """Projections and, with `qk_norm`, their norms."""
        gain = 1.0 if qk_norm else 1.4
        self.matrix(p + "q_proj", d["heads"] * d["head_dim"], n_embd, gain)
        self.matrix(p + "k_proj", d["kv_heads"] * d["head_dim"], n_embd, gain)
        self.matrix(p + "v_proj", d["kv_heads"] * d["head_dim"], n_embd)
        self.matrix(p + "o_proj", n_embd, d["heads"] * d["head_dim"], 0.7, channel0=channel0)
        if qk_norm:
            self.scale(p + "q_norm", d["head_dim"], 1.4)
            self.scale(p + "k_norm", d["head_dim"], 1.4)

    def swiglu(self, p: str, n_embd: int, n_ff: int, channel0: float | None = None) -> None:
        """A gated MLP."""
        self.matrix(p + "gate_proj", n_ff, n_embd, 1.5)
        self.matrix(p + "up_proj", n_ff, n_embd)
        self.matrix(p + "down_proj", n_embd, n_ff, channel0=channel0)

    def layer(self, p: str, n_embd: int, d: dict[str, Any], channel0: float | None = None) -> None:
        """A decoder layer; a mixture of experts where the sizes have some."""
        self.scale(p + "input_layernorm", n_embd)
        self.scale(p + "post_attention_layernorm", n_embd)
        self.attention(p + "self_attn.", n_embd, d, channel0)
        if "experts" not in d:
            self.swiglu(p + "mlp.", n_embd, d["ff"], channel0)
            return
        self.matrix(p + "mlp.gate", d["experts"], n_embd, 2.0)
        for e in range(d["experts"]):
            self.swiglu(f"{p}mlp.experts.{e}.", n_embd, d["expert_ff"], channel0)
        if "shared_ff" in d:
            self.swiglu(p + "mlp.shared_expert.", n_embd, d["shared_ff"], channel0)
            self.matrix(p + "mlp.shared_expert_gate", 1, n_embd)


def _thinker(w: OmniWeights, d: OmniDims, never: Sequence[int], end_id: int | None) -> None:
    t, p = d["thinker"], "thinker."
    w.table(p + "model.embed_tokens", t["vocab"], t["hidden"], channel0=CONSTANT)
    for i in range(t["layers"]):
        w.layer(f"{p}model.layers.{i}.", t["hidden"], t, 0.0)
    w.scale(p + "model.norm", t["hidden"])
    w.head(p + "lm_head", t["vocab"], t["hidden"], never, None if end_id is None else (end_id, 3.0))


def _audio(w: OmniWeights, d: OmniDims) -> None:
    a, p, n_embd, bins = d["audio"], "thinker.audio_tower.", d["audio"]["hidden"], d["audio"]["mels"]
    for i, n_in in enumerate((1, a["conv"], a["conv"]), 1):
        w.filters(f"{p}conv2d{i}", (a["conv"], n_in, 3, 3), 9 * n_in, 2.0)
        bins = (bins + 1) // 2
    w.matrix(p + "conv_out", n_embd, a["conv"] * bins, 3.0)
    for i in range(a["layers"]):
        q = f"{p}layers.{i}."
        w.scale(q + "self_attn_layer_norm", n_embd, bias=True)
        for name, gain in (("q_proj", 1.4), ("k_proj", 1.4), ("v_proj", 1.0), ("out_proj", 0.7)):
            w.matrix(f"{q}self_attn.{name}", n_embd, n_embd, gain, bias=True)
        w.scale(q + "final_layer_norm", n_embd, bias=True)
        w.matrix(q + "fc1", a["ff"], n_embd, 1.5, bias=True)
        w.matrix(q + "fc2", n_embd, a["ff"], 0.7, bias=True)
    w.scale(p + "ln_post", n_embd, bias=True)
    w.matrix(p + "proj1", n_embd, n_embd, 1.5, bias=True)
    w.matrix(p + "proj2", d["thinker"]["hidden"], n_embd, bias=True, channel0=CONSTANT)


def _vision(w: OmniWeights, d: OmniDims) -> None:
    v, p, n_embd, n_out = d["vision"], "thinker.visual.", d["vision"]["hidden"], d["thinker"]["hidden"]
    patch, merged = (3, v["temporal"], v["patch"], v["patch"]), n_embd * v["merge"] ** 2
    w.filters(p + "patch_embed.proj", (n_embd, *patch), 6 * v["patch"], 0.5)  # neighbouring pixels are alike
    w.table(p + "pos_embed", v["grid"] ** 2, n_embd, 0.7)
    for i in range(v["layers"]):
        q = f"{p}blocks.{i}."
        w.scale(q + "norm1", n_embd, bias=True)
        w.scale(q + "norm2", n_embd, bias=True)
        w.matrix(q + "attn.qkv", 3 * n_embd, n_embd, 1.4, bias=True)
        w.matrix(q + "attn.proj", n_embd, n_embd, 0.5, bias=True)
        w.matrix(q + "mlp.linear_fc1", v["ff"], n_embd, 1.5, bias=True)
        w.matrix(q + "mlp.linear_fc2", n_embd, v["ff"], 0.7, bias=True)
    mergers = [("merger.", n_embd, CONSTANT, 1.0)]
    mergers += [(f"merger_list.{j}.", merged, 0.0, 0.5) for j in range(len(v["deepstack"]))]
    for name, n_norm, channel0, gain in mergers:
        w.scale(p + name + "ln_q", n_norm, bias=True)
        w.matrix(p + name + "mlp.0", merged, merged, 1.5, bias=True)
        w.matrix(p + name + "mlp.2", n_out, merged, gain, bias=True, channel0=channel0)


def _talker(w: OmniWeights, d: OmniDims, *, ends: bool) -> None:
    k, p, n_embd = d["talker"], "talker.", d["talker"]["hidden"]
    n_vocab, eos = k["codes"] + 1024, codec_ids(k["codes"])["codec_eos_token_id"]
    for name in ("text_projection.", "hidden_projection."):  # these bring channel 0, the codec tables do not
        w.matrix(p + name + "linear_fc1", k["resize_ff"], d["thinker"]["hidden"], 1.5, bias=True)
        w.matrix(p + name + "linear_fc2", n_embd, k["resize_ff"], bias=True, channel0=CONSTANT)
    w.table(p + "model.codec_embedding", n_vocab, n_embd, 0.5, channel0=0.0)
    for i in range(k["layers"]):
        w.layer(f"{p}model.layers.{i}.", n_embd, k, 0.0)
    w.scale(p + "model.norm", n_embd)
    w.head(p + "codec_head", n_vocab, n_embd, () if ends else (eos,), (eos, 2.0) if ends else None)


def _predictor(w: OmniWeights, d: OmniDims) -> None:
    k, p, n_embd = d["talker"], "talker.code_predictor.", d["talker"]["hidden"]
    for i in range(d["predictor"]["layers"]):
        w.layer(f"{p}model.layers.{i}.", n_embd, d["predictor"])
    w.scale(p + "model.norm", n_embd)
    for g in range(k["groups"] - 1):
        w.table(f"{p}model.codec_embedding.{g}", k["codes"], n_embd, 0.35, channel0=0.0)
        w.head(f"{p}lm_head.{g}", k["codes"], n_embd)


def _code2wav(w: OmniWeights, d: OmniDims) -> None:
    c, p, n_embd, groups = d["code2wav"], "code2wav.", d["code2wav"]["hidden"], d["talker"]["groups"]
    w.table(p + "code_embedding", groups * d["talker"]["codes"], n_embd, math.sqrt(groups))  # then averaged
    attention = {"heads": c["heads"], "kv_heads": c["heads"], "head_dim": n_embd // c["heads"]}
    for i in range(c["layers"]):
        q = f"{p}pre_transformer.layers.{i}."
        w.scale(q + "input_layernorm", n_embd)
        w.scale(q + "post_attention_layernorm", n_embd)
        w.attention(q + "self_attn.", n_embd, attention, qk_norm=False)
        w.swiglu(q + "mlp.", n_embd, c["ff"])
        w.add(q + "self_attn_layer_scale.scale", (n_embd,), 0.05, 0.4)
        w.add(q + "mlp_layer_scale.scale", (n_embd,), 0.05, 0.4)
    w.scale(p + "pre_transformer.norm", n_embd)
    for i, ratio in enumerate(c["ratios"]):
        q = f"{p}upsample.{i}."
        w.filters(q + "0.conv", (n_embd, n_embd, ratio), n_embd)
        w.filters(q + "1.dwconv.conv", (n_embd, 1, 7), 7)
        w.scale(q + "1.norm", n_embd, bias=True)
        w.matrix(q + "1.pwconv1", 4 * n_embd, n_embd, 1.5, bias=True)
        w.matrix(q + "1.pwconv2", n_embd, 4 * n_embd, bias=True)
        w.add(q + "1.gamma", (n_embd,), 0.05, 0.3)
    _waves(w, c, p + "decoder.")


def _waves(w: OmniWeights, c: dict[str, Any], p: str) -> None:
    def snake(name: str, n: int) -> None:
        # logarithms of the frequency and of one over the height
        w.add(name + ".alpha", (n,), 0.2)
        w.add(name + ".beta", (n,), 0.2, 0.7)

    n, n_blocks = c["decoder"], len(c["rates"])
    w.filters(p + "0.conv", (n, c["hidden"], 7), 7 * c["hidden"])
    for i, rate in enumerate(c["rates"], 1):
        q, n = f"{p}{i}.block.", n // 2
        snake(q + "0", 2 * n)
        w.filters(q + "1.conv", (2 * n, n, 2 * rate), 4 * n, 0.8, n_bias=n)
        for unit in (2, 3, 4):
            snake(f"{q}{unit}.act1", n)
            w.filters(f"{q}{unit}.conv1.conv", (n, n, 7), 7 * n)
            snake(f"{q}{unit}.act2", n)
            w.filters(f"{q}{unit}.conv2.conv", (n, n, 1), n, 0.4)
    snake(f"{p}{n_blocks + 1}", n)
    w.filters(f"{p}{n_blocks + 2}.conv", (1, n, 7), 7 * n, 0.1)
