"""A thinker that llama.cpp's users already have: the same text from it, and a plain word about the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from thinker_for_llama_cpp import ARCHITECTURE as A
from thinker_for_llama_cpp import write_for_llama_cpp
from tiny_omni import omni_gguf

import pyomni
from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.cli.main import main
from pyomni.components.lm import TOKENS, DecoderLM
from pyomni.metadata import OmniMetadata, read_model


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return omni_gguf(tmp_path_factory.mktemp("ours") / "o.gguf", "q8_0", thinker__vocab=400)


@pytest.fixture(scope="module")
def theirs(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_for_llama_cpp(ours, tmp_path_factory.mktemp("theirs") / "thinker-q8_0.gguf")


def logits(path: Path, ids: list[int]) -> np.ndarray:
    with Device("cpu", 1) as device, Model(device, str(path), "thinker") as model:
        lm = DecoderLM(model, 64)
        assert (model.info.n_deepstack == 0) or path.name == "o.gguf"
        return lm.decode(lm.embed(TOKENS, ids)[None]).logits


def test_its_logits_are_those_of_our_own_file(ours: Path, theirs: Path) -> None:
    ids = [5, 17, 200, 3, 279]
    np.testing.assert_array_equal(logits(theirs, ids), logits(ours, ids))


def test_what_prompts_need_is_found_in_the_vocabulary(ours: Path, theirs: Path) -> None:
    mine, found = read_model(ours), read_model(theirs)
    assert isinstance(found, OmniMetadata)
    assert isinstance(mine, OmniMetadata)
    assert found.components == ("thinker",)
    for name in (
        "im_start_id", "im_end_id", "system_id", "user_id", "assistant_id", "text_pad_id", "text_bos_id",
        "text_eos_id", "media", "stop_ids", "n_tokens", "n_vocab", "n_embd", "n_ctx_max", "chat_template",
        "defaults",
    ):  # fmt: skip
        assert getattr(found, name) == getattr(mine, name), name
    assert found.n_tokens < found.n_vocab == 400
    text = "user: a text\n"
    assert found.tokenizer().encode(text) == mine.tokenizer().encode(text)


@pytest.mark.parametrize("component", ["audio_encoder", "vision_encoder", "talker", "code2wav"])
def test_media_and_speech_need_our_own_conversion(theirs: Path, component: str) -> None:
    meta = read_model(theirs)
    assert isinstance(meta, OmniMetadata)
    meta.require("thinker")
    with pytest.raises(errors.UnsupportedModel, match=f"made for llama.cpp.*{component}.*pyomni convert"):
        meta.require(component)
    with pytest.raises(errors.UnsupportedModel, match=f"has no component '{component}'; it has: thinker"):
        Model(Device("cpu", 1), str(theirs), component)


def test_info_says_what_it_is(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(theirs)]) == 0
    text = capsys.readouterr().out
    assert "architecture: qwen3vlmoe" in text
    assert "hears: False" in text
    assert "made for llama.cpp" in text


def refused_by_c(ours: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str) -> None:
    path = write_for_llama_cpp(ours, tmp_path / "x.gguf", change)
    with pytest.raises((errors.ModelFormatError, errors.UnsupportedModel), match=words):
        logits(path, [1])


@pytest.mark.parametrize(
    "leaf",
    [
        "block_count", "embedding_length", "attention.head_count", "attention.head_count_kv",
        "attention.key_length", "attention.layer_norm_rms_epsilon", "rope.freq_base", "context_length",
        "expert_count", "expert_used_count", "expert_feed_forward_length", "rope.dimension_sections",
    ],
)  # fmt: skip
def test_a_missing_key_has_their_name(ours: Path, tmp_path: Path, leaf: str) -> None:
    refused_by_c(ours, tmp_path, lambda keys: keys.pop(f"{A}.{leaf}"), f"{A}.{leaf}' is missing")
    refused_by_c(
        ours, tmp_path, lambda keys: keys.update({f"{A}.{leaf}": "x"}), f"{A}.{leaf}' is of type str"
    )


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (f"{A}.rope.dimension_sections", [6, 5], "has 2 numbers"),
        (f"{A}.rope.dimension_sections", [6, 5, 4, 1], "has 4 numbers"),
        (f"{A}.rope.dimension_sections", [6, 5, 4, 0], "half of head_dim"),
        (f"{A}.expert_weights_norm", False, "expert_weights_norm' is false"),
        (f"{A}.block_count", 5, "blk.4.*is missing"),
        (f"{A}.block_count", 3, "blk.3"),
        (f"{A}.expert_count", 7, r"ffn_gate_inp.weight' has shape"),
        (f"{A}.block_count", 2**31, "n_layer"),
    ],
)
def test_what_cannot_be_is_refused(ours: Path, tmp_path: Path, key: str, value: Any, words: str) -> None:
    refused_by_c(ours, tmp_path, lambda keys: keys.update({key: value}), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda keys: keys.pop("tokenizer.chat_template"), "chat_template' is missing"),
        (lambda keys: keys.update({"split.count": 3}), "one of 3 parts"),
        (lambda keys: keys.pop("tokenizer.ggml.token_type"), "0 entries"),
        (lambda keys: keys.pop("tokenizer.ggml.tokens"), "0 tokens"),
        (lambda keys: keys.pop(f"{A}.context_length"), "context_length' is missing"),
        (
            lambda keys: keys.update(
                {"tokenizer.ggml.tokens": ["?" if t == "user" else t for t in keys["tokenizer.ggml.tokens"]]}
            ),
            "no token 'user'",
        ),
    ],
)
def test_what_python_cannot_use_is_named(
    ours: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    path = write_for_llama_cpp(ours, tmp_path / "x.gguf", change)
    with pytest.raises((errors.ModelFormatError, errors.UnsupportedModel), match=words):
        read_model(path)


def test_a_conversation_is_the_same(ours: Path, theirs: Path) -> None:
    messages = [{"role": "user", "content": "a text"}]
    options = pyomni.ChatOptions(greedy=True, max_tokens=24)
    replies = []
    for path in (ours, theirs):
        with pyomni.load(path, device="cpu", threads=1) as model:
            assert isinstance(model, pyomni.OmniModel)
            replies.append(model.reply(messages, options=options))
    np.testing.assert_array_equal(replies[0].tokens, replies[1].tokens)
    assert len(replies[0].tokens) == 24
    assert replies[0].text == replies[1].text


def test_a_conversation_says_plainly_what_it_lacks(theirs: Path) -> None:
    sound = {"type": "audio", "audio": (np.zeros(16000, np.float32), 16000)}
    image = {"type": "image", "image": np.zeros((64, 64, 3), np.uint8)}
    with pyomni.load(theirs, device="cpu", threads=1) as model:
        assert isinstance(model, pyomni.OmniModel)
        with pytest.raises(errors.UnsupportedModel, match=r"made for llama.cpp.*talker"):
            model.reply([{"role": "user", "content": "a text"}], speak=True)
        for part in (sound, image):
            with pytest.raises(errors.UnsupportedModel, match=r"made for llama.cpp.*pyomni convert"):
                model.reply([{"role": "user", "content": [part]}])
