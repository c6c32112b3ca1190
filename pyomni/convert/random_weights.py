"""Random weights for every tensor of a Qwen3-TTS checkpoint, of a size that keeps activations of order one.

Names and shapes are the official classes' (`Qwen3TTSForConditionalGeneration`, `Qwen3TTSTokenizerV2Model`).
Each tensor draws from its own generator, keyed by seed and name, so that adding one tensor changes no other.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Weights", "codec_weights", "speech_weights"]

Array = NDArray[np.float32]
Dims = Mapping[str, Any]
# Elements of a large table drawn afresh; the rest repeats them, which is cheap. A prime, lest rows recur.
BLOCK = (1 << 22) - 3


class Weights(list[tuple[str, tuple[int, ...], Callable[[], Array]]]):
    """A list of ``(name, shape, make)`` for `write_safetensors`, with the shorthands the tables below use."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def add(
        self,
        name: str,
        shape: tuple[int, ...],
        std: float = 0.0,
        mean: float = 0.0,
        edit: Callable[[Array], object] | None = None,
    ) -> None:
        """Normal values; `edit` may change them in place."""

        def make() -> Array:
            rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
            n = math.prod(shape)
            values = rng.standard_normal(min(n, BLOCK), np.float32)
            values *= np.float32(std)
            values += np.float32(mean)
            values = np.resize(values, n).reshape(shape)
            if edit:
                edit(values)
            return values

        self.append((name, shape, make))

    def linear(
        self,
        name: str,
        n_out: int,
        n_in: int,
        *,
        bias: bool = True,
        gain: float = 1.0,
        edit: Callable[[Array], object] | None = None,
    ) -> None:
        """A matrix ``{name}.weight`` and a bias."""
        self.add(f"{name}.weight", (n_out, n_in), gain / math.sqrt(n_in), edit=edit)
        if bias:
            self.add(f"{name}.bias", (n_out,), 0.02)

    def conv(
        self, name: str, n_out: int, n_in: int, kernel: int, *, bias: bool = True, gain: float = 1.0
    ) -> None:
        """A convolution ``[n_out, n_in, kernel]`` and a bias."""
        self.add(f"{name}.weight", (n_out, n_in, kernel), gain / math.sqrt(n_in * kernel))
        if bias:
            self.add(f"{name}.bias", (n_out,), 0.02)

    def transposed(self, name: str, n_in: int, n_out: int, kernel: int, stride: int) -> None:
        """A transposed convolution ``[n_in, n_out, kernel]`` and a bias."""
        self.add(f"{name}.weight", (n_in, n_out, kernel), 1.0 / math.sqrt(n_in * kernel / stride))
        self.add(f"{name}.bias", (n_out,), 0.02)

    def norm(self, name: str, n: int, *, bias: bool = False) -> None:
        """A norm weight around one."""
        self.add(f"{name}.weight", (n,), 0.1, 1.0)
        if bias:
            self.add(f"{name}.bias", (n,), 0.02)

    def snake(self, name: str, n: int) -> None:
        """The logarithms SnakeBeta takes."""
        self.add(f"{name}.alpha", (n,), 0.1)
        self.add(f"{name}.beta", (n,), 0.1, 1.5)

    def codebook(self, name: str, leaf: str, size: int, dim: int) -> None:
        """A codebook as sums of rows and their usage."""
        # The stored sum is rows times usage; a usage of 1..51 keeps the quotient of order 0.5.
        rng = np.random.default_rng([self.seed, zlib.crc32(f"{name}usage".encode())])
        usage = rng.uniform(1, 51, size).astype(np.float32)
        self.append((f"{name}cluster_usage", (size,), lambda: usage))
        self.add(
            f"{name}{leaf}", (size, dim), 0.5, edit=lambda rows: np.multiply(rows, usage[:, None], out=rows)
        )


def _stack(w: Weights, prefix: str, d: Dims, p: str, quiet_row: bool) -> None:
    """Decoder layers; `p` is the prefix of the sizes in `d`. `quiet_row`: nothing is added to channel 0."""
    n_embd, n_ff, head_dim = d[p + "hidden"], d[p + "ff"], d[p + "head_dim"]
    n_q, n_kv = d[p + "heads"] * head_dim, d[p + "kv_heads"] * head_dim

    def silence(rows: Array) -> None:
        rows[0] = 0

    edit = silence if quiet_row else None
    for i in range(d[p + "layers"]):
        b = f"{prefix}.{i}."
        w.norm(b + "input_layernorm", n_embd)
        w.norm(b + "post_attention_layernorm", n_embd)
        w.norm(b + "self_attn.q_norm", head_dim)
        w.norm(b + "self_attn.k_norm", head_dim)
        w.linear(b + "self_attn.q_proj", n_q, n_embd, bias=False)
        w.linear(b + "self_attn.k_proj", n_kv, n_embd, bias=False)
        w.linear(b + "self_attn.v_proj", n_kv, n_embd, bias=False)
        w.linear(b + "self_attn.o_proj", n_embd, n_q, bias=False, gain=0.3, edit=edit)
        w.linear(b + "mlp.gate_proj", n_ff, n_embd, bias=False)
        w.linear(b + "mlp.up_proj", n_ff, n_embd, bias=False)
        w.linear(b + "mlp.down_proj", n_embd, n_ff, bias=False, gain=0.5, edit=edit)


def speech_weights(d: Dims, seed: int, *, eos_id: int, eos_logit: float, with_speaker: bool) -> Weights:
    """Talker, code predictor and, for Base, speaker encoder.

    Hidden channel 0 is a constant: every embedding row and the text projection's bias put the same value
    there and no residual branch writes to it. The head's row for the end id reads that channel alone, so
    `eos_logit` is about the logit the end id always has: -100 never ends, a moderate value ends after some
    random number of frames.
    """
    w, hidden, text = Weights(seed), d["hidden"], d["text_hidden"]
    constant = 0.75

    def zero_row(rows: Array) -> None:
        rows[0] = 0

    def fix_bias(values: Array) -> None:
        values[0] = constant

    def fix_column(rows: Array) -> None:
        rows[:, 0] = constant

    def zero_column(rows: Array) -> None:
        rows[:, 0] = 0

    def end_row(rows: Array) -> None:
        rows[eos_id] = 0
        rows[eos_id, 0] = eos_logit

    def one_first(values: Array) -> None:
        values[0] = 1

    w.add("talker.model.text_embedding.weight", (d["text_vocab"], text), 0.25)
    w.linear("talker.text_projection.linear_fc1", text, text, gain=4)
    w.add("talker.text_projection.linear_fc2.weight", (hidden, text), 1 / math.sqrt(text), edit=zero_row)
    w.add("talker.text_projection.linear_fc2.bias", (hidden,), 0.02, edit=fix_bias)
    n_vocab = d["codebook_size"] + 1024
    w.add("talker.model.codec_embedding.weight", (n_vocab, hidden), 0.25, edit=fix_column)
    w.linear("talker.codec_head", n_vocab, hidden, bias=False, gain=3, edit=end_row)
    _stack(w, "talker.model.layers", d, "", quiet_row=True)
    w.add("talker.model.norm.weight", (hidden,), 0.1, 1.0, edit=one_first)
    cp = "talker.code_predictor."
    _stack(w, cp + "model.layers", d, "cp_", quiet_row=False)
    w.norm(cp + "model.norm", d["cp_hidden"])
    for i in range(d["n_groups"] - 1):
        w.add(f"{cp}model.codec_embedding.{i}.weight", (d["codebook_size"], hidden), 0.25, edit=zero_column)
        w.linear(f"{cp}lm_head.{i}", d["codebook_size"], d["cp_hidden"], bias=False, gain=3)
    if d["cp_hidden"] != hidden:
        w.linear(cp + "small_to_mtp_projection", d["cp_hidden"], hidden)
    if with_speaker:
        _speaker_weights(w, d)
    return w


def _speaker_weights(w: Weights, d: Dims) -> None:
    s, channels, kernels = "speaker_encoder.", d["spk_channels"], d["spk_kernels"]
    scale, se, att = d["spk_scale"], d["spk_se"], d["spk_attention"]
    w.conv(s + "blocks.0.conv", channels[0], d["spk_mels"], kernels[0])
    for i in range(1, len(channels) - 1):
        b, c = f"{s}blocks.{i}.", channels[i]
        w.conv(b + "tdnn1.conv", c, channels[i - 1], 1)
        for j in range(scale - 1):
            w.conv(f"{b}res2net_block.blocks.{j}.conv", c // scale, c // scale, kernels[i])
        w.conv(b + "tdnn2.conv", c, c, 1)
        w.conv(b + "se_block.conv1", se, c, 1)
        w.conv(b + "se_block.conv2", c, se, 1)
    last = channels[-1]
    w.conv(s + "mfa.conv", last, last, kernels[-1])
    w.conv(s + "asp.tdnn.conv", att, 3 * last, 1)
    w.conv(s + "asp.conv", last, att, 1)
    w.conv(s + "fc", d["hidden"], 2 * last, 1)


def codec_weights(d: Dims, seed: int) -> Weights:
    """Codec decoder (prefix ``decoder.``) and encoder (``encoder.``), all that `speech_tokenizer/` holds."""
    w = Weights(seed)
    _decoder_front(w, d)
    _wave_decoder(w, d)
    _encoder(w, d)
    return w


def _decoder_front(w: Weights, d: Dims) -> None:
    book, rvq, latent, n_groups = d["rvq_dim"] // 2, d["rvq_dim"], d["latent"], d["n_groups"]
    for part, n in (("rvq_first", 1), ("rvq_rest", n_groups - 1)):
        q = f"decoder.quantizer.{part}."
        w.conv(q + "input_proj", book, rvq, 1, bias=False)
        w.conv(q + "output_proj", rvq, book, 1, bias=False, gain=1 / math.sqrt(n))
        for i in range(n):
            w.codebook(f"{q}vq.layers.{i}._codebook.", "embedding_sum", d["codebook_size"], book)
    w.conv("decoder.pre_conv.conv", latent, rvq, 3)
    p, n_embd, n_ff = "decoder.pre_transformer.", d["dec_hidden"], d["dec_ff"]
    n_q, n_kv = d["dec_heads"] * d["dec_head_dim"], d["dec_kv_heads"] * d["dec_head_dim"]
    w.linear(p + "input_proj", n_embd, latent)
    w.linear(p + "output_proj", latent, n_embd)
    w.norm(p + "norm", n_embd)
    for i in range(d["dec_layers"]):
        b = f"{p}layers.{i}."
        _layer(w, b, d, n_embd, n_q, n_kv, bias=False)
        w.linear(b + "mlp.gate_proj", n_ff, n_embd, bias=False)
        w.linear(b + "mlp.up_proj", n_ff, n_embd, bias=False)
        w.linear(b + "mlp.down_proj", n_embd, n_ff, bias=False)


def _layer(w: Weights, b: str, d: Dims, n_embd: int, n_q: int, n_kv: int, *, bias: bool) -> None:
    """What the codec's two transformers share: norms, layer scales, attention."""
    w.norm(b + "input_layernorm", n_embd, bias=bias)
    w.norm(b + "post_attention_layernorm", n_embd, bias=bias)
    w.add(b + "self_attn_layer_scale.scale", (n_embd,), 0.2 * d["layer_scale"], d["layer_scale"])
    w.add(b + "mlp_layer_scale.scale", (n_embd,), 0.2 * d["layer_scale"], d["layer_scale"])
    w.linear(b + "self_attn.q_proj", n_q, n_embd, bias=False)
    w.linear(b + "self_attn.k_proj", n_kv, n_embd, bias=False)
    w.linear(b + "self_attn.v_proj", n_kv, n_embd, bias=False)
    w.linear(b + "self_attn.o_proj", n_embd, n_q, bias=False)


def _wave_decoder(w: Weights, d: Dims) -> None:
    latent, dim = d["latent"], d["decoder_dim"]
    for i, ratio in enumerate(d["upsampling_ratios"]):
        u = f"decoder.upsample.{i}."
        w.transposed(u + "0.conv", latent, latent, ratio, ratio)
        w.conv(u + "1.dwconv.conv", latent, 1, 7)
        w.norm(u + "1.norm", latent, bias=True)
        w.linear(u + "1.pwconv1", 4 * latent, latent)
        w.linear(u + "1.pwconv2", latent, 4 * latent)
        w.add(u + "1.gamma", (latent,), 0.02, 0.1)
    w.conv("decoder.decoder.0.conv", dim, latent, 7)
    n_blocks = len(d["upsample_rates"])
    for i, rate in enumerate(d["upsample_rates"]):
        n_in, n_out, b = dim >> i, dim >> (i + 1), f"decoder.decoder.{i + 1}.block."
        w.snake(b + "0", n_in)
        w.transposed(b + "1.conv", n_in, n_out, 2 * rate, rate)
        for j in (2, 3, 4):
            w.snake(f"{b}{j}.act1", n_out)
            w.snake(f"{b}{j}.act2", n_out)
            w.conv(f"{b}{j}.conv1.conv", n_out, n_out, 7, gain=0.7)
            w.conv(f"{b}{j}.conv2.conv", n_out, n_out, 1, gain=0.3)
    w.snake(f"decoder.decoder.{n_blocks + 1}", dim >> n_blocks)
    w.conv(f"decoder.decoder.{n_blocks + 2}.conv", 1, dim >> n_blocks, 7, gain=d["wave_gain"])


def _encoder(w: Weights, d: Dims) -> None:
    e, width, n_embd, compress = "encoder.encoder.layers.", d["enc_filters"], d["enc_hidden"], 2
    w.conv(e + "0.conv", width, 1, 7)
    index = 1
    for ratio in reversed(d["enc_ratios"]):
        for _ in range(d["enc_residuals"]):
            w.conv(f"{e}{index}.block.1.conv", width // compress, width, 3)
            w.conv(f"{e}{index}.block.3.conv", width, width // compress, 1)
            index += 1
        w.conv(f"{e}{index + 1}.conv", 2 * width, width, 2 * ratio)
        width, index = 2 * width, index + 2
    w.conv(f"{e}{index + 1}.conv", n_embd, width, 3)
    w.conv("encoder.downsample.conv", n_embd, n_embd, 4, bias=False)
    n_q, n_kv = d["enc_heads"] * d["enc_head_dim"], d["enc_kv_heads"] * d["enc_head_dim"]
    for i in range(d["enc_layers"]):
        b = f"encoder.encoder_transformer.layers.{i}."
        _layer(w, b, d, n_embd, n_q, n_kv, bias=True)
        w.linear(b + "mlp.fc1", d["enc_ff"], n_embd, bias=False)
        w.linear(b + "mlp.fc2", n_embd, d["enc_ff"], bias=False)
    for part, n in (("semantic", 1), ("acoustic", d["enc_groups"] - 1)):
        q = f"encoder.quantizer.{part}_residual_vector_quantizer."
        w.conv(q + "input_proj", d["enc_book_dim"], n_embd, 1, bias=False)
        w.conv(q + "output_proj", n_embd, d["enc_book_dim"], 1, bias=False)
        for i in range(n):
            w.codebook(f"{q}layers.{i}.codebook.", "embed_sum", d["codebook_size"], d["enc_book_dim"])
            w.add(f"{q}layers.{i}.codebook.initialized", (1,), 0.0, 1.0)
