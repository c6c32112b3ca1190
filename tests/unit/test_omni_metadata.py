"""An Omni model's headers: one value out of several files, and errors only where a file is needed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from gguf import GGUFReader
from tiny_omni import omni_gguf

from pyomni import errors
from pyomni.cli.main import main
from pyomni.metadata import Metadata, OmniMetadata, SpeechMetadata, read_model
from pyomni.siblings import sibling_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return omni_gguf(tmp_path_factory.mktemp("omni") / "o.gguf", "q8_0")


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    for path in whole.parent.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / whole.name


def test_one_value_out_of_three_files(whole: Path) -> None:
    meta = read_model(whole)
    assert isinstance(meta, OmniMetadata)
    assert meta.components == (
        "thinker", "audio_encoder", "vision_encoder", "talker", "code_predictor", "code2wav",
    )  # fmt: skip
    assert meta.where["code2wav"] == sibling_path(whole, "speech")
    assert meta.where["vision_encoder"].name == "o.media.gguf"
    assert not meta.problems
    meta.require(*meta.components)
    tokens = meta.meta.strings("tokenizer.ggml.tokens")
    assert tokens[meta.user_id] == "user"
    assert meta.media is not None
    assert tokens[meta.media.video] == "<|video_pad|>"
    assert tokens[meta.stop_ids[0]] == "<|im_end|>"
    assert meta.n_vocab == len(tokens)
    assert meta.speaks
    assert meta.positions_per_second == 13
    assert meta.defaults == {
        "do_sample": False, "temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0, "top_k": 50,
        "max_new_tokens": 1024,
    }  # fmt: skip
    assert meta.tokenizer().encode("user") == [meta.user_id]


def test_the_speech_side(whole: Path) -> None:
    meta = OmniMetadata.read(whole)
    side = meta.speech
    assert side.speakers == {"chelsie": 317, "ethan": 318, "aiden": 319}
    assert side.default_speaker == "ethan"
    assert side.bridge.im_start == meta.im_start_id
    assert side.bridge.text_eos == meta.text_eos_id
    assert (side.bridge.codec_pad, side.bridge.codec_bos, side.codec_eos) == (164, 165, 166)
    assert (side.bridge.codec_nothink, side.bridge.codec_think_bos, side.bridge.codec_think_eos) == (
        171, 172, 173,
    )  # fmt: skip
    assert side.suppress == (64, 64 + 1024)
    assert (side.n_groups, side.n_codes, side.sample_rate, side.hop) == (16, 64, 24000, 1920)
    assert side.defaults["predictor_top_p"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("sibling", "component", "need"),
    [("media", "audio_encoder", "to hear and see"), ("speech", "talker", "to speak")],
)
def test_a_missing_sibling_is_an_error_where_it_is_needed(
    model: Path, sibling: str, component: str, need: str
) -> None:
    sibling_path(model, sibling).unlink()
    meta = OmniMetadata.read(model)
    assert component not in meta.components
    meta.require("thinker")
    with pytest.raises(errors.ModelFileError, match=need) as caught:
        meta.require(component)
    assert sibling_path(model, sibling).name in str(caught.value)
    assert meta.summary()["missing"].keys() == {sibling}


def test_a_sibling_of_another_checkpoint_is_refused_where_it_is_needed(model: Path, tmp_path: Path) -> None:
    other = omni_gguf(tmp_path / "other.gguf", "q4_k", seed=2)
    shutil.copy(sibling_path(other, "speech"), sibling_path(model, "speech"))
    meta = OmniMetadata.read(model)
    with pytest.raises(errors.ModelFormatError, match="made from checkpoint"):
        _ = meta.speech
    same = omni_gguf(tmp_path / "same.gguf", "q4_k")  # another type of the same
    shutil.copy(sibling_path(same, "speech"), sibling_path(model, "speech"))
    assert OmniMetadata.read(model).speech.n_groups == 16


@pytest.mark.parametrize("content", [b"", b"GGUF", b"what?" * 9])
def test_a_damaged_sibling_does_not_hinder_text(model: Path, content: bytes) -> None:
    sibling_path(model, "media").write_bytes(content)
    meta = OmniMetadata.read(model)
    meta.require("thinker", "talker")
    with pytest.raises(errors.ModelFormatError, match=r"o\.media\.gguf"):
        meta.require("vision_encoder")


def test_a_checkpoint_that_does_not_speak_says_so(tmp_path: Path) -> None:
    meta = OmniMetadata.read(omni_gguf(tmp_path / "o.gguf", audio_output=False))
    assert not meta.speaks
    with pytest.raises(errors.UnsupportedModel, match="writes and does not speak"):
        _ = meta.speech
    assert "speakers" not in meta.summary()


def test_a_sibling_is_no_model(whole: Path) -> None:
    with pytest.raises(errors.ModelFileError, match=r"expected o\.gguf"):
        read_model(sibling_path(whole, "speech"))


def test_speech_models_are_read_as_before(tiny_path: Path) -> None:
    assert isinstance(read_model(tiny_path), SpeechMetadata)


def rewritten(path: Path, old: bytes, new: bytes) -> None:
    assert len(old) == len(new)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (b"tokenizer.chat_template", "chat_template"),
        (b"omni.text.user_id", "user_id"),
        (b"thinker.n_ctx_max", "n_ctx_max"),
    ],
)
def test_a_missing_key_is_named(model: Path, key: bytes, words: str) -> None:
    rewritten(model, key, key[:-1] + b"#")
    with pytest.raises(errors.ModelFormatError, match=rf"{words}.*missing"):
        OmniMetadata.read(model)


def test_an_unknown_architecture_is_named(model: Path) -> None:
    rewritten(model, b"qwen3-omni", b"qwen9-omni")
    with pytest.raises(errors.UnsupportedModel, match=r"qwen9-omni.*'qwen3-tts', 'qwen3-omni', 'qwen3vlmoe'"):
        read_model(model)


def test_info_prints_all_files(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(whole)]) == 0
    text = capsys.readouterr().out
    for word in ("o.speech.gguf", "code2wav", "chelsie, ethan, aiden", "hears: True", "q8_0", "missing:"):
        assert word in text
    total = sum(int(t.n_bytes) for p in whole.parent.iterdir() for t in GGUFReader(p).tensors)
    assert f"bytes: {total}" in text
    assert Metadata.read(whole).u32("thinker.n_layer") == 4
