"""Conversations that cannot be: each is refused by name, in one sentence, and the model goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_omni import omni_gguf

import pyomni
from pyomni import ChatOptions, OmniModel, SpeechOptions
from pyomni.errors import (
    ArgumentError,
    AudioError,
    ContextFull,
    ImageError,
    ModelFileError,
    ModelFormatError,
    PyOmniError,
    UnsupportedModel,
    VideoError,
)
from pyomni.pipelines.saved import pack, unpack
from pyomni.pipelines.saved_chat import KIND

TEXT = ChatOptions(greedy=True, max_tokens=4)


def turn(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [p if isinstance(p, dict) else {"text": p} for p in parts]}]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return omni_gguf(tmp_path_factory.mktemp("omni") / "toy.gguf")


@pytest.fixture(scope="module")
def model(path: Path) -> Iterator[OmniModel]:
    with pyomni.load(path, device="cpu", threads=1) as opened:
        yield opened


def refused(model: OmniModel, kind: type[PyOmniError], words: str, messages: Any, **options: Any) -> None:
    with pytest.raises(kind) as error:
        model.reply(messages, **{"options": TEXT, **options})
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert len(model.reply(turn("Hi."), options=TEXT).tokens) == 4  # nothing is broken


@pytest.mark.parametrize(
    ("part", "kind", "words"),
    [
        ({"audio": "nowhere.wav"}, AudioError, "there is no such file"),
        ({"audio": b""}, AudioError, "is empty"),
        ({"audio": b"not a sound"}, AudioError, "is not an audio file"),
        ({"audio": (np.zeros(0, np.float32), 16000)}, AudioError, "expected at least"),
        ({"audio": (np.zeros(50, np.float32), 16000)}, AudioError, "too short"),
        ({"audio": (np.zeros(3 * 3600 * 4000, np.float32), 4000)}, AudioError, "lasts longer than 3600 s"),
        ({"image": "nowhere.png"}, ImageError, "there is no such file"),
        ({"image": b"not an image"}, ImageError, "is not an image"),
        ({"image": np.zeros((1, 1, 3), np.uint8)}, ImageError, "is 1x1 pixels"),
        ({"image": np.zeros((20000, 20000), np.uint8)}, ImageError, "is 20000x20000 pixels"),
        ({"video": b"not a video"}, VideoError, "is not a video"),
        ({"video": ([], 2.0)}, VideoError, "has no frames"),
        ({"audio": {"url": "https://x.org/a.wav"}}, ArgumentError, "nothing is fetched"),
    ],
)  # fmt: skip
def test_media_that_cannot_be_read(
    model: OmniModel, part: dict[str, Any], kind: type[PyOmniError], words: str
) -> None:
    refused(model, kind, words, turn(part, "What?"))


def test_roles_and_voices(model: OmniModel) -> None:
    refused(model, ArgumentError, "expected the assistant to answer", [{"role": "assistant", "content": "x"}])
    refused(model, ArgumentError, "expected one of: chelsie", turn("x"), speak=True, voice="bob")
    refused(model, ArgumentError, "temperature is -1", turn("x"), options=Bad(temperature=-1.0))
    refused(model, ArgumentError, "min_p is 2", turn("x"), options=Bad(min_p=2))


class Bad:
    """Options that fail when they are used, as those a caller builds in the call do."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def resolve(self, defaults: Any) -> Any:
        return ChatOptions(**self.options).resolve(defaults)


def test_more_tokens_than_the_context(model: OmniModel) -> None:
    refused(model, ContextFull, "expected fewer than the 65536", turn("x" * 70_000))
    most = ChatOptions(max_tokens=65_536)
    refused(model, ContextFull, "expected at most 65536 positions together", turn("x"), options=most)
    refused(
        model, ContextFull, "frames of speech were asked for", turn("x"),
        speak=True, speech_options=SpeechOptions(max_frames=65_536),
    )  # fmt: skip


# --- files beside ------------------------------------------------------------------------------------------


def beside(path: Path, folder: Path, *names: str) -> Path:
    """Copy a model with some of its files."""
    for name in ("", *names):
        file = f"toy{name}.gguf"
        shutil.copy(path.with_name(file), folder / file)
    return folder / "toy.gguf"


SOUND = {"audio": (np.zeros(16000, np.float32), 16000)}
PICTURE = {"image": np.zeros((64, 64, 3), np.uint8)}


def test_a_model_of_text_alone(path: Path, tmp_path: Path) -> None:
    with pyomni.load(beside(path, tmp_path), device="cpu", threads=1) as model:
        assert model.speakers == []
        assert model.sample_rate == 0
        refused(model, ModelFileError, "messages[0], part 0 is audio", turn(SOUND, "What?"))
        refused(model, ModelFileError, "toy.media.gguf: not found", turn(PICTURE, "What?"))
        refused(model, ModelFileError, "toy.speech.gguf: not found", turn("x"), speak=True)


def test_files_of_another_checkpoint_or_damaged(path: Path, tmp_path: Path) -> None:
    found = beside(path, tmp_path, ".speech")
    omni_gguf(tmp_path / "other.gguf", seed=9)
    shutil.move(tmp_path / "other.media.gguf", tmp_path / "toy.media.gguf")
    (tmp_path / "toy.speech.gguf").write_bytes(b"GGUF but no more")
    with pyomni.load(found, device="cpu", threads=1) as model:
        refused(model, ModelFormatError, "made from checkpoint", turn(SOUND))
        refused(model, ModelFormatError, "toy.speech.gguf", turn("x"), speak=True)


def test_a_checkpoint_that_does_not_speak(tmp_path: Path) -> None:
    path = omni_gguf(tmp_path / "thinking.gguf", audio_output=False)
    with pyomni.load(path, device="cpu", threads=1) as model:
        assert len(model.reply(turn(SOUND, PICTURE, "Hi."), options=TEXT).tokens) == 4
        refused(model, UnsupportedModel, "writes and does not speak", turn("x"), speak=True)


def test_a_speech_file_is_no_model(path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"expected toy\.gguf"):
        pyomni.load(path.with_name("toy.speech.gguf"))


# --- conversations that were saved ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(model: OmniModel) -> bytes:
    talk = model.conversation("Be brief.")
    talk.say([SOUND, "What?"], options=TEXT)
    return talk.to_bytes()


def test_a_saved_conversation_of_another_model(saved: bytes, tmp_path: Path) -> None:
    for sizes, words in (({}, "other weights"), ({"thinker__hidden": 128}, "made with another model")):
        path = omni_gguf(tmp_path / f"{words[:5]}.gguf", seed=11, **sizes)
        with (
            pyomni.load(path, device="cpu", threads=1) as other,
            pytest.raises(ArgumentError) as error,
        ):
            other.load_conversation(saved)
        assert words in str(error.value)


def test_a_saved_conversation_with_another_cache(path: Path, saved: bytes) -> None:
    with pyomni.load(path, device="cpu", threads=1, kv="f16") as other:
        with pytest.raises(PyOmniError, match="f32"):
            other.load_conversation(saved)
        assert len(other.reply(turn("x"), options=TEXT).tokens) == 4


def test_damaged_bytes(model: OmniModel, saved: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for at in rng.integers(0, len(saved), 60):
        damaged = bytearray(saved)
        damaged[at] ^= 1 << int(rng.integers(8))
        with pytest.raises((ModelFormatError, UnsupportedModel)):
            model.load_conversation(bytes(damaged))
    for n in (0, 7, 100, len(saved) - 1):
        with pytest.raises(ModelFormatError):
            model.load_conversation(saved[:n])
    with pytest.raises(ArgumentError, match="could not be read"):
        model.load_conversation(tmp_path / "nowhere")
    assert model.load_conversation(saved).messages[0]["content"] == "Be brief."


def test_bytes_of_another_version_or_kind(model: OmniModel, saved: bytes) -> None:
    about, tensors = unpack(KIND, saved)
    newer = pack(KIND._replace(version=KIND.version + 1), about, tensors)
    with pytest.raises(UnsupportedModel, match="a newer pyomni made it"):
        model.load_conversation(newer)
    with pytest.raises(ModelFormatError, match=r"of another kind, expected those of Conversation\.save"):
        model.load_conversation(pack(KIND._replace(format="pyomni-speech"), about, tensors))


@pytest.mark.parametrize(
    "change",
    [
        lambda about, tensors: about.pop("messages"),
        lambda about, tensors: about["messages"][0].pop("role"),
        lambda about, tensors: about["messages"][1]["content"][0].update(audio={"medium": 7}),
        lambda about, tensors: about["messages"][1]["content"][0].update(audio={"medium": "x"}),
        lambda about, tensors: about["media"][0].update(kind="smell"),
        lambda about, tensors: about["media"][0].update(key="nothing"),
        lambda about, tensors: about["media"][0].update(grid=[1, 2]),
        lambda about, tensors: about["media"][0].update(grid=[1, 4, 4]),
        lambda about, tensors: about["media"][0].update(sound=5),
        lambda about, tensors: about.update(media=[]),
        lambda about, tensors: about.update(next_position="far"),
        lambda about, tensors: tensors.update(ids=tensors["ids"][:-3]),
        lambda about, tensors: tensors.update(ids=tensors["ids"] + 100_000),
        lambda about, tensors: tensors.update(ids=tensors["ids"].astype(np.int64)),
        lambda about, tensors: tensors.update(marks=tensors["marks"][1:]),
        lambda about, tensors: tensors.update(positions=tensors["positions"][:, :2]),
        lambda about, tensors: tensors.update(thought=tensors["thought"][1:]),
        lambda about, tensors: tensors.update(thought=tensors["thought"][:0]),
        lambda about, tensors: tensors.update(lane=tensors["lane"][:-9]),
        lambda about, tensors: tensors.update(lane=tensors["lane"][:0]),
        lambda about, tensors: tensors.pop("thought"),
        lambda about, tensors: tensors.pop("media.0.rows"),
        lambda about, tensors: tensors.update({"media.0.rows": tensors["media.0.rows"][:, 1:]}),
        lambda about, tensors: tensors.update({"media.0.rows": tensors["media.0.rows"].astype(np.float64)}),
    ],
)
def test_bytes_that_do_not_hold_together(
    model: OmniModel, saved: bytes, change: Callable[[Any, Any], Any]
) -> None:
    about, tensors = unpack(KIND, saved)
    change(about, tensors)
    with pytest.raises((ModelFormatError, ArgumentError)):
        model.load_conversation(pack(KIND, about, tensors))
    assert len(model.reply(turn("x"), options=TEXT).tokens) == 4
    assert model.load_conversation(saved).say("y", options=TEXT).n_reused > 10


def test_what_cannot_be_saved(model: OmniModel) -> None:
    talk = model.conversation()
    talk.messages = [
        {"role": "user", "content": "x", "extra": object()},
        {"role": "assistant", "content": "y"},
    ]
    with pytest.raises(ArgumentError, match="cannot be saved"):
        talk.to_bytes()


def test_kinds_of_memory_that_are_not_there(path: Path) -> None:
    with (
        pyomni.load(path, device="cpu", threads=1, kv="f8") as model,
        pytest.raises(ArgumentError, match="kv"),
    ):
        model.reply(turn("x"), options=TEXT)
    with pytest.raises(ArgumentError, match="experts"):
        pyomni.load(path, device="cpu", experts="moon")


def test_closed(path: Path) -> None:
    model = pyomni.load(path, device="cpu", threads=1)
    model.reply(turn("x"), options=TEXT)
    model.close()
    model.close()
    with pytest.raises(UnsupportedModel, match="closed"):
        model.reply(turn("x"), options=TEXT)
