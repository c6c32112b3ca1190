"""Conversations end to end: the words and codes that transformers gives, in one turn and in several."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from parity import chat_cases
from parity.chat_cases import N_FRAMES, N_TOKENS

import pyomni
from pyomni import ChatOptions, OmniModel, SpeechOptions
from pyomni.api.asking import How

TEXT = ChatOptions(greedy=True, max_tokens=N_TOKENS)
SPEECH = SpeechOptions(greedy=True, max_frames=N_FRAMES)
#: Largest difference of a talker's row, float32 on the CPU: two small layers on rows that agree to 5e-5.
ROWS = 5e-5

Arrays = dict[str, Any]


@functools.cache
def recorded() -> Arrays:
    with np.load(chat_cases.FILE) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def model() -> Iterator[OmniModel]:
    # told apart from a wrong network: these weights are not the ones that were recorded
    assert chat_cases.weights_hash() == str(recorded()["weights_sha256"]), (
        "this machine makes other weights from the seed"
    )
    with pyomni.load(chat_cases.gguf(), device="cpu", threads=1) as opened:
        yield opened


@pytest.fixture(params=list(chat_cases.CASES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def of(name: str, key: str) -> Any:
    return recorded()[f"{name}.{key}"]


def answered(model: OmniModel, name: str) -> pyomni.Reply:
    return model.reply(
        chat_cases.messages(name),
        speak=True,
        voice=chat_cases.speaker(name),
        options=TEXT,
        speech_options=SPEECH,
        audio_in_video=chat_cases.heard(name),
    )


def test_words_and_codes_are_those_of_transformers(model: OmniModel, name: str) -> None:
    reply = answered(model, name)
    assert reply.n_prompt == len(of(name, "ids"))
    assert reply.tokens.tolist() == of(name, "tokens").tolist()
    assert reply.text == of(name, "text").tobytes().decode()
    assert reply.speech is not None
    assert np.array_equal(reply.speech.codes, of(name, "codes"))
    assert (reply.finish_reason, reply.speech.finish_reason) == ("length", "length")
    assert len(reply.speech.audio) == N_FRAMES * model.hop - 555


def test_tokens_and_talker_rows_are_those_of_transformers(model: OmniModel, name: str) -> None:
    engine = model._engine
    how = How(True, chat_cases.speaker(name), TEXT, SPEECH, chat_cases.heard(name))
    asked = model._asker.ask(chat_cases.messages(name), how, {}).answering
    assert np.array_equal(asked.request.prompt.ids, of(name, "ids"))
    with engine.use():
        from pyomni.pipelines.thinking import ThinkTimings

        tokens = [e.token for e in engine.write([asked], ThinkTimings()) if e.token is not None]
        writer = engine.writer(asked, iter(tokens))
        writer.wait(4)
        prompt = engine.speech_request(asked, writer, engine.held[0].thought).prompt
    rows = chat_cases.sampled(prompt.rows)
    assert np.abs(rows - of(name, "rows")).max() < ROWS
    trailing = np.stack([prompt.text_row(frame) for frame in range(3)])
    assert np.abs(trailing - of(name, "trailing")).max() < ROWS


def test_turn_by_turn_is_one_prompt(model: OmniModel) -> None:
    # each turn goes on in the lane; another lane, empty, reads all of it at once
    for name in ("turns", "turns_with_media"):
        whole = chat_cases.messages(name)
        with pyomni.load(chat_cases.gguf(), device="cpu", threads=1) as other:
            for n in (i + 1 for i, message in enumerate(whole[:-1]) if message["role"] == "user"):
                other.reply(whole[:n], options=ChatOptions(max_tokens=3))
            reply = answered(other, name)
        assert reply.n_reused > reply.n_prompt / 2
        assert reply.tokens.tolist() == of(name, "tokens").tolist()
        assert reply.speech is not None
        assert np.array_equal(reply.speech.codes, of(name, "codes"))


@pytest.mark.reference
def test_the_recording_is_what_transformers_does(name: str) -> None:
    if not importlib.util.find_spec("torchvision"):
        pytest.skip("the official processor needs torchvision")
    from parity.record_chat import official

    found = _official(official).answer(name)
    assert {key: value.shape for key, value in found.items()} == {key: of(name, key).shape for key in found}
    for key in ("ids", "tokens", "text", "codes"):
        assert np.array_equal(found[key], of(name, key)), key
    for key in ("rows", "trailing"):
        assert np.abs(found[key] - of(name, key)).max() < ROWS, key


@functools.cache
def _official(make: Any) -> Any:
    return make()
