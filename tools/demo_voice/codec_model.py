"""The codec while it is trained.

official decoder, residual vector quantizer, and an encoder that is not shipped.
"""

import sys
import warnings
from pathlib import Path

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from sizes import CODEC, FRAME, MEL_HOP, PHONES, RATE
from torch import Tensor, nn

warnings.filterwarnings("ignore")
# The official package imports torchaudio, which has no CPU build; nothing of it is used here.
sys.path.append(str(Path(__file__).parents[2] / "tests" / "parity" / "stand_ins"))
from qwen_tts.core.tokenizer_12hz import modeling_qwen3_tts_tokenizer_v2 as official  # noqa: E402
from qwen_tts.core.tokenizer_12hz.configuration_qwen3_tts_tokenizer_v2 import (  # noqa: E402
    Qwen3TTSTokenizerV2DecoderConfig,
)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # of all training
BANDS = 80
MEL_PER_FRAME = FRAME // MEL_HOP  # 8
SLOTS = 2  # phones asked for in one codec frame: one per 40 ms
WIDTH = CODEC["codebook_dim"] // 2  # 64, of the vectors in the codebooks


class Snake(torch.autograd.Function):
    """x + sin(a x)^2 / b with a backward that keeps the input only (the eager one keeps four tensors)."""

    @staticmethod
    def forward(ctx, x, a, b):
        ctx.save_for_backward(x, a, b)
        s = torch.sin(x * a)
        return torch.addcmul(x, s * s, 1 / b)

    @staticmethod
    def backward(ctx, g):
        x, a, b = ctx.saved_tensors
        s, double = torch.sin(x * a), torch.sin(2 * x * a)
        over = 1 / b
        return (
            torch.addcmul(g, g * double, a * over),
            (g * double * x).sum((0, 2), keepdim=True) * over,
            -(g * s * s).sum((0, 2), keepdim=True) * over * over,
        )


def _snake(self: official.SnakeBeta, x: Tensor) -> Tensor:
    return Snake.apply(x, torch.exp(self.alpha)[None, :, None], torch.exp(self.beta)[None, :, None] + 1e-9)


def make_decoder() -> official.Qwen3TTSTokenizerV2Decoder:
    """The official decoder at our sizes.

    Both output projections of the split quantizer are one matrix: a plain RVQ.
    """
    official.SnakeBeta.forward = _snake
    config = Qwen3TTSTokenizerV2DecoderConfig(**CODEC)
    config._attn_implementation = "sdpa"
    decoder = official.Qwen3TTSTokenizerV2Decoder(config)
    for name, parameter in decoder.named_parameters():
        if name.endswith(".gamma"):
            parameter.data.fill_(0.1)  # 1e-6 at first officially: too slow a start for a short training
    decoder.quantizer.rvq_rest.output_proj.weight = decoder.quantizer.rvq_first.output_proj.weight
    return decoder


def rows_50hz(decoder: official.Qwen3TTSTokenizerV2Decoder, quantized: Tensor) -> Tensor:
    """Everything before the wave stack: [B, 64, frames] to [B, latent_dim, 4 frames]."""
    hidden = decoder.quantizer.rvq_first.output_proj(quantized)
    hidden = decoder.pre_conv(hidden).transpose(1, 2)
    hidden = decoder.pre_transformer(inputs_embeds=hidden).last_hidden_state.permute(0, 2, 1)
    for blocks in decoder.upsample:
        for block in blocks:
            hidden = block(hidden)
    return hidden


def wave(decoder: official.Qwen3TTSTokenizerV2Decoder, hidden: Tensor) -> Tensor:
    """The wave stack: [B, latent_dim, 4 frames] to [B, 1, FRAME * frames]."""
    for block in decoder.decoder:
        hidden = block(hidden)
    return hidden


class Mel:
    """Log-mel magnitudes, 100 rows a second, row i around sample (i + 0.5) MEL_HOP."""

    def __init__(self, size: int = 800) -> None:
        self.size, self.window = size, torch.hann_window(size)
        self.filters = torch.tensor(
            librosa.filters.mel(sr=RATE, n_fft=size, n_mels=BANDS, fmin=0, fmax=RATE // 2)
        )

    def __call__(self, samples: Tensor) -> Tensor:  # [B, samples] -> [B, BANDS, samples / MEL_HOP]
        left = (self.size - MEL_HOP) // 2
        padded = F.pad(samples, (left, self.size - MEL_HOP - left))
        spectrum = torch.stft(
            padded, self.size, MEL_HOP, window=self.window, center=False, return_complex=True
        )
        return torch.log((self.filters @ spectrum.abs()).clamp(min=1e-4))


class Residual(nn.Module):
    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.wide = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(F.silu(self.wide(F.silu(x))))


class Encoder(nn.Module):
    """Log-mel at 100 Hz to 64 numbers per codec frame.

    Sees the future; trained with the codec, never shipped.
    """

    def __init__(self, narrow: int = 128, wide: int = 384) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv1d(BANDS, narrow, 5, padding=2), Residual(narrow))
        self.patch = nn.Conv1d(narrow, wide, MEL_PER_FRAME, MEL_PER_FRAME)
        self.coarse = nn.Sequential(*(Residual(wide) for _ in range(4)), nn.SiLU(), nn.Conv1d(wide, WIDTH, 1))
        self.norm = nn.BatchNorm1d(WIDTH, affine=False, momentum=0.05)  # keeps the latent from shrinking

    def forward(self, mel: Tensor) -> Tensor:  # [B, BANDS, 8 frames] -> [B, 64, frames]
        return self.norm(self.coarse(self.patch(self.fine((mel + 4) / 3))))


class Quantizer(nn.Module):
    """Residual vector quantizer, codebooks by exponential moving average."""

    def __init__(self, decay: float = 0.98) -> None:
        super().__init__()
        self.groups, self.size, self.decay = CODEC["num_quantizers"], CODEC["codebook_size"], decay
        self.register_buffer("entries", torch.zeros(self.groups, self.size, WIDTH))
        self.register_buffer("usage", torch.ones(self.groups, self.size))
        self.register_buffer("sums", torch.zeros(self.groups, self.size, WIDTH))

    def start(self, rows: Tensor) -> None:
        """K-means of what is left, group by group."""
        rest = rows.detach()
        for group in range(self.groups):
            centres = rest[torch.randint(len(rest), (self.size,))] + 1e-3 * torch.randn(self.size, WIDTH)
            for _ in range(8):
                nearest = torch.cdist(rest, centres).argmin(1)
                count = torch.bincount(nearest, minlength=self.size).float()
                mean = (
                    torch.zeros(self.size, WIDTH).index_add_(0, nearest, rest) / count.clamp(min=1)[:, None]
                )
                centres = torch.where(count[:, None] > 0, mean, rest[torch.randint(len(rest), (self.size,))])
            self.entries[group], self.sums[group], self.usage[group] = centres, centres, 1
            rest = rest - centres[torch.cdist(rest, centres).argmin(1)]

    def forward(self, latent: Tensor, learn: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantized [B, 64, T] (straight-through), first group alone, codes [B, groups, T], commitment."""
        batch, _, frames = latent.shape
        rows = latent.transpose(1, 2).reshape(-1, WIDTH)
        rest, open_rest = rows.detach(), rows
        total, first, commitment, codes = torch.zeros_like(rest), None, rows.sum() * 0, []
        for group in range(self.groups):
            with torch.no_grad():
                entries = self.entries[group]
                code = (entries.pow(2).sum(1) - 2 * rest @ entries.t()).argmin(1)
                chosen = entries[code]
                if learn:
                    self._learn(group, rest, code)
            commitment = commitment + (open_rest - chosen).pow(2).mean()
            open_rest, rest, total = open_rest - chosen, rest - chosen, total + chosen
            first = total if first is None else first
            codes.append(code)

        def shaped(value: Tensor) -> Tensor:
            return (rows + (value - rows).detach()).view(batch, frames, WIDTH).transpose(1, 2)

        return (
            shaped(total),
            shaped(first),
            torch.stack(codes, 1).view(batch, frames, -1).transpose(1, 2),
            commitment,
        )

    def _learn(self, group: int, rest: Tensor, code: Tensor) -> None:
        count = torch.bincount(code, minlength=self.size).float()
        sums = torch.zeros(self.size, WIDTH).index_add_(0, code, rest)
        self.usage[group].mul_(self.decay).add_(count, alpha=1 - self.decay)
        self.sums[group].mul_(self.decay).add_(sums, alpha=1 - self.decay)
        self.entries[group] = self.sums[group] / self.usage[group].clamp(min=1e-3)[:, None]
        fair = len(rest) / self.size
        dead = self.usage[group] < 0.05 * fair
        if dead.any():
            fresh = rest[torch.randint(len(rest), (int(dead.sum()),))]
            self.entries[group][dead], self.usage[group][dead], self.sums[group][dead] = (
                fresh,
                fair,
                fresh * fair,
            )

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, some first groups, T] to [B, 64, T]."""
        return sum(self.entries[group][codes[:, group]] for group in range(codes.shape[1])).transpose(1, 2)


def put_codebooks(decoder: official.Qwen3TTSTokenizerV2Decoder, quantizer: Quantizer) -> None:
    """The trained codebooks into the official quantizer, which divides sums by usage."""
    layers = [*decoder.quantizer.rvq_first.vq.layers, *decoder.quantizer.rvq_rest.vq.layers]
    for group, layer in enumerate(layers):
        layer._codebook.embedding_sum.data.copy_(quantizer.entries[group])
        layer._codebook.cluster_usage.data.fill_(1.0)


class Phones:
    """The phones of one clip, by time."""

    def __init__(self, phones: list[tuple[str, float]]) -> None:
        names = [name if name in PHONES else "pau" for name, _ in phones]
        self.index = np.array([*(PHONES.index(name) for name in names), 0], np.int64)
        self.ends = np.array([end for _, end in phones])

    def slots(self, frames: int, start: float = 0.0) -> np.ndarray:
        """Index in PHONES in the middle of every 1/SLOTS of a frame from `start` on, (frames * SLOTS,)."""
        middle = start + (np.arange(frames * SLOTS) + 0.5) * (FRAME / RATE / SLOTS)
        return np.where(middle < 0, 0, self.index[np.searchsorted(self.ends, middle)])
