"""Qwen3-Omni folders to GGUF: the files side by side, their values, types and keys; nothing half done."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, dequantize
from safetensors.numpy import load_file, save_file
from tiny_omni import omni_checkpoint

from pyomni import errors
from pyomni.convert import FILE_TYPES, convert, convert_files, encode
from pyomni.convert.json_config import Config
from pyomni.convert.qwen3_omni import OmniArchitecture
from pyomni.convert.random_omni_config import ROLE_IDS, omni_configs
from pyomni.convert.random_omni_weights import omni_weights
from pyomni.convert.random_qwen3_omni import omni_dims
from pyomni.convert.random_text import byte_vocabulary
from pyomni.metadata import Metadata
from pyomni.siblings import SIBLINGS, main_path, sibling_path

Type = GGMLQuantizationType
ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ("thinker", *SIBLINGS["media"], *SIBLINGS["speech"])
# Sizes whose rows are whole K blocks where the real ones are, and are not where those are not.
WIDE = {
    "thinker__hidden": 256, "thinker__expert_ff": 256, "talker__hidden": 256, "talker__expert_ff": 96,
    "talker__shared_ff": 256, "predictor__ff": 256, "code2wav__decoder": 32, "code2wav__hidden": 32,
    "talker__groups": 3, "vision__layers": 3, "vision__deepstack": (0,), "thinker__accept": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return omni_checkpoint(tmp_path_factory.mktemp("omni") / "tiny-omni", n_shards=3, **WIDE)


@pytest.fixture(scope="module")
def files(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    out = tmp_path_factory.mktemp("gguf")
    return {kind: convert_files(folder, out / f"{kind}.gguf", kind) for kind in FILE_TYPES}


@pytest.fixture(scope="module")
def source(folder: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for path in folder.glob("*.safetensors"):
        found |= load_file(path)
    return found


def tensors(paths: list[Path]) -> dict[str, object]:
    return {tensor.name: tensor for path in paths for tensor in GGUFReader(path).tensors}


def values(tensor: object) -> np.ndarray:
    return dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1].tolist())


def test_each_file_holds_its_components(files: dict[str, list[Path]]) -> None:
    main, media, speech = files["f32"]
    assert (main.name, media.name, speech.name) == ("f32.gguf", "f32.media.gguf", "f32.speech.gguf")
    for path, names in ((main, ["thinker"]), (media, SIBLINGS["media"]), (speech, SIBLINGS["speech"])):
        meta = Metadata.read(path)
        assert meta.strings("pyomni.components") == list(names)
        assert {tensor.name.partition(".")[0] for tensor in meta.tensors} == set(names)
        assert meta.str("general.architecture") == "qwen3-omni"
        assert main_path(path) == main
    marks = {Metadata.read(path).str("pyomni.checkpoint") for paths in files.values() for path in paths}
    assert len(marks) == 1  # whatever the type


def test_values_are_the_checkpoints(files: dict[str, list[Path]], source: dict[str, np.ndarray]) -> None:
    found = {name: values(tensor) for name, tensor in tensors(files["f32"]).items()}
    same = {
        "thinker.token_embd.weight": "thinker.model.embed_tokens.weight",
        "thinker.output.weight": "thinker.lm_head.weight",
        "thinker.blk.1.attn_q.weight": "thinker.model.layers.1.self_attn.q_proj.weight",
        "thinker.blk.3.ffn_gate_inp.weight": "thinker.model.layers.3.mlp.gate.weight",
        "talker.blk.0.ffn_up_shexp.weight": "talker.model.layers.0.mlp.shared_expert.up_proj.weight",
        "talker.hidden_proj.fc2.bias": "talker.hidden_projection.linear_fc2.bias",
        "code_predictor.codec_head.1.weight": "talker.code_predictor.lm_head.1.weight",
        "vision_encoder.blk.2.attn_qkv.weight": "thinker.visual.blocks.2.attn.qkv.weight",
        "audio_encoder.blk.1.ffn_up.bias": "thinker.audio_tower.layers.1.fc1.bias",
        "code2wav.code_embd.weight": "code2wav.code_embedding.weight",
    }
    for mine, theirs in same.items():
        np.testing.assert_array_equal(found[mine], source[theirs], err_msg=mine)
    for layer, kind, name in ((2, "thinker", "down"), (1, "talker", "gate")):
        stacked = found[f"{kind}.blk.{layer}.ffn_{name}_exps.weight"]
        for expert, one in enumerate(stacked):
            theirs = f"{kind}.model.layers.{layer}.mlp.experts.{expert}.{name}_proj.weight"
            np.testing.assert_array_equal(one, source[theirs], err_msg=theirs)


# type: bulk, attention and head, embeddings and small networks, codec tables, predictor's ffn_down
POLICY = {
    "f32": (Type.F32, Type.F32, Type.F32, Type.F32, Type.F32),
    "f16": (Type.F16, Type.F16, Type.F16, Type.BF16, Type.BF16),
    "bf16": (Type.BF16,) * 5,
    "q8_0": (Type.Q8_0, Type.Q8_0, Type.Q8_0, Type.BF16, Type.BF16),
    "q6_k": (Type.Q6_K, Type.Q6_K, Type.Q8_0, Type.BF16, Type.BF16),
    "q5_k": (Type.Q5_K, Type.Q6_K, Type.Q8_0, Type.BF16, Type.BF16),
    "q4_k": (Type.Q4_K, Type.Q6_K, Type.Q8_0, Type.BF16, Type.BF16),
    "q4_0": (Type.Q4_0, Type.Q6_K, Type.Q8_0, Type.BF16, Type.BF16),
    "iq4_nl": (Type.IQ4_NL, Type.Q6_K, Type.Q8_0, Type.BF16, Type.BF16),
}
# Talker experts' last matrix has rows of 384, here 96: no K type has such blocks.
SHORT_ROWS = {"q6_k": Type.Q8_0, "q5_k": Type.Q5_1, "q4_k": Type.Q5_0}


@pytest.mark.parametrize("kind", FILE_TYPES)
def test_one_policy_decides_the_types(files: dict[str, list[Path]], kind: str) -> None:
    bulk, matrix, fine, codec, wide = POLICY[kind]
    found = {name: tensor.tensor_type for name, tensor in tensors(files[kind]).items()}
    for name, expected in {
        "thinker.blk.0.ffn_gate_exps.weight": bulk,
        "thinker.blk.0.ffn_down_exps.weight": bulk,
        "thinker.blk.0.attn_q.weight": matrix,
        "thinker.output.weight": matrix,
        "thinker.token_embd.weight": fine,
        "thinker.blk.0.ffn_gate_inp.weight": Type.F32,
        "thinker.blk.0.attn_norm.weight": Type.F32,
        "talker.blk.0.ffn_up_exps.weight": bulk,
        "talker.blk.0.ffn_down_exps.weight": SHORT_ROWS.get(kind, bulk),
        "talker.blk.0.attn_k.weight": fine,
        "talker.blk.0.ffn_up_shexp.weight": fine,
        "talker.blk.0.ffn_gate_inp_shexp.weight": Type.F32,
        "talker.codec_embd.weight": codec,
        "talker.codec_head.weight": codec,
        "code_predictor.codec_head.0.weight": codec,
        "code_predictor.blk.0.ffn_gate.weight": fine,
        "code_predictor.blk.0.ffn_down.weight": wide,
        "vision_encoder.patch_embd.weight": codec,
        "audio_encoder.blk.0.attn_qkv.weight": fine,
        "audio_encoder.conv.1.weight": Type.F32,
        "code2wav.code_embd.weight": Type.F32,
    }.items():
        assert found[name] == expected, name
    # a vision row of 104 fills no block at all
    blocks = kind not in ("f32", "f16", "bf16")
    assert found["vision_encoder.blk.0.ffn_down.weight"] == (Type.F16 if blocks else fine)


def test_stacked_experts_come_last_in_their_component(files: dict[str, list[Path]]) -> None:
    for path in files["q4_k"]:
        names = [tensor.name for tensor in Metadata.read(path).tensors]
        for component in {name.partition(".")[0] for name in names}:
            mine = ["_exps." in name for name in names if name.startswith(f"{component}.")]
            assert mine == sorted(mine)


@pytest.mark.parametrize("kind", ["q8_0", "q6_k", "q5_k", "q4_k"])
def test_quantised_values_are_near(
    files: dict[str, list[Path]], source: dict[str, np.ndarray], kind: str
) -> None:
    found = tensors(files[kind])["thinker.blk.2.ffn_up_exps.weight"]
    original = np.stack([source[f"thinker.model.layers.2.mlp.experts.{e}.up_proj.weight"] for e in range(8)])
    error = values(found) - original
    share = float(np.sqrt((error**2).mean() / (original**2).mean()))
    # a uniform grid over +-2.7 sigma in blocks of 16 or 32; K types measure 0.0066, 0.027, 0.053
    assert 0.001 < share < {"q8_0": 0.008, "q6_k": 0.02, "q5_k": 0.04, "q4_k": 0.08}[kind]


def test_every_key_is_documented(files: dict[str, list[Path]]) -> None:
    docs = (ROOT / "docs" / "gguf.md").read_text(encoding="utf-8")
    for path in files["f32"]:
        for key in Metadata.read(path):
            parts = key.split(".")
            tails = [".".join(parts[i:]) for i in range(1, len(parts))]
            names = [key, *(f".{tail}" for tail in tails), f"<c>.{tails[0]}"]
            assert any(f"`{name}`" in docs for name in names), key


def test_text_keys(files: dict[str, list[Path]], folder: Path) -> None:
    meta = Metadata.read(files["f32"][0])
    tokens = meta.strings("tokenizer.ggml.tokens")
    for key, text in {
        "omni.text.system_id": "system",
        "omni.text.user_id": "user",
        "tts.text.assistant_id": "assistant",
        "tts.text.im_end_id": "<|im_end|>",
        "tts.text.bos_id": "<tts_text_bos>",
        "omni.text.audio_id": "<|audio_pad|>",
        "omni.text.image_id": "<|image_pad|>",
        "omni.text.video_id": "<|video_pad|>",
        "omni.text.vision_end_id": "<|vision_end|>",
        "omni.text.audio_start_id": "<|audio_start|>",
    }.items():
        assert tokens[meta.u32(key)] == text
    assert [tokens[i] for i in meta.ints("omni.text.stop_ids")] == ["<|im_end|>", "<|endoftext|>"]
    template = json.loads((folder / "chat_template.json").read_text(encoding="utf-8"))["chat_template"]
    assert meta.str("tokenizer.chat_template") == template
    assert meta.u32("omni.position_id_per_seconds") == 13
    assert meta.bool("omni.default.do_sample") is False
    assert meta.u32("omni.text.n_tokens") == len(tokens)


def test_rows_without_a_token_are_told(tmp_path: Path) -> None:
    folder = omni_checkpoint(tmp_path / "hf", thinker__vocab=500)
    meta = Metadata.read(convert(folder, tmp_path / "o.gguf"))
    tokens = meta.strings("tokenizer.ggml.tokens")
    n = meta.u32("omni.text.n_tokens")
    assert len(tokens) == 500
    assert tokens[n - 1] == "<|audio_pad|>"
    assert tokens[n] == f"[PAD{n}]"


def test_speech_keys(files: dict[str, list[Path]]) -> None:
    meta = Metadata.read(files["f32"][2])
    assert meta.strings("tts.speakers.names") == ["chelsie", "ethan", "aiden"]
    assert meta.ints("tts.speakers.ids") == [64 + 253, 64 + 254, 64 + 255]
    assert meta.str("tts.default.speaker") == "ethan"
    assert meta.ints("tts.suppress") == [64, 64 + 1024]
    assert meta.u32("tts.codec.eos_id") == 64 + 102
    assert meta.f32("tts.default.predictor_top_p") == pytest.approx(0.8)
    assert meta.u32("tts.default.max_new_tokens") == 4096


@pytest.mark.parametrize("where", ["chat_template.jinja", "tokenizer_config.json"])
def test_the_template_may_lie_elsewhere(tmp_path: Path, where: str) -> None:
    folder = omni_checkpoint(tmp_path / "hf")
    text = json.loads((folder / "chat_template.json").read_text(encoding="utf-8"))["chat_template"]
    (folder / "chat_template.json").unlink()
    with pytest.raises(errors.ModelFileError, match="no chat template"):
        convert(folder, tmp_path / "o.gguf")
    path = folder / where
    if where.endswith("json"):
        text = json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"chat_template": text})
    path.write_text(text, encoding="utf-8")
    assert "im_start" in Metadata.read(convert(folder, tmp_path / "o.gguf")).str("tokenizer.chat_template")


def test_without_speech_there_is_no_speech_file(tmp_path: Path) -> None:
    folder = omni_checkpoint(tmp_path / "hf", audio_output=False)
    written = convert_files(folder, tmp_path / "o.gguf")
    assert [path.name for path in written] == ["o.gguf", "o.media.gguf"]
    assert sorted(path.name for path in tmp_path.glob("*.gguf")) == ["o.gguf", "o.media.gguf"]
    assert Metadata.read(written[0]).u32("thinker.accept_layer") == 0


def test_the_plan_covers_the_released_checkpoint() -> None:
    """All 28,010 tensors and their shapes, from the real sizes, without any weights."""
    dims = omni_dims("30b")
    vocabulary = byte_vocabulary(compact=False, words=(*ROLE_IDS, "ing"), real_ids=ROLE_IDS)
    configs = omni_configs(dims, vocabulary)
    read = [Config(Path(n), configs[n]) for n in ("config.json", "preprocessor_config.json")]
    model = OmniArchitecture.read(*read)
    planned = [tensor for name in model.components for tensor in model.tensors(name)]
    wanted = {source.name: source.shape for tensor in planned for source in tensor.sources}
    assert wanted == {name: shape for name, shape, _ in omni_weights(dims, 0, never=())}
    assert len(wanted) == 28_010
    assert sum(prod(shape) for shape in wanted.values()) == 35_259_818_545
    assert len({tensor.name for tensor in planned}) == len(planned)
    assert max(len(tensor.name) for tensor in planned) < 64  # GGML_MAX_NAME
    # a relayout takes its tensor into memory whole: none may be large
    assert max(tensor.n_elements for tensor in planned if tensor.build) < 50e6


def edit(folder: Path, file: str, change: Mapping[str, object]) -> None:
    weights = load_file(folder / file)
    for name, value in change.items():
        if value is None:
            weights.pop(name)
        else:
            weights[name] = value
    save_file(weights, folder / file)


EXPERT = "thinker.model.layers.1.mlp.experts.5.up_proj.weight"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (EXPERT, None, ("is missing", "[32, 64]")),
        (EXPERT, np.zeros((32, 63), np.float32), ("[32, 63]", "[32, 64]")),
        ("thinker.model.layers.9.input_layernorm.weight", np.zeros(4, np.float32), ("found, expected only",)),
        (EXPERT, np.full((32, 64), np.nan, np.float32), ("finite",)),
    ],
)
@pytest.mark.parametrize("kind", ["f32", "q4_k"])
def test_a_tensor_that_is_wrong_is_named_and_nothing_is_written(
    tmp_path: Path, name: str, value: object, words: tuple[str, ...], kind: str
) -> None:
    folder = omni_checkpoint(tmp_path / "hf")
    edit(folder, "model.safetensors", {name: value})
    with pytest.raises(errors.ModelFormatError) as caught:
        convert(folder, tmp_path / "o.gguf", kind)
    assert all(word in str(caught.value) for word in (name, *words))
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_an_interrupt_in_the_last_file_leaves_what_was_there(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.gguf"
    before = {path: path.name.encode() for path in (out, *(sibling_path(out, name) for name in SIBLINGS))}
    for path, text in before.items():
        path.write_bytes(text)

    def progress(name: str, done: int, total: int) -> None:
        if name.startswith("code2wav."):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(folder, out, "q8_0", progress)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["x.media.gguf", "x.speech.gguf", "x.bin"])
def test_a_name_that_has_no_siblings_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.ArgumentError, match=r"NAME\.media\.gguf"):
        convert(folder, tmp_path / name)


@pytest.mark.parametrize(
    ("network", "key", "value", "words"),
    [
        ("code2wav_config", "num_quantizers", 5, "num_code_groups"),
        ("code2wav_config", "codebook_size", 32, "code2wav"),
        ("talker_config", "thinker_hidden_size", 64, "thinker's hidden_size"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    folder: Path, tmp_path: Path, network: str, key: str, value: int, words: str
) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config[network][key] = value
    preprocessor = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    with pytest.raises(errors.ModelFormatError, match=words):
        OmniArchitecture.read(
            Config(tmp_path / "config.json", config), Config(tmp_path / "p.json", preprocessor)
        )


def test_where_nothing_was_compiled_only_k_types_are_missing(
    folder: Path, files: dict[str, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "_native", lambda: None)
    written = convert_files(folder, tmp_path / "q8_0.gguf", "q8_0")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in files["q8_0"]]
    with pytest.raises(errors.UnsupportedModel, match=r"type q._k needs pyomni's compiled module"):
        convert(folder, tmp_path / "q4_k.gguf", "q4_k")


def test_progress_counts_all_files(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    written = convert_files(folder, tmp_path / "o.gguf", "q4_k", lambda *step: seen.append(step))
    assert [name for name, _, _ in seen] == list(tensors(written))
    assert seen[-1][1] == seen[-1][2] == sum(int(t.n_bytes) for t in tensors(written).values())


def test_memory_stays_far_below_the_weights(tmp_path: Path) -> None:
    # 100 MB of experts as float32
    folder = omni_checkpoint(
        tmp_path / "hf", dtype="bf16", thinker__expert_ff=1024, thinker__experts=32, thinker__hidden=64
    )
    convert(folder, tmp_path / "warm.gguf", "bf16")
    tracemalloc.start()
    convert(folder, tmp_path / "o.gguf", "bf16")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6
