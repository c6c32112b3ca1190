"""The codec's fused convolutions against ggml's nodes and float64 numpy, by each variant this CPU runs."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import codec_toy as toy
import numpy as np
import numpy.typing as npt
import pytest

from pyomni._binding import build_about
from pyomni.verify import toy_code2wav

ROOT = Path(__file__).resolve().parents[2]
#: From the plainest to the best; a machine runs all up to its own.
VARIANTS = (
    ("scalar", "avx2", "avx512", "avx512_bf16"),
    ("scalar", "neon", "neon_dotprod", "neon_i8mm"),
)
BEST = build_about()["kernels"]
HERE = next(of[: of.index(BEST) + 1] for of in VARIANTS if BEST in of)

Results = dict[str, npt.NDArray[np.float32]]

#: Channels that fill no panel and no cell, kernels and dilations, strides, rows from one to several blocks.
SHAPES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "odd channels": {"latent_dim": 19, "rvq_dim": 13, "decoder_dim": 36, "n_embd": 11, "n_ff": 17},
    "kernel 1": {"pre_conv_kernel": 1, "residual_kernel": 1, "conv_kernel": 1, "dwconv_kernel": 1},
    "kernel 3": {"residual_kernel": 3, "conv_kernel": 3, "residual_dilations": (9, 1, 3)},
    "kernel 2": {
        "residual_kernel": 2,
        "conv_kernel": 2,
        "residual_dilations": (200,),
        "upsample_rates": (5, 1),
    },
    "several panels": {"latent_dim": 70, "decoder_dim": 200, "upsample_rates": (5, 3), "rvq_dim": 33},
    "one channel at last": {"decoder_dim": 8, "upsample_rates": (2, 1, 3), "upsampling_ratios": (3,)},
    "stride 1": {"upsample_rates": (1, 1), "upsampling_ratios": (1,)},
}
N_FRAMES = 33


def stages(hp: toy.Codec) -> list[str]:
    waves = range(len(hp.upsample_rates))
    parts = ["snake", "conv", *(f"res.{j}" for j in range(len(hp.residual_dilations)))]
    return ["pre_conv", "conv_in", *(f"wave.{i}.{part}" for i in waves for part in parts), "pcm_raw"]


def codec(name: str) -> tuple[toy.Codec, dict[str, toy.F32]]:
    """Return a toy without attention, whose rounding depends on the cut: all else must not."""
    hp = dataclasses.replace(toy.Codec(), **SHAPES[name])
    tensors = toy.weights(hp, seed=len(name))
    for key in tensors:
        if key.endswith("attn_scale.weight"):
            tensors[key] *= 0
    return hp, tensors


def run(folder: Path, jobs: list[dict[str, Any]], *args: str, **env: str) -> Results:
    out = folder / ("-".join([*args, *env.values()]) + ".npz")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "conv_child.py"), str(out), *args],
        input=json.dumps(jobs),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("kernels")
    made = []
    for name in SHAPES:
        hp, tensors = codec(name)
        path = str(toy.write(folder / f"{name}.gguf", hp, tensors))
        job = {
            "path": path,
            "component": "codec_decoder",
            "codes": toy.codes(hp, N_FRAMES).tolist(),
            "threads": 2,
        }
        cuts = {"whole": [N_FRAMES], "ones": [1] * N_FRAMES, "cut": [1, 2, 5, 9, 16], "alone": [N_FRAMES]}
        for way, widths in cuts.items():
            taps = stages(hp) if way == "whole" else []
            threads = 1 if way == "alone" else 2
            made.append(
                {**job, "name": f"{name}/{way}", "widths": widths, "stages": taps, "threads": threads}
            )
    for name in toy_code2wav.CASES:  # whose streams begin with a stride cut off
        codes = toy_code2wav.codes(name)
        job = {
            "path": str(toy_code2wav.gguf(name)),
            "component": "code2wav",
            "codes": codes.tolist(),
            "threads": 2,
        }
        for way, widths in {"whole": [len(codes)], "cut": [1, 2, len(codes) - 3]}.items():
            made.append({**job, "name": f"{name}/{way}", "widths": widths, "stages": []})
    return made


@pytest.fixture(scope="module")
def plain(jobs: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run(tmp_path_factory.mktemp("plain"), jobs, PYOMNI_CPU_FUSED="0")


@pytest.fixture(scope="module", params=HERE)
def ours(request: Any, jobs: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run(tmp_path_factory.mktemp("ours"), jobs, PYOMNI_CPU_VARIANT=request.param)


def test_every_stage_is_that_of_float64(ours: Results) -> None:
    for name in SHAPES:
        hp, tensors = codec(name)
        reference = toy.Decoder(hp, tensors)
        pcm = np.clip(reference.decode(toy.codes(hp, N_FRAMES)), -1, 1)
        for stage in stages(hp):
            expected = reference.taps[stage]
            tap = ours[f"{name}/whole/{stage}"].reshape(expected.shape)
            assert np.abs(tap - expected).max() < 3e-6 * max(1.0, np.abs(expected).max()), (name, stage)
        np.testing.assert_allclose(ours[f"{name}/whole/pcm"], pcm, rtol=0, atol=5e-6, err_msg=name)


def test_ggmls_nodes_say_the_same(ours: Results, plain: Results) -> None:
    assert ours.keys() == plain.keys()
    for key, expected in plain.items():
        limit = 5e-6 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(ours[key], expected, rtol=0, atol=limit, err_msg=key)


def test_no_bit_depends_on_cut_or_threads(ours: Results) -> None:
    for name in SHAPES:
        whole = ours[f"{name}/whole/pcm"]
        assert np.ptp(whole) > 0.01
        for way in ("ones", "cut", "alone"):
            np.testing.assert_array_equal(ours[f"{name}/{way}/pcm"], whole, err_msg=f"{name}, {way}")


def test_late_blocks_in_pieces_give_the_same_bits(tmp_path: Path) -> None:
    hp = dataclasses.replace(toy.Codec(), decoder_dim=384, upsample_rates=(8, 6), residual_dilations=(1, 9))
    tensors = toy.weights(hp)
    for key in tensors:
        if key.endswith("attn_scale.weight"):
            tensors[key] *= 0
    n = 40  # 40 * 192 samples of 96 channels: 3 MB, which is cut where no stage is asked for
    path = str(toy.write(tmp_path / "pieces.gguf", hp, tensors))
    job = {"path": path, "component": "codec_decoder", "codes": toy.codes(hp, n).tolist(), "threads": 2}
    asked = {"whole": ([n], ["conv_in"]), "pieces": ([n], []), "ones": ([1] * n, [])}
    made = [{**job, "name": name, "widths": w, "stages": s} for name, (w, s) in asked.items()]
    pcm = run(tmp_path, made)
    for name in ("pieces", "ones"):
        np.testing.assert_array_equal(pcm[f"{name}/pcm"], pcm["whole/pcm"])


# --- fast -------------------------------------------------------------------------------------------------


def fast_ways() -> dict[str, dict[str, str]]:
    if build_about()["fast"] == "none":
        return {}
    return {"best": {}, "without tiles": {"PYOMNI_CPU_AMX": "0"}}


@pytest.mark.skipif(not fast_ways(), reason="this CPU has no bfloat16 products")
@pytest.mark.parametrize("way", ["best", "without tiles"])
def test_fast_is_near_and_does_not_depend_on_the_cut(
    way: str, jobs: list[dict[str, Any]], tmp_path: Path
) -> None:
    fast = run(tmp_path, jobs, "fast", **fast_ways()[way])
    for name in SHAPES:
        hp, tensors = codec(name)
        expected = np.clip(toy.Decoder(hp, tensors).decode(toy.codes(hp, N_FRAMES)), -1, 1)
        whole = fast[f"{name}/whole/pcm"]
        noise = ((whole - expected) ** 2).sum() / ((expected - expected.mean()) ** 2).sum()
        assert 1e-9 < noise < 1e-3, name  # it is another arithmetic, and near
        for cut in ("ones", "cut", "alone"):
            np.testing.assert_array_equal(fast[f"{name}/{cut}/pcm"], whole, err_msg=f"{name}, {cut}")


@pytest.mark.parametrize("way", ["exact", *fast_ways()])
@pytest.mark.parametrize("gain", [1e-30, 1e6, 1e12])
def test_extreme_inputs_give_numbers(way: str, gain: float, tmp_path: Path) -> None:
    hp = toy.Codec()
    tensors = toy.weights(hp)
    tensors[toy.C + "conv_in.weight"] *= np.float32(gain)
    path = str(toy.write(tmp_path / "extreme.gguf", hp, tensors))
    job = {"path": path, "component": "codec_decoder", "codes": toy.codes(hp, 9).tolist(), "threads": 2}
    args = () if way == "exact" else ("fast",)
    made = run(
        tmp_path, [{**job, "name": "x", "widths": [4, 5], "stages": []}], *args, **fast_ways().get(way, {})
    )
    assert np.isfinite(made["x/pcm"]).all()
    assert np.abs(made["x/pcm"]).max() <= 1.0
