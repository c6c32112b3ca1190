"""The codec decoder against the same network in float64 numpy, stage by stage, and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import codec_toy as toy
import numpy as np
import pytest

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder

HP = toy.Codec()

#: Channels of each tap, and whether a row of its memory is a step (else a row is a channel).
STAGES = {
    "rvq": (HP.rvq_dim, True),
    "pre_conv": (HP.latent_dim, False),
    "transformer": (HP.latent_dim, True),
    **{f"up.{i}.{end}": (HP.latent_dim, False) for i in range(2) for end in ("conv", "out")},
    "conv_in": (HP.decoder_dim, False),
    **{f"wave.{i}.snake": (HP.decoder_dim >> i, False) for i in range(2)},
    **{f"wave.{i}.conv": (HP.decoder_dim >> (i + 1), False) for i in range(2)},
    **{f"wave.{i}.res.{j}": (HP.decoder_dim >> (i + 1), False) for i in range(2) for j in range(3)},
    **{f"wave.{i}.out": (HP.decoder_dim >> (i + 1), False) for i in range(2)},
    "pcm_raw": (1, False),
}


def decoder(path: Path) -> CodecDecoder:
    return CodecDecoder(Model(Device("cpu", 2), path, "codec_decoder"))


def load(tmp_path: Path, hp: toy.Codec = HP, tensors: dict[str, toy.F32] | None = None) -> CodecDecoder:
    return decoder(toy.write(tmp_path / "codec.gguf", hp, tensors or toy.weights(hp)))


def test_every_stage(tmp_path: Path) -> None:
    codes = toy.codes(HP, 8)
    reference = toy.Decoder(HP, toy.weights(HP))
    expected = reference.decode(codes)
    ours = load(tmp_path)
    for stage in STAGES:
        ours.session.tap(stage)
    pcm = ours.decode(codes)
    for stage, (n_channels, rows_are_steps) in STAGES.items():
        flat = ours.session.read_tap(stage)
        tap = flat.reshape(-1, n_channels).T if rows_are_steps else flat.reshape(n_channels, -1)
        wanted = reference.taps[stage]
        error = np.abs(tap - wanted).max() / max(1.0, np.abs(wanted).max())
        assert error < 3e-6, f"{stage}: {error}"
    assert 0.05 < np.abs(expected).mean() < 1.0  # the comparison means something
    np.testing.assert_allclose(pcm, np.clip(expected, -1, 1), rtol=0, atol=3e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"n_semantic": 2, "n_groups": 3},
        {"n_head_kv": 4, "head_dim": 4, "window": 1},
        {"window": 40, "upsampling_ratios": (3,), "upsample_rates": (2, 5, 2)},
        {"residual_dilations": (2,), "residual_kernel": 3, "conv_kernel": 5, "dwconv_kernel": 4},
        {"pre_conv_kernel": 1, "residual_kernel": 1, "conv_kernel": 1, "dwconv_kernel": 1},
        {"latent_dim": 32, "decoder_dim": 64, "n_embd": 32, "rvq_dim": 16, "codebook_dim": 16},
        {"rms_eps": 1e-2, "layer_norm_eps": 1e-2, "rope_theta": 50.0},
    ],
)
def test_every_number_comes_from_the_file(tmp_path: Path, change: dict[str, object]) -> None:
    hp = dataclasses.replace(HP, **change)  # type: ignore[arg-type]
    codes = toy.codes(hp, 21)  # more than the window of most
    expected = toy.Decoder(hp, toy.weights(hp)).decode(codes)
    ours = load(tmp_path, hp)
    assert (ours.hop, ours.n_groups, ours.sample_rate) == (hp.hop, hp.n_groups, hp.sample_rate)
    np.testing.assert_allclose(ours.decode(codes), np.clip(expected, -1, 1), rtol=0, atol=5e-6)


def test_samples_are_clamped(tmp_path: Path) -> None:
    tensors = toy.weights(HP)
    tensors[toy.C + "conv_out.weight"] *= 20
    pcm = load(tmp_path, HP, tensors).decode(toy.codes(HP, 4))
    assert pcm.max() == 1.0
    assert pcm.min() == -1.0


def test_snake_against_double_precision(tmp_path: Path) -> None:
    """A snake's input and output, as a network hands them out: below 1e-7 up to |a x| = 1e4."""
    hp = dataclasses.replace(HP, upsample_rates=(1,), upsampling_ratios=(1,), decoder_dim=64)
    tensors = toy.weights(hp)
    rng = np.random.default_rng(1)
    scale = np.geomspace(1e-3, 1e4, 64)
    tensors[toy.C + "wave.0.snake.a"] = np.ones(64, np.float32)
    tensors[toy.C + "wave.0.snake.b"] = np.ones(64, np.float32)
    tensors[toy.C + "conv_in.weight"] *= 0
    newest = rng.standard_normal((64, hp.latent_dim)) * scale[:, None] / 4
    tensors[toy.C + "conv_in.weight"][:, -1] = newest
    tensors[toy.C + "conv_in.bias"] = (scale * 0.3).astype(np.float32)
    ours = load(tmp_path, hp, tensors)
    ours.session.tap("conv_in")
    ours.session.tap("wave.0.snake")
    worst = 0.0
    for seed in range(40):
        ours.decode(toy.codes(hp, 8, seed))
        x = ours.session.read_tap("conv_in")
        y = ours.session.read_tap("wave.0.snake").astype(np.float64)
        x, y = x[np.abs(x) < 1e4].astype(np.float64), y[np.abs(x) < 1e4]
        expected = x + np.sin(x) ** 2
        rounding = np.spacing(np.abs(expected).astype(np.float32)) / 2  # of the sum, not of the sine
        worst = max(worst, float((np.abs(y - expected) - rounding).max()))
    assert worst < 1e-7


@pytest.mark.parametrize(
    ("codes", "lane", "words"),
    [
        ([[0, 1, 2, 3, 31]], 0, "the code of frame 0, group 4 is 31, expected 0 to 30"),
        ([[0] * 5, [0, -1, 0, 0, 0]], 0, "the code of frame 1, group 1 is -1, expected 0 to 30"),
        ([[0] * 5], 1, "lane 1, expected 0 to 0"),
        ([[0] * 5], -1, "lane -1, expected 0 to 0"),
        ([[0] * 4], 0, r"codes have shape \[1, 4\], expected \[n_frames, 5\]"),
    ],
)
def test_refused_before_anything_runs(tmp_path: Path, codes: list[list[int]], lane: int, words: str) -> None:
    ours = load(tmp_path)
    fresh = ours.decode(toy.codes(HP, 3))
    ours.rewind()
    with pytest.raises(errors.ArgumentError, match=words):
        ours.decode(np.array(codes), lane)
    assert ours.session.n_past() == 0
    np.testing.assert_array_equal(ours.decode(toy.codes(HP, 3)), fresh)


def test_no_frames_are_no_samples(tmp_path: Path) -> None:
    assert load(tmp_path).decode(np.empty((0, HP.n_groups), np.int32)).size == 0


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"hop": 25}, "hop is 25, expected 24, the product of upsample_rates and upsampling_ratios"),
        ({"n_semantic": 5}, "n_semantic is 5, expected less than n_groups, 5"),
        ({"n_head_kv": 3}, "n_head is 4, expected a multiple of n_head_kv, 3"),
        ({"head_dim": 5}, "head_dim is 5, expected an even number"),
        ({"decoder_dim": 30}, "decoder_dim is 30, expected a multiple of 2 to the number of upsample_rates"),
        ({"upsample_rates": (3, 4), "hop": 48}, "wave.1.conv.weight"),
        ({"window": 1 << 20}, "window is 1048576, expected at most 65536"),
        ({"rms_eps": 0.0}, "rms_eps' is 0"),
        ({"window": None}, "window"),
        ({"latent_dim": 25}, "pre_conv.weight"),
    ],
)
def test_files_that_contradict_themselves(tmp_path: Path, overrides: dict[str, object], words: str) -> None:
    hp = dataclasses.replace(HP, overrides=overrides)
    path = toy.write(tmp_path / "codec.gguf", hp, toy.weights(HP))
    with pytest.raises(errors.ModelFormatError, match=words):
        decoder(path)
