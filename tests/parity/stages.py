"""The codec decoder's stages in numpy and float64, written from the official classes, to be fed any input.

A running decoder's tap carries the rounding of every stage before it. Given the same input, a stage shows its
own rounding alone. The official modules are used for that where torch is installed (``pytest -m reference``);
without torch these stand in, and a test holds them to the official taps first.
"""

from __future__ import annotations

from collections.abc import Callable
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyomni.convert.safetensors_file import Checkpoint

F64 = NDArray[np.float64]
Stage = Callable[[F64], F64]
_erf = np.vectorize(erf, otypes=[np.float64])


class Stages:
    """Functions of [C, T] by tap name, from a checkpoint's ``speech_tokenizer`` folder.

    Parameters
    ----------
    folder : the checkpoint folder
    config : its ``decoder_config``
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self._stored = Checkpoint(folder / "speech_tokenizer")
        self._config = config

    def _w(self, name: str) -> F64:
        stored = self._stored[f"decoder.{name}"]
        return stored.f32().reshape(stored.shape).astype(np.float64)

    def conv(self, name: str, dilation: int = 1) -> Stage:
        """``CausalConvNet``: zeros on the left, so that column t sees columns up to t."""
        weight, bias = self._w(f"{name}.conv.weight"), self._w(f"{name}.conv.bias")  # [out, in / groups, K]
        kernel = weight.shape[2]

        def run(x: F64) -> F64:
            padded = np.pad(x, ((0, 0), ((kernel - 1) * dilation, 0)))
            seen = np.stack([padded[:, k * dilation :][:, : x.shape[1]] for k in range(kernel)])  # [K, C, T]
            if weight.shape[1] == 1 and len(x) > 1:
                return np.einsum("ck,kct->ct", weight[:, 0], seen) + bias[:, None]
            return np.einsum("oik,kit->ot", weight, seen, optimize=True) + bias[:, None]

        return run

    def transposed(self, name: str, stride: int) -> Stage:
        """``CausalTransConvNet``: what reaches beyond the last column's stride is cut."""
        weight, bias = self._w(f"{name}.conv.weight"), self._w(f"{name}.conv.bias")  # [in, out, K]
        kernel = weight.shape[2]

        def run(x: F64) -> F64:
            n = x.shape[1]
            out = np.zeros((weight.shape[1], (n - 1) * stride + kernel))
            for k in range(kernel):
                out[:, k : k + (n - 1) * stride + 1 : stride] += weight[:, :, k].T @ x
            return out[:, : n * stride] + bias[:, None]

        return run

    def snake(self, name: str) -> Stage:
        """``SnakeBeta``: x + sin(x exp(alpha))^2 / (exp(beta) + 1e-9)."""
        a, b = np.exp(self._w(f"{name}.alpha")), np.exp(self._w(f"{name}.beta"))
        return lambda x: x + np.sin(x * a[:, None]) ** 2 / (b[:, None] + 1e-9)

    def convnext(self, name: str) -> Stage:
        """``ConvNeXtBlock``, with the erf form of GELU."""
        w = {k: self._w(f"{name}.{k}") for k in ("norm.weight", "norm.bias", "pwconv1.weight", "pwconv1.bias",
                                                 "pwconv2.weight", "pwconv2.bias", "gamma")}  # fmt: skip
        depthwise = self.conv(f"{name}.dwconv")

        def run(x: F64) -> F64:
            h = depthwise(x).T  # [T, C]
            h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-6)
            h = (h * w["norm.weight"] + w["norm.bias"]) @ w["pwconv1.weight"].T + w["pwconv1.bias"]
            h = h * 0.5 * (1 + _erf(h / np.sqrt(2)))
            return x + (w["gamma"] * (h @ w["pwconv2.weight"].T + w["pwconv2.bias"])).T

        return run

    def residual(self, name: str, dilation: int) -> Stage:
        """``DecoderDecoderResidualUnit``."""
        parts = [
            self.snake(f"{name}.act1"),
            self.conv(f"{name}.conv1", dilation),
            self.snake(f"{name}.act2"),
            self.conv(f"{name}.conv2"),
        ]
        return lambda x: x + chain(parts)(x)

    def transformer(self) -> Stage:
        """``DecoderTransformerModel``: every query sees `sliding_window` keys, itself included."""
        c, p = self._config, "pre_transformer"
        head_dim, n_head, n_kv = c["head_dim"], c["num_attention_heads"], c["num_key_value_heads"]
        w = {k.removeprefix(f"decoder.{p}."): self._w(k.removeprefix("decoder.")) for k in self._stored
             if k.startswith(f"decoder.{p}.")}  # fmt: skip

        def norm(x: F64, name: str) -> F64:
            return x / np.sqrt((x * x).mean(-1, keepdims=True) + c["rms_norm_eps"]) * w[f"{name}.weight"]

        def rope(x: F64) -> F64:  # [T, heads, head_dim]; channel j turns with channel j + head_dim / 2
            half = head_dim // 2
            angle = np.arange(len(x))[:, None] * c["rope_theta"] ** (-np.arange(half) * 2 / head_dim)
            cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
            left, right = x[..., :half], x[..., half:]
            return np.concatenate([left * cos - right * sin, right * cos + left * sin], -1)

        def attention(x: F64, name: str) -> F64:
            n = len(x)
            q = rope((x @ w[f"{name}.q_proj.weight"].T).reshape(n, n_head, head_dim))
            k = rope((x @ w[f"{name}.k_proj.weight"].T).reshape(n, n_kv, head_dim)).repeat(n_head // n_kv, 1)
            v = (x @ w[f"{name}.v_proj.weight"].T).reshape(n, n_kv, head_dim).repeat(n_head // n_kv, 1)
            scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(head_dim)
            back = np.arange(n)[:, None] - np.arange(n)
            scores = np.where((back >= 0) & (back < c["sliding_window"]), scores, -np.inf)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            shares /= shares.sum(-1, keepdims=True)
            return np.einsum("hqk,khd->qhd", shares, v).reshape(n, -1) @ w[f"{name}.o_proj.weight"].T

        def mlp(x: F64, name: str) -> F64:
            gate = x @ w[f"{name}.gate_proj.weight"].T
            return (gate / (1 + np.exp(-gate)) * (x @ w[f"{name}.up_proj.weight"].T)) @ w[
                f"{name}.down_proj.weight"
            ].T

        def run(x: F64) -> F64:
            h = x.T @ w["input_proj.weight"].T + w["input_proj.bias"]  # [T, n_embd]
            for i in range(c["num_hidden_layers"]):
                b = f"layers.{i}"
                h = (
                    h
                    + attention(norm(h, f"{b}.input_layernorm"), f"{b}.self_attn")
                    * w[f"{b}.self_attn_layer_scale.scale"]
                )
                h = (
                    h
                    + mlp(norm(h, f"{b}.post_attention_layernorm"), f"{b}.mlp")
                    * w[f"{b}.mlp_layer_scale.scale"]
                )
            return (norm(h, "norm") @ w["output_proj.weight"].T + w["output_proj.bias"]).T

        return run

    def table(self) -> dict[str, tuple[str, Stage]]:
        """Return, by tap name and in order, the tap a stage reads and the stage."""
        out: dict[str, tuple[str, Stage]] = {
            "pre_conv": ("rvq", self.conv("pre_conv")),
            "transformer": ("pre_conv", self.transformer()),
        }
        last = "transformer"
        for i, ratio in enumerate(self._config["upsampling_ratios"]):
            out[f"up.{i}.conv"] = (last, self.transposed(f"upsample.{i}.0", ratio))
            out[f"up.{i}.out"] = (f"up.{i}.conv", self.convnext(f"upsample.{i}.1"))
            last = f"up.{i}.out"
        out["conv_in"] = (last, self.conv("decoder.0"))
        last = "conv_in"
        for i, rate in enumerate(self._config["upsample_rates"]):
            b, n = f"wave.{i}", f"decoder.{i + 1}.block"
            parts = {f"{b}.snake": self.snake(f"{n}.0"), f"{b}.conv": self.transposed(f"{n}.1", rate)}
            parts |= {f"{b}.res.{j}": self.residual(f"{n}.{j + 2}", d) for j, d in enumerate((1, 3, 9))}
            source = last
            for name, stage in parts.items():
                out[name] = (last, stage)
                last = name
            out[f"{b}.out"] = (source, chain(list(parts.values())))
            last = f"{b}.out"
        n_blocks = len(self._config["upsample_rates"])
        out["pcm_raw"] = (
            last,
            chain([self.snake(f"decoder.{n_blocks + 1}"), self.conv(f"decoder.{n_blocks + 2}")]),
        )
        return out


def chain(parts: list[Stage]) -> Stage:
    """Return one stage after another as one."""

    def run(x: F64) -> F64:
        for part in parts:
            x = part(x)
        return x

    return run
