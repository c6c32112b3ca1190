"""A small talker of random weights, here and in numpy: does a device compute what it should?

The same two layers of grouped-query attention are written down twice: once in C++, and here, in float64. The
weights numpy uses are those the file holds, dequantised, so what differs is the arithmetic alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants
from numpy.typing import NDArray

from pyomni._binding import Device, Model, quantize
from pyomni.components.lm import DecoderLM
from pyomni.convert.writer import add_key

__all__ = ["BEARABLE", "ELSEWHERE", "TYPES", "SmallTalker"]

F64 = NDArray[np.float64]
N_ROWS = 7
# a row of 256 is whole blocks of every type; fewer key heads than query heads, as in every released model
SIZES = {"n_layer": 2, "n_embd": 256, "n_ff": 512, "n_head": 4, "n_head_kv": 2, "head_dim": 64,
         "n_ctx_max": 64, "n_vocab": 96, "n_groups": 2, "text.n_vocab": 8, "text.n_embd": 32}  # fmt: skip
RMS_EPS, ROPE_THETA = 1e-6, 10000.0

#: Type to the largest relative difference that is normal: what the kernels round their input to decides it.
TYPES = {"f32": 1e-5, "f16": 2e-3, "bf16": 1e-2}
TYPES |= dict.fromkeys(("q8_0", "q6_k", "q5_k", "q4_k", "q4_0", "iq4_nl"), 5e-2)
#: On devices other than the CPU, where products of floats may be made of TF32 or of halves.
ELSEWHERE = {**TYPES, "f32": 3e-3, "f16": 5e-3}
BEARABLE = 4.0  # times that: a warning


class SmallTalker:
    """A talker in a file whose matrices are of one type, and what it should compute.

    Parameters
    ----------
    path : where the file is written
    kind : one of `TYPES`
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self._rows = np.random.default_rng(5).standard_normal((N_ROWS, SIZES["n_embd"])).astype(np.float32)
        self._expected = _numpy(_write(path, kind), self._rows)

    def difference(self, device: str) -> float:
        """Return the largest difference of hidden row and logits, relative to the largest value.

        Raises
        ------
        PyOmniError
            It does not run there.
        """
        with Device(device, 2) as opened, Model(opened, self.path, "talker") as model:
            lm = DecoderLM(model, SIZES["n_ctx_max"])
            lm.decode(self._rows[:-1])  # rows together and a row alone take different kernels
            step = lm.decode(self._rows[-1:])
            lm.close()
        found = (step.hidden[0], step.logits[0])
        worst = [np.abs(f - e).max() / np.abs(e).max() for f, e in zip(found, self._expected, strict=True)]
        return float(np.max(worst))  # no number stays none


def _write(path: Path, kind: str) -> dict[str, F64]:
    """Write a talker whose matrices are of a type; return the values they have then, by name."""
    s, rng = SIZES, np.random.default_rng(3)
    held: dict[str, F64] = {}
    writer = GGUFWriter(path, "qwen3-tts")
    for key, value in {
        "pyomni.format_version": 1,
        "pyomni.components": ["talker"],
        "pyomni.type": kind,
    }.items():
        add_key(writer, key, value)  # type: ignore[arg-type]
    for name, number in {**s, "rms_eps": RMS_EPS, "rope_theta": ROPE_THETA}.items():
        add_key(writer, f"talker.{name}", number)

    def norm(name: str, n: int) -> None:
        values = (1 + 0.1 * rng.standard_normal(n)).astype(np.float32)
        held[name] = values.astype(np.float64)
        writer.add_tensor(f"talker.{name}", values)

    def matrix(name: str, n_out: int, n_in: int, typed: str = kind) -> None:
        values = (rng.standard_normal((n_out, n_in)) * n_in**-0.5).astype(np.float32)
        raw_type = GGMLQuantizationType[typed.upper()]
        if typed == "f32":
            raw = values
        elif typed == "f16":
            raw = values.astype(np.float16)
        elif typed == "bf16":
            raw = (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        else:
            raw = quantize(typed, values)
        held[f"{name}.weight"] = quants.dequantize(raw, raw_type).astype(np.float64)
        writer.add_tensor(f"talker.{name}.weight", raw, raw_dtype=raw_type)

    for i in range(s["n_layer"]):
        blk, width = f"blk.{i}.", s["head_dim"]
        norm(blk + "attn_norm.weight", s["n_embd"])
        norm(blk + "ffn_norm.weight", s["n_embd"])
        norm(blk + "attn_q_norm.weight", width)
        norm(blk + "attn_k_norm.weight", width)
        matrix(blk + "attn_q", s["n_head"] * width, s["n_embd"])
        matrix(blk + "attn_k", s["n_head_kv"] * width, s["n_embd"])
        matrix(blk + "attn_v", s["n_head_kv"] * width, s["n_embd"])
        matrix(blk + "attn_output", s["n_embd"], s["n_head"] * width)
        matrix(blk + "ffn_gate", s["n_ff"], s["n_embd"])
        matrix(blk + "ffn_up", s["n_ff"], s["n_embd"])
        matrix(blk + "ffn_down", s["n_embd"], s["n_ff"])
    norm("output_norm.weight", s["n_embd"])
    matrix("codec_embd", s["n_vocab"], s["n_embd"])
    matrix("codec_head", s["n_vocab"], s["n_embd"])
    # the text side is not compared
    matrix("text_embd", s["text.n_vocab"], s["text.n_embd"], "f32")
    matrix("text_proj.fc1", s["text.n_embd"], s["text.n_embd"], "f32")
    matrix("text_proj.fc2", s["n_embd"], s["text.n_embd"], "f32")
    norm("text_proj.fc1.bias", s["text.n_embd"])
    norm("text_proj.fc2.bias", s["n_embd"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def _numpy(w: dict[str, F64], rows: NDArray[np.float32]) -> tuple[F64, F64]:
    """Run rows [n, n_embd] through these weights; return the last hidden row [n_embd], logits [n_vocab]."""
    s = SIZES
    x = rows.astype(np.float64)  # [n, n_embd]
    shared = s["n_head"] // s["n_head_kv"]
    later = np.triu(np.full((len(x), len(x)), -np.inf), 1)
    for i in range(s["n_layer"]):
        layer = {name.removeprefix(f"blk.{i}."): v for name, v in w.items() if name.startswith(f"blk.{i}.")}
        y = _rms(x, layer["attn_norm.weight"])
        heads = (len(x), -1, s["head_dim"])
        q = _turned(_rms((y @ layer["attn_q.weight"].T).reshape(heads), layer["attn_q_norm.weight"]))
        k = _turned(_rms((y @ layer["attn_k.weight"].T).reshape(heads), layer["attn_k_norm.weight"]))
        v = (y @ layer["attn_v.weight"].T).reshape(heads)
        k, v = (np.repeat(z, shared, axis=1) for z in (k, v))  # [n, n_head, head_dim]
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(s["head_dim"]) + later
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", share, v).reshape(len(x), -1) @ layer["attn_output.weight"].T
        y = _rms(x, layer["ffn_norm.weight"])
        gate = y @ layer["ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ layer["ffn_up.weight"].T)) @ layer["ffn_down.weight"].T
    hidden = _rms(x[-1], w["output_norm.weight"])
    return hidden, w["codec_head.weight"] @ hidden


def _rms(x: F64, weight: F64) -> F64:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + RMS_EPS) * weight


def _turned(x: F64) -> F64:
    """Rotate [n, n_head, head_dim] by position: channel c goes with channel c + head_dim / 2."""
    half = x.shape[-1] // 2
    angle = np.arange(len(x))[:, None, None] * ROPE_THETA ** -(np.arange(half) / half)  # [n, 1, half]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)
