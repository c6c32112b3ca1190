"""The policy table: what `convert` and `quantize` write is what it says, and the page prints it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_checkpoint, tiny_gguf
from tiny_omni import omni_checkpoint, omni_gguf

from pyomni.convert import FILE_TYPES, convert_files
from pyomni.convert.docs import markdown
from pyomni.convert.policy import FREE, RULES, SMALLER_BLOCKS, Role, role_of, tensor_type
from pyomni.errors import ArgumentError
from pyomni.metadata import Metadata
from pyomni.quantize import quantize_files

# rows of whole K blocks, of whole small blocks alone (96, 288) and of neither (72)
SPEECH = {"hidden": 256, "ff": 288, "cp_hidden": 32, "cp_ff": 72}
OMNI = {"thinker__hidden": 256, "thinker__expert_ff": 256, "talker__hidden": 256, "talker__expert_ff": 96}
# what a checkpoint may have and the toys do not: a projection, an expert that every token of text takes
OPTIONAL = {("qwen3-omni", "code_predictor", "input_proj.weight")} | {
    ("qwen3-omni", "thinker", f"blk.*.ffn_{part}_shexp.weight") for part in ("gate", "up", "down")
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Checkpoints and their f32 files."""
    out = tmp_path_factory.mktemp("policy")
    speech, omni = tiny_checkpoint(out / "speech", "base", **SPEECH), omni_checkpoint(out / "omni", **OMNI)
    files = {}
    for folder in (speech, omni):
        path = out / f"{folder.name}-f32.gguf"
        convert_files(folder, path, "f32")
        files[folder.name] = folder, path
    return files


@pytest.mark.parametrize("model", ["speech", "omni"])
@pytest.mark.parametrize("kind", FILE_TYPES)
def test_convert_and_quantize_write_the_same_bytes(
    sources: dict[str, tuple[Path, Path]], tmp_path: Path, model: str, kind: str
) -> None:
    folder, f32 = sources[model]
    (tmp_path / "convert").mkdir()
    (tmp_path / "quantize").mkdir()
    converted = convert_files(folder, tmp_path / "convert" / "m.gguf", kind)
    quantised = quantize_files(f32, tmp_path / "quantize" / "m.gguf", kind)
    assert [path.name for path in quantised] == [path.name for path in converted]
    for ours, theirs in zip(quantised, converted, strict=True):
        assert ours.read_bytes() == theirs.read_bytes(), ours.name
        m = Metadata.read(ours)
        arch = m.str("general.architecture")
        for info in m.tensors:
            expected = tensor_type(arch, info.name, info.shape[::-1], kind)
            assert info.type == expected.name.lower(), info.name
        assert m.u32("general.file_type") == FILE_TYPES[kind].number
        assert m.str("pyomni.type") == kind


def test_a_bf16_file_of_a_bf16_checkpoint_is_as_good_a_source(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "hf", dtype="bf16", **SPEECH)
    [bf16] = convert_files(folder, tmp_path / "bf16.gguf", "bf16")
    [expected] = convert_files(folder, tmp_path / "expected.gguf", "q4_k")
    [found] = quantize_files(bf16, tmp_path / "found.gguf", "q4_k")
    assert found.read_bytes() == expected.read_bytes()


def test_every_rule_is_about_tensors_that_are_there(sources: dict[str, tuple[Path, Path]]) -> None:
    for arch, model in (("qwen3-tts", "speech"), ("qwen3-omni", "omni")):
        path = sources[model][1]
        files = [path, *path.parent.glob(f"{path.stem}.*.gguf")]
        names = [info.name for file in files for info in Metadata.read(file).tensors]
        for component, role, patterns in RULES[arch]:
            for pattern in patterns:
                if (arch, component, pattern) in OPTIONAL:
                    continue
                prefix, _, rest = f"{component}.{pattern}".partition("*")
                fits = [one for one in names if one.startswith(prefix) and one.endswith(rest)]
                assert fits, (arch, component, pattern)
                assert {role_of(arch, one) for one in fits} == {role}, (arch, component, pattern)


def test_what_must_stay_exact_does() -> None:
    exact = {
        "qwen3-tts": (
            "talker.blk.0.attn_norm.weight",
            "codec_decoder.book.0.weight",
            "codec_decoder.blk.0.attn_q.weight",
        ),
        "qwen3-omni": (
            "thinker.blk.0.ffn_gate_inp.weight",
            "code2wav.code_embd.weight",
            "audio_encoder.conv.0.weight",
        ),
    }
    for arch, names in exact.items():
        for name in names:
            assert role_of(arch, name) is Role.FLOAT
            assert {tensor_type(arch, name, (4, 256), kind).name for kind in FILE_TYPES} == {"F32"}
    wide = "code_predictor.blk.0.ffn_down.weight"  # f16 would end in garbage
    assert all(
        tensor_type(arch, wide, (4, 256), kind).name in ("F32", "BF16")
        for arch in RULES
        for kind in FILE_TYPES
    )


def test_matrices_are_given_other_types_by_name(tmp_path: Path) -> None:
    source = tiny_gguf(tmp_path / "f32.gguf", hidden=256, ff=256, cp_hidden=256, cp_ff=256)
    given = [("code_predictor.*", "q4_k"), ("code_predictor.*.attn_*", "f16"), ("*.blk.0.ffn_down.*", "f16")]
    [path] = quantize_files(source, tmp_path / "m.gguf", "q8_0", tensor_types=given)
    m = Metadata.read(path)
    assert list(m["quantize.tensor_types"]) == [f"{names}={kind}" for names, kind in given]
    found = {info.name: info.type for info in m.tensors}
    assert found["code_predictor.blk.1.ffn_up.weight"] == "q4_k"
    assert found["code_predictor.blk.1.ffn_down.weight"] == "q4_k"
    assert found["code_predictor.blk.0.attn_q.weight"] == "f16"
    assert found["talker.blk.0.ffn_down.weight"] == "f16"
    assert found["code_predictor.blk.0.ffn_down.weight"] == "bf16"  # never f16
    # what is looked up or stays f32, and what no pattern fits, is the policy's
    for info in m.tensors:
        if role_of("qwen3-tts", info.name) not in FREE or info.name.startswith("talker.blk.1."):
            expected = tensor_type("qwen3-tts", info.name, info.shape[::-1], "q8_0")
            assert info.type == expected.name.lower(), info.name
    [again] = quantize_files(path, tmp_path / "again.gguf", "q8_0", allow_requantize=True)
    assert "quantize.tensor_types" not in Metadata.read(again)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("code_predictor.*", "q3"), "type 'q3' is unknown"),
        (("codec_predictor.*", "q8_0"), "'codec_predictor.\\*' fits no matrix .*expected names such as"),
        (("codec_decoder.*", "q8_0"), "fits no matrix"),
        (("talker.text_embd.weight", "q8_0"), "fits no matrix"),
    ],
)
def test_names_and_types_that_cannot_be(
    sources: dict[str, tuple[Path, Path]], tmp_path: Path, given: tuple[str, str], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        quantize_files(sources["speech"][1], tmp_path / "m.gguf", "q8_0", tensor_types=[given])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [kind for kind in FILE_TYPES if kind not in ("f32", "f16", "bf16")])
def test_rows_that_are_not_whole_blocks(kind: str) -> None:
    bulk = "talker.blk.0.ffn_down.weight"
    of_type = {width: tensor_type("qwen3-tts", bulk, (8, width), kind) for width in (256, 96, 72)}
    whole = FILE_TYPES[kind].kinds[Role.BULK]
    assert of_type[256] is whole
    assert of_type[96] is SMALLER_BLOCKS.get(whole, whole)
    assert of_type[72].name == "F16"
    wide = tensor_type("qwen3-tts", "code_predictor.blk.0.ffn_down.weight", (8, 72), "q8_0", [("*", kind)])
    assert wide.name == "BF16"


def test_the_page_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "quantize.md"
    assert page.read_text(encoding="utf-8") == markdown(), (
        "run: python -m pyomni.convert.docs > docs/quantize.md"
    )


def test_files_of_quantize_are_read_by_their_own_metadata(tmp_path: Path) -> None:
    """The header of an omni model names its siblings as of one checkpoint."""
    from pyomni.metadata import read_omni

    source = omni_gguf(tmp_path / "o.gguf", "bf16", **OMNI)
    quantize_files(source, tmp_path / "q.gguf", "q4_0")
    found = read_omni(tmp_path / "q.gguf")
    found.require("talker")
    found.require("audio_encoder")
    speech = tiny_gguf(tmp_path / "s.gguf", "bf16")
    assert quantize_files(speech, tmp_path / "sq.gguf", "iq4_nl") == [tmp_path / "sq.gguf"]
