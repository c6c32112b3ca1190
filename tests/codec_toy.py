"""A codec decoder at toy size: its GGUF with random weights, and the same network in numpy.

The numpy decoder works on whole signals, [channels, time], in float64 and without any state, so that it
shares nothing with the shim but the formulas: ``docs/gguf.md`` and the class of the same name in the official
``qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

C = "codec_decoder."


@dataclass(frozen=True)
class Codec:
    """Hyperparameters, under the names of the GGUF keys."""

    sample_rate: int = 24000
    n_groups: int = 5
    n_semantic: int = 1
    codebook_size: int = 31
    codebook_dim: int = 12
    rvq_dim: int = 20
    latent_dim: int = 24
    decoder_dim: int = 32
    n_layer: int = 2
    n_embd: int = 16
    n_ff: int = 28
    n_head: int = 4
    n_head_kv: int = 2
    head_dim: int = 6
    window: int = 7
    rms_eps: float = 1e-5
    rope_theta: float = 10000.0
    layer_norm_eps: float = 1e-6
    upsample_rates: tuple[int, ...] = (3, 2)
    upsampling_ratios: tuple[int, ...] = (2, 2)
    residual_dilations: tuple[int, ...] = (1, 3, 9)
    pre_conv_kernel: int = 3
    dwconv_kernel: int = 7
    conv_kernel: int = 7
    residual_kernel: int = 7
    #: Keys written with another value or, None, not at all.
    overrides: dict[str, object] = field(default_factory=dict)

    @property
    def hop(self) -> int:
        return math.prod(self.upsample_rates) * math.prod(self.upsampling_ratios)

    def keys(self) -> dict[str, object]:
        """Return the keys of the file, without their prefix."""
        keys = {**asdict(self), "hop": self.hop}
        keys.update(keys.pop("overrides"))
        return {key: value for key, value in keys.items() if value is not None}


def weights(hp: Codec, seed: int = 0) -> dict[str, F32]:
    """Return random tensors by their name in the file, in numpy's order (the reverse of ggml's)."""
    rng = np.random.default_rng(seed)
    w: dict[str, F32] = {}

    def put(name: str, *shape: int, scale: float, mean: float = 0.0) -> None:
        w[C + name] = (mean + scale * rng.standard_normal(shape)).astype(np.float32)

    def product(name: str, n_out: int, n_in: int, bias: bool = True, gain: float = 1.0) -> None:
        put(f"{name}.weight", n_out, n_in, scale=gain * n_in**-0.5)
        if bias:
            put(f"{name}.bias", n_out, scale=0.1)

    def conv(name: str, n_out: int, n_in: int, kernel: int, gain: float = 1.0) -> None:
        put(f"{name}.weight", n_out, kernel, n_in, scale=gain * (n_in * kernel) ** -0.5)
        put(f"{name}.bias", n_out, scale=0.1)

    def transposed(name: str, n_out: int, n_in: int, kernel: int) -> None:
        put(f"{name}.weight", n_out * kernel, n_in, scale=(2 * n_in) ** -0.5)  # row k * OC + oc
        put(f"{name}.bias", n_out, scale=0.1)

    def snake(name: str, n: int) -> None:
        w[f"{C}{name}.a"] = np.exp(0.4 * rng.standard_normal(n)).astype(np.float32)
        w[f"{C}{name}.b"] = np.exp(0.3 * rng.standard_normal(n) - 1).astype(np.float32)

    for k in range(hp.n_groups):
        put(f"book.{k}.weight", hp.codebook_size, hp.codebook_dim, scale=1.0)
    product("first_proj", hp.rvq_dim, hp.codebook_dim, bias=False)
    product("rest_proj", hp.rvq_dim, hp.codebook_dim, bias=False)
    conv("pre_conv", hp.latent_dim, hp.rvq_dim, hp.pre_conv_kernel)
    product("input_proj", hp.n_embd, hp.latent_dim)
    for i in range(hp.n_layer):
        for name in ("attn_norm", "ffn_norm"):
            put(f"blk.{i}.{name}.weight", hp.n_embd, scale=0.1, mean=1.0)
        for name in ("attn_scale", "ffn_scale"):
            put(f"blk.{i}.{name}.weight", hp.n_embd, scale=0.2, mean=0.5)
        product(f"blk.{i}.attn_q", hp.n_head * hp.head_dim, hp.n_embd, bias=False)
        product(f"blk.{i}.attn_k", hp.n_head_kv * hp.head_dim, hp.n_embd, bias=False)
        product(f"blk.{i}.attn_v", hp.n_head_kv * hp.head_dim, hp.n_embd, bias=False)
        product(f"blk.{i}.attn_output", hp.n_embd, hp.n_head * hp.head_dim, bias=False)
        product(f"blk.{i}.ffn_gate", hp.n_ff, hp.n_embd, bias=False)
        product(f"blk.{i}.ffn_up", hp.n_ff, hp.n_embd, bias=False)
        product(f"blk.{i}.ffn_down", hp.n_embd, hp.n_ff, bias=False)
    put("output_norm.weight", hp.n_embd, scale=0.1, mean=1.0)
    product("output_proj", hp.latent_dim, hp.n_embd)
    for i, ratio in enumerate(hp.upsampling_ratios):
        transposed(f"up.{i}.conv", hp.latent_dim, hp.latent_dim, ratio)
        put(f"up.{i}.dwconv.weight", hp.dwconv_kernel, hp.latent_dim, scale=hp.dwconv_kernel**-0.5)
        put(f"up.{i}.dwconv.bias", hp.latent_dim, scale=0.1)
        put(f"up.{i}.norm.weight", hp.latent_dim, scale=0.1, mean=1.0)
        put(f"up.{i}.norm.bias", hp.latent_dim, scale=0.1)
        put(f"up.{i}.gamma.weight", hp.latent_dim, scale=0.2, mean=0.5)
        product(f"up.{i}.pw1", 4 * hp.latent_dim, hp.latent_dim)
        product(f"up.{i}.pw2", hp.latent_dim, 4 * hp.latent_dim)
    conv("conv_in", hp.decoder_dim, hp.latent_dim, hp.conv_kernel)
    for i, rate in enumerate(hp.upsample_rates):
        n_in, n_out = hp.decoder_dim >> i, hp.decoder_dim >> (i + 1)
        snake(f"wave.{i}.snake", n_in)
        transposed(f"wave.{i}.conv", n_out, n_in, 2 * rate)
        for j in range(len(hp.residual_dilations)):
            r = f"wave.{i}.res.{j}."
            snake(r + "snake1", n_out)
            snake(r + "snake2", n_out)
            conv(r + "conv1", n_out, n_out, hp.residual_kernel, gain=0.5)
            product(r + "conv2", n_out, n_out, gain=0.5)
    last = hp.decoder_dim >> len(hp.upsample_rates)
    snake("snake_out", last)
    conv("conv_out", 1, last, hp.conv_kernel, gain=0.2)
    return w


def write(path: Path, hp: Codec, tensors: dict[str, F32]) -> Path:
    """Write a GGUF that holds a codec decoder and nothing else."""
    out = gguf.GGUFWriter(path, "qwen3-tts")
    out.add_uint32("pyomni.format_version", 1)
    out.add_array("pyomni.components", ["codec_decoder"])
    for key, value in hp.keys().items():
        if isinstance(value, (tuple, list)):
            out.add_array(C + key, list(value))
        elif isinstance(value, float):
            out.add_float32(C + key, value)
        else:
            out.add_uint32(C + key, int(value))  # type: ignore[call-overload]
    for name, tensor in tensors.items():
        out.add_tensor(name, tensor)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def codes(hp: Codec, n_frames: int, seed: int = 0) -> npt.NDArray[np.int32]:
    """Return random codes, int32 [n_frames, n_groups]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, hp.codebook_size, (n_frames, hp.n_groups), dtype=np.int32)


class Decoder:
    """The network in float64, on whole signals.

    After `decode`, ``taps`` holds each stage under the name the shim gives it, [n_channels, T].
    """

    def __init__(self, hp: Codec, tensors: dict[str, F32]) -> None:
        self.hp = hp
        self.w = {name.removeprefix(C): tensor.astype(np.float64) for name, tensor in tensors.items()}
        self.taps: dict[str, F64] = {}

    def decode(self, codes: npt.NDArray[np.int32]) -> F64:
        """Turn codes [T, n_groups] into samples [T * hop], before the clamp."""
        hp = self.hp
        x = self._tap("rvq", self._rvq(codes))
        x = self._tap("pre_conv", self._conv("pre_conv", x))
        x = self._tap("transformer", self._transformer(x))
        for i, ratio in enumerate(hp.upsampling_ratios):
            x = self._tap(f"up.{i}.conv", self._transposed(f"up.{i}.conv", x, ratio))
            x = self._tap(f"up.{i}.out", self._convnext(f"up.{i}", x))
        x = self._tap("conv_in", self._conv("conv_in", x))
        for i, rate in enumerate(hp.upsample_rates):
            x = self._tap(f"wave.{i}.snake", self._snake(f"wave.{i}.snake", x))
            x = self._tap(f"wave.{i}.conv", self._transposed(f"wave.{i}.conv", x, rate))
            for j, dilation in enumerate(hp.residual_dilations):
                r = f"wave.{i}.res.{j}"
                y = self._conv(f"{r}.conv1", self._snake(f"{r}.snake1", x), dilation)
                x = self._tap(r, x + self._product(f"{r}.conv2", self._snake(f"{r}.snake2", y)))
            self._tap(f"wave.{i}.out", x)
        return self._tap("pcm_raw", self._conv("conv_out", self._snake("snake_out", x)))[0]

    def _tap(self, name: str, x: F64) -> F64:
        self.taps[name] = x
        return x

    def _product(self, name: str, x: F64) -> F64:
        y = self.w[f"{name}.weight"] @ x
        bias = self.w.get(f"{name}.bias")
        return y if bias is None else y + bias[:, None]

    def _rvq(self, codes: npt.NDArray[np.int32]) -> F64:
        vectors = [self.w[f"book.{k}.weight"][codes[:, k]].T for k in range(self.hp.n_groups)]
        n = self.hp.n_semantic
        return self._product("first_proj", sum(vectors[:n])) + self._product("rest_proj", sum(vectors[n:]))

    def _conv(self, name: str, x: F64, dilation: int = 1) -> F64:
        w, b = self.w[f"{name}.weight"], self.w[f"{name}.bias"]  # [n_out, K, n_in]
        kernel, n = w.shape[1], x.shape[1]
        padded = np.pad(x, ((0, 0), ((kernel - 1) * dilation, 0)))
        terms = [w[:, k] @ padded[:, k * dilation : k * dilation + n] for k in range(kernel)]
        return np.sum(terms, axis=0) + b[:, None]

    def _transposed(self, name: str, x: F64, stride: int) -> F64:
        b = self.w[f"{name}.bias"]
        n_out, (n_in, n) = len(b), x.shape
        w = self.w[f"{name}.weight"].reshape(-1, n_out, n_in).transpose(1, 0, 2)  # [n_out, K, n_in]
        out = np.zeros((n_out, (n + 1) * stride))
        for t in range(n):
            out[:, t * stride : t * stride + w.shape[1]] += w @ x[:, t]
        return out[:, : n * stride] + b[:, None]

    def _snake(self, name: str, x: F64) -> F64:
        a, b = self.w[f"{name}.a"][:, None], self.w[f"{name}.b"][:, None]
        return x + b * np.sin(a * x) ** 2

    def _convnext(self, name: str, x: F64) -> F64:
        w = self.w[f"{name}.dwconv.weight"].T  # [n_channels, K]
        padded = np.pad(x, ((0, 0), (w.shape[1] - 1, 0)))
        y = sum(w[:, k : k + 1] * padded[:, k : k + x.shape[1]] for k in range(w.shape[1]))
        y = y + self.w[f"{name}.dwconv.bias"][:, None]
        y = (y - y.mean(0)) / np.sqrt(y.var(0) + self.hp.layer_norm_eps)
        y = y * self.w[f"{name}.norm.weight"][:, None] + self.w[f"{name}.norm.bias"][:, None]
        y = self._product(f"{name}.pw1", y)
        y = y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        return x + self._product(f"{name}.pw2", y) * self.w[f"{name}.gamma.weight"][:, None]

    def _rms_norm(self, name: str, x: F64) -> F64:
        return x / np.sqrt((x**2).mean(0) + self.hp.rms_eps) * self.w[f"{name}.weight"][:, None]

    def _transformer(self, x: F64) -> F64:
        x = self._product("input_proj", x)
        for i in range(self.hp.n_layer):
            b = f"blk.{i}."
            y = self._attention(b, self._rms_norm(b + "attn_norm", x))
            x = x + y * self.w[b + "attn_scale.weight"][:, None]
            y = self._rms_norm(b + "ffn_norm", x)
            gate = self._product(b + "ffn_gate", y)
            y = self._product(b + "ffn_down", gate / (1 + np.exp(-gate)) * self._product(b + "ffn_up", y))
            x = x + y * self.w[b + "ffn_scale.weight"][:, None]
        return self._product("output_proj", self._rms_norm("output_norm", x))

    def _attention(self, b: str, x: F64) -> F64:
        hp, n = self.hp, x.shape[1]
        q = self._product(b + "attn_q", x).reshape(hp.n_head, hp.head_dim, n)
        k = self._product(b + "attn_k", x).reshape(hp.n_head_kv, hp.head_dim, n)
        v = self._product(b + "attn_v", x).reshape(hp.n_head_kv, hp.head_dim, n)
        angle = np.arange(n) * hp.rope_theta ** (-2 * np.arange(hp.head_dim // 2)[:, None] / hp.head_dim)
        query, key = np.arange(n)[:, None], np.arange(n)[None, :]
        seen = (key <= query) & (key > query - hp.window)
        out = np.empty_like(q)
        for head in range(hp.n_head):
            shared = head // (hp.n_head // hp.n_head_kv)
            scores = _turned(q[head], angle).T @ _turned(k[shared], angle) / math.sqrt(hp.head_dim)
            scores = np.where(seen, scores, -np.inf)
            p = np.exp(scores - scores.max(1, keepdims=True))
            out[head] = v[shared] @ (p / p.sum(1, keepdims=True)).T
        return self._product(b + "attn_output", out.reshape(-1, n))


def _turned(x: F64, angle: F64) -> F64:
    """Rotate channel j with channel j + head_dim / 2: x [head_dim, T], angle [head_dim / 2, T]."""
    half = len(x) // 2
    cos, sin = np.cos(angle), np.sin(angle)
    return np.concatenate([x[:half] * cos - x[half:] * sin, x[half:] * cos + x[:half] * sin])
