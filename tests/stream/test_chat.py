"""Conversations in time: streamed, in lanes, turn by turn, saved and gone on with, all are the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_omni import omni_gguf

import pyomni
from pyomni import ChatOptions, OmniModel, SpeechOptions
from pyomni.pipelines import thinking
from pyomni.pipelines.saved_chat import SavedChat

TEXT = ChatOptions(seed=5, max_tokens=24, temperature=0.9)
SPEECH = SpeechOptions(seed=6, max_frames=20)


def sound(n: int = 30_000, seed: int = 1) -> tuple[np.ndarray, int]:
    return (np.random.default_rng(seed).standard_normal(n) * 0.1).astype(np.float32), 16000


def picture(h: int = 64, w: int = 96) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (h, w, 3), dtype=np.uint8)


def turn(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [p if isinstance(p, dict) else {"text": p} for p in parts]}]


AUDIO = turn({"audio": sound()}, "What was that?")
PICTURE = [
    {"role": "system", "content": "Look."},
    *turn({"image": picture()}, {"audio": sound(9_000, 3)}, "?"),
]
PLAIN = turn("Say something.")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return omni_gguf(tmp_path_factory.mktemp("omni") / "toy.gguf")


@pytest.fixture
def model(path: Path) -> Iterator[OmniModel]:
    with pyomni.load(path, device="cpu", threads=1) as opened:
        yield opened


def ask(model: OmniModel, messages: Any, **changes: Any) -> pyomni.Reply:
    return model.reply(messages, **{"speak": True, "options": TEXT, "speech_options": SPEECH, **changes})


def same(one: pyomni.Reply, other: pyomni.Reply) -> bool:
    assert one.speech is not None
    assert other.speech is not None
    return (
        one.tokens.tolist() == other.tokens.tolist()
        and one.text == other.text
        and np.array_equal(one.speech.codes, other.speech.codes)
        and np.array_equal(one.speech.audio, other.speech.audio)
    )


def test_async(model: OmniModel) -> None:
    how: dict[str, Any] = {"speak": True, "options": TEXT, "speech_options": SPEECH}

    async def whole() -> list[pyomni.ReplyEvent]:
        return [event async for event in model.astream_reply(AUDIO, **how)]

    async def left_early() -> str:
        events = model.astream_reply(AUDIO, **how)
        first = await anext(events)
        await events.aclose()
        return first.text

    async def cancelled() -> None:
        async for _ in model.astream_reply(AUDIO, **how):
            await asyncio.sleep(60)

    async def cancel_it() -> None:
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    want = list(model.stream_reply(AUDIO, **how))

    def same_events(events: list[pyomni.ReplyEvent]) -> bool:
        return [(e.text, None if e.pcm is None else e.pcm.tobytes()) for e in events] == [
            (e.text, None if e.pcm is None else e.pcm.tobytes()) for e in want
        ]

    assert same_events(asyncio.run(whole()))
    assert asyncio.run(left_early()) == want[0].text
    asyncio.run(cancel_it())
    assert same_events(asyncio.run(whole())), "the model was given back"
    how["voice"] = "nobody"
    with pytest.raises(pyomni.ArgumentError, match="nobody"):
        asyncio.run(whole())


def test_a_stream_is_the_whole_in_bits(model: OmniModel) -> None:
    whole = ask(model, AUDIO)
    assert whole.speech is not None
    events = list(model.stream_reply(AUDIO, speak=True, options=TEXT, speech_options=SPEECH))
    assert "".join(event.text for event in events) == whole.text
    pcm = [event.pcm for event in events if event.pcm is not None]
    assert np.array_equal(np.concatenate(pcm), whole.speech.audio)
    assert len(whole.tokens) == 24
    # speech begins while the text is being written: some text comes after the first samples
    first = next(n for n, event in enumerate(events) if event.pcm is not None)
    assert sum(len(event.text) for event in events[first:]) > len(whole.text) / 2
    assert whole.finish_reason == "length"


def test_a_frame_waits_for_its_token_and_no_longer(model: OmniModel) -> None:
    stream = model.stream_reply(PLAIN, speak=True, options=TEXT, speech_options=SPEECH)
    n_tokens, n_frames = [], []
    for event in stream:
        if event.pcm is not None:
            n_tokens.append(len(stream.tokens))
            n_frames.append(len(stream.codes))
    # g0 for the prompt, and one token beside each frame but the last, which the talker has not read yet
    assert n_frames[:3] == [1, 3, 7]
    assert n_tokens[:3] == n_frames[:3]


def test_text_is_the_same_with_and_without_speech(model: OmniModel) -> None:
    silent = ask(model, AUDIO, speak=False)
    assert silent.speech is None
    assert silent.tokens.tolist() == ask(model, AUDIO).tokens.tolist()


def test_a_silent_answer_loads_no_talker(path: Path) -> None:
    with pyomni.load(path, device="cpu", threads=1) as model:
        ask(model, PLAIN, speak=False)
        assert set(model.info["loaded"]) == {"thinker"}
        ask(model, AUDIO, speak=False)
        assert set(model.info["loaded"]) == {"thinker", "audio_encoder"}
        ask(model, PLAIN)
        assert {"talker", "code_predictor", "code2wav"} < set(model.info["loaded"])


def test_lanes_give_what_each_gives_alone(path: Path, model: OmniModel) -> None:
    conversations = [AUDIO, PLAIN, PICTURE, turn("Other."), AUDIO]
    alone = [ask(model, messages) for messages in conversations]
    with pyomni.load(path, device="cpu", threads=1, lanes=3) as many:
        for _ in range(2):  # the second time the lanes hold the beginnings
            together = many.reply_many(conversations, speak=True, options=TEXT, speech_options=SPEECH)
            assert [same(a, b) for a, b in zip(alone, together, strict=True)] == [True] * 5


def test_an_empty_answer_is_not_spoken(model: OmniModel) -> None:
    rules = model._engine.rules
    model._engine.rules = rules._replace(ends=frozenset(range(len(rules.silent))))
    for reply in (ask(model, AUDIO), *model.reply_many([AUDIO, PLAIN], speak=True, options=TEXT)):
        assert (reply.text, len(reply.tokens), reply.speech) == ("", 0, None)
        assert reply.finish_reason == "stop"
    model._engine.rules = rules
    assert ask(model, AUDIO).speech is not None


def test_sound_that_only_the_decoder_of_videos_reads(model: OmniModel, tmp_path: Path) -> None:
    import av

    samples, rate = sound(48_000)
    with av.open(str(tmp_path / "clip.m4a"), "w") as file:
        stream = file.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    reply = ask(model, turn({"audio": tmp_path / "clip.m4a"}), speak=False)
    # three seconds are 39 rows; the codec adds a little around them
    assert 39 <= reply.n_prompt - 10 <= 42


def test_seeds(model: OmniModel) -> None:
    other = ask(model, PLAIN, options=ChatOptions(seed=8, max_tokens=24, temperature=0.9))
    assert other.tokens.tolist() != ask(model, PLAIN).tokens.tolist()
    drawn = ask(model, PLAIN, options=ChatOptions(max_tokens=24, temperature=0.9))
    again = ChatOptions(seed=drawn.seed, max_tokens=24, temperature=0.9)
    assert ask(model, PLAIN, options=again).tokens.tolist() == drawn.tokens.tolist()


@pytest.mark.parametrize("first", [AUDIO, PICTURE, PLAIN], ids=["audio", "picture", "plain"])
def test_turns_that_are_kept_are_one_prompt(path: Path, model: OmniModel, first: Any) -> None:
    said = list(first)
    for _ in range(2):
        reply = ask(model, said)
        said += [{"role": "assistant", "content": reply.text}, *turn({"audio": sound(12_000, 4)}, "And?")]
    kept = ask(model, said)
    assert kept.n_reused > kept.n_prompt / 2
    with pyomni.load(path, device="cpu", threads=1) as fresh:
        once = ask(fresh, said)
    assert once.n_reused == 0
    assert same(kept, once)


def test_other_media_in_the_same_words_are_read_again(model: OmniModel) -> None:
    one, other = turn({"audio": sound(seed=1)}, "What?"), turn({"audio": sound(seed=2)}, "What?")
    first = ask(model, one)
    second = ask(model, other)
    assert first.n_prompt == second.n_prompt
    assert second.n_reused < 6  # up to where the sound begins
    assert not same(first, second)
    assert same(ask(model, one), first)


def test_saved_and_gone_on_with(path: Path, model: OmniModel, tmp_path: Path) -> None:
    talk = model.conversation("Be brief.")
    options: dict[str, Any] = {"options": TEXT, "speak": True, "speech_options": SPEECH}
    talk.say([{"audio": sound()}, {"image": picture()}, {"video": ([picture()] * 3, 2.0)}, "See."], **options)
    talk.save(tmp_path / "talk")
    after = talk.say("And now?", **options)
    with pyomni.load(path, device="cpu", threads=1) as other:
        resumed = other.load_conversation(tmp_path / "talk")
        assert [m["role"] for m in resumed.messages] == ["system", "user", "assistant"]
        again = resumed.say("And now?", **options)
        assert same(after, again)
        assert again.n_reused == after.n_reused > 0
        # saved once more, although another conversation has the lane
        ask(other, PLAIN)
        third = other.load_conversation(resumed.to_bytes())
        assert third.messages[-1] == resumed.messages[-1]
        assert third.say("More?", **options).text == resumed.say("More?", **options).text


def test_a_conversation_holds_nothing_of_another(path: Path, model: OmniModel) -> None:
    ask(model, turn("A secret: 42."))
    talk = model.conversation()
    talk.messages = [*turn("A sunny day."), {"role": "assistant", "content": "Yes."}]
    held = SavedChat.from_bytes(talk.to_bytes()).held
    assert 0 < len(held) < 12  # the frame of a turn, "A s"
    # what the lane held before is still there
    again = ask(model, turn("A secret: 42."))
    assert again.n_reused == again.n_prompt - 1


def test_a_stream_that_is_left_gives_the_model_back(model: OmniModel) -> None:
    talk = model.conversation()
    with talk.stream("One.", options=TEXT, speak=True, speech_options=SPEECH) as stream:
        next(stream)
        with pytest.raises(pyomni.SessionBusy):
            ask(model, PLAIN)
    assert talk.messages == []
    whole = ask(model, PLAIN)
    stream = model.stream_reply(PLAIN, speak=True, options=TEXT, speech_options=SPEECH)
    for _ in range(5):
        next(stream)
    stream.close()
    assert same(ask(model, PLAIN), whole)


def test_a_prompt_read_in_pieces_is_one_prompt(
    path: Path, model: OmniModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(model, PICTURE)
    monkeypatch.setattr(thinking, "PREFILL_ROWS", 7)
    with pyomni.load(path, device="cpu", threads=1) as other:
        assert same(ask(other, PICTURE), whole)


def test_a_conversation_outgrows_its_session(model: OmniModel) -> None:
    short = ask(model, PLAIN)
    assert model._engine._thinker is not None
    before = model._engine._thinker.n_ctx
    long = ask(model, [*PLAIN, {"role": "assistant", "content": short.text}, *turn("x" * 700)])
    assert model._engine._thinker.n_ctx > before
    assert long.n_reused >= short.n_prompt  # moved with the lane
