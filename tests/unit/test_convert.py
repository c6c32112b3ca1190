"""Checkpoint folder to GGUF: every value, type, count and key, against independent readers."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken import header_of, rewrite
from gguf import GGMLQuantizationType, GGUFReader, dequantize
from safetensors.numpy import load_file, save_file
from tiny import tiny_checkpoint

from pyomni.convert import convert
from pyomni.convert.floats import bf16_to_f32, f32_to_bf16
from pyomni.convert.json_config import Config
from pyomni.convert.qwen3_tts import Architecture
from pyomni.convert.random_config import codec_config, speech_config
from pyomni.convert.random_sizes import checkpoint_dims
from pyomni.convert.random_text import byte_vocabulary
from pyomni.convert.safetensors_file import Checkpoint

F32, F16, BF16, Q8_0 = (GGMLQuantizationType[name] for name in ("F32", "F16", "BF16", "Q8_0"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Base checkpoint, which has every component; the predictor is narrower, so it has a projection."""
    out = tmp_path_factory.mktemp("convert") / "tiny-base"
    speaker = {"spk_channels": (8, 8, 8, 16), "spk_kernels": (5, 3, 3, 1), "spk_dilations": (1, 2, 3, 1)}
    return tiny_checkpoint(out, "base", cp_hidden=32, enc_residuals=2, n_groups=6, **speaker)


@pytest.fixture(scope="module")
def source(folder: Path) -> dict[str, np.ndarray]:
    """The checkpoint's tensors, by the safetensors library."""
    return {
        **load_file(folder / "model.safetensors"),
        **load_file(folder / "speech_tokenizer/model.safetensors"),
    }


@pytest.fixture(scope="module")
def files(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("gguf")
    return {kind: convert(folder, out / f"{kind}.gguf", kind) for kind in ("f32", "f16", "bf16", "q8_0")}


def tensors(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in GGUFReader(path).tensors}


def values(tensor: Any) -> np.ndarray:
    """A GGUF tensor as float32 in PyTorch's axis order."""
    return dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])


def book(source: dict[str, np.ndarray], prefix: str, leaf: str) -> np.ndarray:
    return source[prefix + leaf] / np.maximum(source[prefix + "cluster_usage"], 1e-5)[:, None]


def test_copies_keep_every_value(files: dict[str, Path], source: dict[str, np.ndarray]) -> None:
    found = tensors(files["f32"])
    layer, predictor = "talker.model.layers.1.", "talker.code_predictor."
    codec, encoder = "decoder.pre_transformer.layers.0.", "encoder.encoder_transformer.layers.1."
    pairs = {
        "talker.text_embd.weight": "talker.model.text_embedding.weight",
        "talker.text_proj.fc2.bias": "talker.text_projection.linear_fc2.bias",
        "talker.codec_head.weight": "talker.codec_head.weight",
        "talker.blk.1.attn_norm.weight": layer + "input_layernorm.weight",
        "talker.blk.1.ffn_norm.weight": layer + "post_attention_layernorm.weight",
        "talker.blk.1.attn_k_norm.weight": layer + "self_attn.k_norm.weight",
        "talker.blk.1.attn_output.weight": layer + "self_attn.o_proj.weight",
        "talker.blk.1.ffn_down.weight": layer + "mlp.down_proj.weight",
        "talker.output_norm.weight": "talker.model.norm.weight",
        "code_predictor.codec_embd.4.weight": predictor + "model.codec_embedding.4.weight",
        "code_predictor.codec_head.0.weight": predictor + "lm_head.0.weight",
        "code_predictor.input_proj.weight": predictor + "small_to_mtp_projection.weight",
        "code_predictor.blk.0.ffn_gate.weight": predictor + "model.layers.0.mlp.gate_proj.weight",
        "codec_decoder.pre_conv.weight": "decoder.pre_conv.conv.weight",
        "codec_decoder.blk.0.attn_scale.weight": codec + "self_attn_layer_scale.scale",
        "codec_decoder.blk.0.ffn_scale.weight": codec + "mlp_layer_scale.scale",
        "codec_decoder.up.1.gamma.weight": "decoder.upsample.1.1.gamma",
        "codec_decoder.up.0.pw1.weight": "decoder.upsample.0.1.pwconv1.weight",
        "codec_decoder.wave.2.res.1.conv1.weight": "decoder.decoder.3.block.3.conv1.conv.weight",
        "codec_decoder.conv_out.bias": "decoder.decoder.6.conv.bias",
        "codec_encoder.conv_in.weight": "encoder.encoder.layers.0.conv.weight",
        # with two residual blocks a stage takes four indices: block, block, ELU, strided convolution
        "codec_encoder.seanet.1.res.1.conv1.weight": "encoder.encoder.layers.6.block.1.conv.weight",
        "codec_encoder.seanet.1.conv.weight": "encoder.encoder.layers.8.conv.weight",
        "codec_encoder.conv_out.weight": "encoder.encoder.layers.18.conv.weight",
        "codec_encoder.blk.1.attn_norm.bias": encoder + "input_layernorm.bias",
        "codec_encoder.blk.1.ffn_up.weight": encoder + "mlp.fc1.weight",
        "codec_encoder.downsample.weight": "encoder.downsample.conv.weight",
        "speaker_encoder.blk.0.conv.weight": "speaker_encoder.blocks.0.conv.weight",
        "speaker_encoder.blk.2.res2net.1.bias": "speaker_encoder.blocks.2.res2net_block.blocks.1.conv.bias",
    }
    for name, original in pairs.items():
        assert found[name].tensor_type == F32, name
        expected = source[original]
        if expected.ndim == 3:  # a convolution: [OC, IC, K] lies as [OC, K, IC]
            expected = expected.transpose(0, 2, 1)
        np.testing.assert_array_equal(values(found[name]), expected, err_msg=name)


def test_relayouts(files: dict[str, Path], source: dict[str, np.ndarray]) -> None:
    found = {name: values(tensor) for name, tensor in tensors(files["f32"]).items()}
    acoustic = "encoder.quantizer.acoustic_residual_vector_quantizer."
    squeezed = {
        "codec_decoder.first_proj.weight": "decoder.quantizer.rvq_first.output_proj.weight",
        "codec_decoder.wave.0.res.2.conv2.weight": "decoder.decoder.1.block.4.conv2.conv.weight",
        "codec_encoder.seanet.0.res.0.conv2.weight": "encoder.encoder.layers.1.block.3.conv.weight",
        "codec_encoder.rest_proj.weight": acoustic + "input_proj.weight",
        "speaker_encoder.asp.tdnn.weight": "speaker_encoder.asp.tdnn.conv.weight",
    }
    for name, original in squeezed.items():
        np.testing.assert_array_equal(found[name], source[original][:, :, 0], err_msg=name)
    np.testing.assert_array_equal(
        found["codec_decoder.up.0.dwconv.weight"], source["decoder.upsample.0.1.dwconv.conv.weight"][:, 0].T
    )
    for name, original in (("up.1.conv", "upsample.1.0.conv"), ("wave.1.conv", "decoder.2.block.1.conv")):
        weight = source[f"decoder.{original}.weight"]  # [IC, OC, K]
        n_in, n_out, kernel = weight.shape
        rows = found[f"codec_decoder.{name}.weight"]
        assert rows.shape == (n_out * kernel, n_in)
        for channel, tap in ((0, 0), (n_out - 1, kernel - 1), (1, kernel - 1)):
            np.testing.assert_array_equal(rows[tap * n_out + channel], weight[:, channel, tap])
    for name, original in (("wave.0.snake", "decoder.1.block.0"), ("snake_out", "decoder.5")):
        alpha, beta = (source[f"decoder.{original}.{leaf}"].astype(np.float64) for leaf in ("alpha", "beta"))
        np.testing.assert_allclose(found[f"codec_decoder.{name}.a"], np.exp(alpha), rtol=3e-7)
        np.testing.assert_allclose(found[f"codec_decoder.{name}.b"], 1 / (np.exp(beta) + 1e-9), rtol=3e-7)


def test_codebooks_are_divided_and_the_semantic_one_comes_first(
    files: dict[str, Path], source: dict[str, np.ndarray]
) -> None:
    found = {name: values(tensor) for name, tensor in tensors(files["f32"]).items()}
    for k, part in ((0, "rvq_first.vq.layers.0"), (1, "rvq_rest.vq.layers.0"), (5, "rvq_rest.vq.layers.4")):
        expected = book(source, f"decoder.quantizer.{part}._codebook.", "embedding_sum")
        np.testing.assert_array_equal(found[f"codec_decoder.book.{k}.weight"], expected)
    q = "encoder.quantizer.{}_residual_vector_quantizer.layers.{}.codebook."
    for k, part in ((0, ("semantic", 0)), (5, ("acoustic", 4))):
        expected = book(source, q.format(*part), "embed_sum")
        np.testing.assert_array_equal(found[f"codec_encoder.book.{k}.weight"], expected)
        lengths = (expected.astype(np.float64) ** 2).sum(axis=1)
        np.testing.assert_allclose(found[f"codec_encoder.book.{k}.sqlen"], lengths, rtol=1e-6)
    assert "codec_encoder.book.6.weight" not in found  # stored, but beyond encoder_valid_num_quantizers


def test_unused_codewords_do_not_divide_by_zero(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "hf")
    name = "decoder.quantizer.rvq_first.vq.layers.0._codebook."
    path = folder / "speech_tokenizer/model.safetensors"
    header, data = header_of(path)
    begin, end = header[name + "cluster_usage"]["data_offsets"]
    rewrite(path, lambda _: None, data[:begin] + bytes(end - begin) + data[end:])
    rows = values(tensors(convert(folder, tmp_path / "o.gguf", "f32"))["codec_decoder.book.0.weight"])
    np.testing.assert_array_equal(rows, load_file(path)[name + "embedding_sum"] / np.float32(1e-5))


@pytest.mark.parametrize(
    ("kind", "matrix", "wide"),
    [("f32", F32, F32), ("f16", F16, BF16), ("bf16", BF16, BF16), ("q8_0", Q8_0, BF16)],
)
def test_one_policy_decides_the_types(files: dict[str, Path], kind: str, matrix: Any, wide: Any) -> None:
    for name, tensor in tensors(files[kind]).items():
        language_model = name.startswith(("talker.", "code_predictor."))
        if not language_model or len(tensor.shape) == 1:
            expected = F32
        elif name.startswith("code_predictor.") and "ffn_down" in name:
            expected = wide
        else:
            expected = matrix
        assert tensor.tensor_type == expected, name


def test_rows_that_are_not_whole_blocks_stay_f16(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "hf", ff=72)
    found = tensors(convert(folder, tmp_path / "o.gguf", "q8_0"))
    assert found["talker.blk.0.ffn_down.weight"].tensor_type == F16  # rows of 72
    assert found["talker.blk.0.ffn_up.weight"].tensor_type == Q8_0  # rows of 64


@pytest.mark.parametrize(("kind", "bound"), [("f16", 2**-11), ("bf16", 2**-8), ("q8_0", None)])
def test_rounding_stays_within_the_types_bounds(
    files: dict[str, Path], source: dict[str, np.ndarray], kind: str, bound: float | None
) -> None:
    original = source["talker.model.codec_embedding.weight"]
    found = values(tensors(files[kind])["talker.codec_embd.weight"])
    assert found.shape == original.shape
    if bound is None:  # half a step of the block's scale, itself rounded to half precision
        blocks = np.abs(original.reshape(-1, 32)).max(axis=1, keepdims=True) / 127
        error = np.abs(found - original).reshape(-1, 32)
        assert (error <= blocks * 0.5 * 1.01 + 127 * blocks * 2**-11).all()
    else:
        assert (np.abs(found - original) <= np.abs(original) * bound + 1e-7).all()
    assert not np.array_equal(found, original)


def test_bfloat16_to_bfloat16_keeps_every_bit(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "hf", dtype="bf16")
    stored = Checkpoint(folder)["talker.model.text_embedding.weight"]
    assert stored.dtype == "BF16"
    found = tensors(convert(folder, tmp_path / "o.gguf", "bf16"))["talker.text_embd.weight"]
    assert found.data.tobytes() == stored.raw(0, prod(stored.shape)).tobytes()
    wide = tensors(convert(folder, tmp_path / "w.gguf", "f32"))["talker.text_embd.weight"]
    np.testing.assert_array_equal(values(wide), values(found))


def test_half_precision_source(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "hf")
    path = folder / "model.safetensors"
    weights = {name: value.astype(np.float16) for name, value in load_file(path).items()}
    save_file(weights, path)
    found = tensors(convert(folder, tmp_path / "o.gguf", "f16"))["talker.codec_head.weight"]
    np.testing.assert_array_equal(found.data, weights["talker.codec_head.weight"])


def test_bfloat16_rounds_to_nearest_even() -> None:
    exact = np.array([0x3F80, 0xC2F7, 0x0000, 0x8000, 0x7F7F, 0x0001], np.uint16)
    np.testing.assert_array_equal(f32_to_bf16(bf16_to_f32(exact)), exact)
    halves = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF], np.uint32).view(np.float32)
    np.testing.assert_array_equal(f32_to_bf16(halves), [0x3F80, 0x3F82, 0x3F81, 0x3F80])


def test_shards_give_the_same_file(folder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    sharded = tmp_path / folder.name
    shutil.copytree(folder, sharded)
    weights = load_file(sharded / "model.safetensors")
    (sharded / "model.safetensors").unlink()
    names, weight_map = sorted(weights), {}
    for i, part in enumerate((names[::2], names[1::2])):
        file = f"model-0000{i + 1}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, sharded / file)
        weight_map.update(dict.fromkeys(part, file))
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert convert(sharded, tmp_path / "o.gguf", "f32").read_bytes() == files["f32"].read_bytes()


@pytest.mark.parametrize(
    ("scale", "kind", "n_tensors", "n_parameters"),
    [
        ("0.6b", "custom_voice", 402, 905_788_672),
        ("0.6b", "base", 478, 914_643_008),
        ("1.7b", "custom_voice", 404, 1_916_676_352),
        ("1.7b", "voice_design", 404, 1_916_676_352),
        ("1.7b", "base", 480, 1_928_677_440),
    ],
)
def test_the_list_covers_the_released_checkpoints(
    scale: str, kind: str, n_tensors: int, n_parameters: int
) -> None:
    """Counts published for the real checkpoints, from the real sizes, without any weights."""
    dims = checkpoint_dims(scale)
    config = Config(Path("config.json"), speech_config(dims, kind, byte_vocabulary(compact=False)))
    model = Architecture.read(config, Config(Path("codec.json"), codec_config(dims)))
    wanted = {source.name: source.shape for planned in model.speech_plan() for source in planned.sources}
    assert len(wanted) == n_tensors
    assert sum(prod(shape) for shape in wanted.values()) == n_parameters
    codec = {source.name for planned in model.codec_plan() for source in planned.sources}
    assert len(codec | set(model.codec_unused())) == 496
    assert not codec & set(model.codec_unused())
    plan = model.speech_plan() + model.codec_plan()
    assert len({planned.name for planned in plan}) == len(plan)
    assert max(len(planned.name) for planned in plan) < 64  # GGML_MAX_NAME


def test_a_released_codec_has_the_published_number_of_parameters() -> None:
    from pyomni.convert.random_weights import codec_weights

    weights = codec_weights(checkpoint_dims("0.6b"), seed=0)
    assert len(weights) == 496
    assert sum(prod(shape) for _, shape, _ in weights) == 170_557_441


def test_progress_counts_bytes_to_the_end(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    out = convert(folder, tmp_path / "o.gguf", "q8_0", lambda *step: seen.append(step))
    assert [name for name, _, _ in seen] == list(tensors(out))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1][1] == seen[-1][2] == sum(int(t.n_bytes) for t in tensors(out).values())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.gguf"]


def test_memory_stays_far_below_the_weights(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "hf", text_hidden=2048, text_vocab=10000)  # 100 MB as float32
    tracemalloc.start()
    convert(folder, tmp_path / "o.gguf", "bf16")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6
