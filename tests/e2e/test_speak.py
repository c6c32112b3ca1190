"""Text to sound through the whole network, by the Python face, on the toy model."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from toys import toy, variant

import pyomni
from pyomni import SpeechModel, SpeechOptions, Voice, errors
from pyomni.audio.wav import to_int16

TEXT = "Hello there."
SEED = SpeechOptions(seed=7, max_frames=30)


@pytest.fixture(scope="module")
def model() -> Iterator[SpeechModel]:
    with pyomni.load(toy(), device="cpu", threads=1, lanes=3) as m:
        yield m


@pytest.fixture(scope="module")
def endless() -> Iterator[SpeechModel]:
    """A model that never draws its end id."""
    with pyomni.load(variant("custom_voice"), device="cpu", threads=1) as m:
        yield m


def test_speech_is_what_it_says(model: SpeechModel):
    speech = model.speak(TEXT, voice="ryan", language="english", options=SEED)
    assert speech.audio.dtype == np.float32
    assert speech.audio.ndim == 1
    assert np.abs(speech.audio).max() <= 1
    assert speech.codes.dtype == np.int32
    assert speech.codes.shape == (len(speech.audio) // model.hop, 16)
    assert 2 <= len(speech.codes) <= 30
    assert (speech.sample_rate, speech.seed) == (24000, 7)
    assert speech.finish_reason == ("length" if len(speech.codes) == 30 else "stop")
    assert speech.seconds == len(speech.audio) / 24000
    assert speech.timings.n_frames == len(speech.codes)


def test_speak_is_the_joined_stream_and_the_decoded_codes(endless: SpeechModel):
    speech = endless.speak(TEXT, voice="ryan", options=SEED)
    with endless.stream(TEXT, voice="ryan", options=SEED) as stream:
        blocks = list(stream)
    assert [len(b) // endless.hop for b in blocks][:3] == [1, 2, 4]
    assert np.concatenate(blocks).tobytes() == speech.audio.tobytes()
    assert np.array_equal(stream.codes, speech.codes)
    assert (stream.seed, stream.finish_reason, stream.sample_rate) == (7, speech.finish_reason, 24000)
    assert np.array_equal(np.stack(list(endless.codes(TEXT, voice="ryan", options=SEED))), speech.codes)
    assert endless.decode(speech.codes).tobytes() == speech.audio.tobytes()


def test_saved_bytes_are_the_streamed_samples(model: SpeechModel, tmp_path: Path):
    speech = model.speak(TEXT, voice="ryan", options=SEED)
    speech.save(tmp_path / "a.wav")
    raw = to_int16(speech.audio).tobytes()
    assert (tmp_path / "a.wav").read_bytes()[44:].startswith(raw + b"LIST")  # and the receipt
    speech.save(tmp_path / "raw", format="pcm")
    assert (tmp_path / "raw").read_bytes() == to_int16(speech.audio).tobytes()


def test_seeds(model: SpeechModel):
    one, two = (model.speak(TEXT, voice="ryan", options=SpeechOptions(max_frames=20)) for _ in range(2))
    assert one.seed != two.seed
    again = model.speak(TEXT, voice="ryan", options=SpeechOptions(seed=one.seed, max_frames=20))
    assert np.array_equal(again.codes, one.codes)
    with pyomni.load(toy(), device="cpu", threads=2) as fresh:
        other = fresh.speak(TEXT, voice="ryan", options=SpeechOptions(seed=one.seed, max_frames=20))
    assert np.array_equal(other.codes, one.codes), "after a restart, on another number of threads"


def test_greedy_needs_no_seed(model: SpeechModel):
    options = [SpeechOptions(greedy=True, seed=s, max_frames=12) for s in (1, 2)]
    one, two = (model.speak(TEXT, voice="ryan", options=o) for o in options)
    assert np.array_equal(one.codes, two.codes)


def test_many_texts_equal_one_by_one(model: SpeechModel):
    texts = ["One.", "And a second, longer one.", "Three", "4", "The fifth of them."]
    together = model.speak_many(texts, voice="eric", options=SEED)
    for text, speech in zip(texts, together, strict=True):
        alone = model.speak(text, voice="eric", options=SEED)
        assert np.array_equal(speech.codes, alone.codes), text
        assert speech.audio.tobytes() == alone.audio.tobytes()
        assert speech.finish_reason == alone.finish_reason
    assert model.speak_many([], voice="eric") == []
    seeds = {s.seed for s in model.speak_many(["a", "b"], voice="eric", options=SpeechOptions(max_frames=3))}
    assert len(seeds) == 2, "with no seed given, each text draws its own"


def test_voice_language_and_layout_matter(model: SpeechModel):
    def codes(**changes) -> bytes:
        arguments = {"voice": "ryan", "options": SEED, **changes}
        return model.speak(TEXT, **arguments).codes.tobytes()

    base = codes()
    assert base == codes(voice=pyomni.Voice.preset("Ryan"), language="auto")
    assert base != codes(voice="vivian")
    assert base != codes(language="german")
    streaming = SpeechOptions(seed=7, max_frames=30, streaming_layout=True)
    assert base != codes(options=streaming)
    assert codes(options=streaming) == codes(options=streaming)
    assert codes(voice=None) == codes(voice=model.speakers[0])
    assert codes(voice="eric", language="auto") == codes(voice="eric", language="chinese")


def test_an_iterator_of_text_is_joined_where_the_layout_needs_it_all(model: SpeechModel):
    options = SpeechOptions(seed=7, max_frames=30, streaming_layout=False)
    pieces = model.speak(iter(["Hello ", "there."]), voice="ryan", options=options)
    assert np.array_equal(pieces.codes, model.speak(TEXT, voice="ryan", options=options).codes)


def test_limits(endless: SpeechModel):
    speech = endless.speak(TEXT, options=SpeechOptions(seed=1, max_frames=5))
    assert (len(speech.codes), speech.finish_reason) == (5, "length")
    assert len(endless.speak(TEXT, options=SpeechOptions(seed=1, max_frames=1)).codes) == 1
    guarded = endless.speak("Hi", options=SpeechOptions(seed=1))
    most = 38 + 10  # frames of 3 s, and of a capital and a letter
    assert (len(guarded.codes), guarded.finish_reason) == (most - 25, "runaway"), "the last 2 s are given up"
    greedy = endless.speak("Hi", options=SpeechOptions(greedy=True))
    assert (len(greedy.codes), greedy.finish_reason) == (most, "length")


def test_text_and_frames_beyond_the_context(endless: SpeechModel):
    n = endless.info["n_ctx_max"]
    with pytest.raises(errors.ContextFull, match=f"expected at most {n - 2} of the {n}"):
        endless.speak("x" * n, options=SpeechOptions(split="never"))
    with pytest.raises(errors.ContextFull, match="frames were asked for"):
        endless.speak("x", options=SpeechOptions(max_frames=n))


def test_the_session_grows_with_the_request(endless: SpeechModel):
    short = endless.speak(TEXT, options=SpeechOptions(seed=3, max_frames=4))
    grown = endless.speak("x" * 600, options=SpeechOptions(seed=3, max_frames=4, split="never"))
    assert len(grown.codes) == 4
    again = endless.speak(TEXT, options=SpeechOptions(seed=3, max_frames=4))
    assert np.array_equal(short.codes, again.codes)


def test_what_cannot_be_said(model: SpeechModel):
    with pytest.raises(errors.ArgumentError, match="the text is empty"):
        model.speak("")
    with pytest.raises(errors.ArgumentError, match="only white space"):
        model.stream(" \n ")
    with pytest.raises(
        errors.ArgumentError, match=r"voice 'nobody' is not in this model, expected one of: .*ryan"
    ):
        model.codes(TEXT, voice="nobody")
    with pytest.raises(errors.ArgumentError, match="voice is 3, expected the name"):
        model.speak(TEXT, voice=3)
    with pytest.raises(errors.ArgumentError, match=r"language 'klingon' .* expected one of: auto, "):
        model.speak(TEXT, language="klingon")
    with pytest.raises(
        errors.UnsupportedModel, match="an instruction was given to a custom_voice model of size 0b6"
    ):
        model.speak(TEXT, instruct="Whisper.")
    with pytest.raises(errors.ArgumentError, match="texts is one string"):
        model.speak_many(TEXT)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((3, 15), np.int32),
        np.zeros(16, np.int32),
        np.zeros((2, 16), np.float32),
        np.full((2, 16), -1),
        np.full((2, 16), 2**31),
        np.full((2, 16), 10**6, np.int32),
    ],
)
def test_codes_that_cannot_be(model: SpeechModel, codes: np.ndarray):
    with pytest.raises(errors.ArgumentError, match="expected"):
        model.decode(codes)
    assert len(model.decode(np.zeros((2, 16), np.int64))) == 2 * model.hop


def test_no_codes_no_samples(model: SpeechModel):
    assert model.decode(np.zeros((0, 16), np.int32)).shape == (0,)


def test_a_stream_holds_the_model_until_it_is_closed(endless: SpeechModel):
    options = SpeechOptions(seed=2, max_frames=20)
    stream = endless.stream(TEXT, options=options)
    endless.speak("Not yet begun.", options=SpeechOptions(max_frames=2))
    next(stream)
    with pytest.raises(errors.SessionBusy, match="already speaking"):
        endless.speak(TEXT, options=options)
    with pytest.raises(errors.SessionBusy):
        endless.close()
    stream.close()
    assert len(endless.speak(TEXT, options=options).codes) == 20
    assert list(stream) == [], "a closed stream has ended"


def test_a_stream_that_is_dropped_gives_the_model_back(endless: SpeechModel):
    options = SpeechOptions(seed=2, max_frames=20)
    gc.disable()
    try:
        for _ in endless.stream(TEXT, options=options):
            break
        for _ in endless.codes(TEXT, options=options):
            break
        assert len(endless.speak(TEXT, options=options).codes) == 20
    finally:
        gc.enable()


def test_two_threads_at_once(endless: SpeechModel):
    options = SpeechOptions(seed=2, max_frames=60)
    want = endless.speak(TEXT, options=options).codes
    outcomes: list[object] = []
    started = threading.Barrier(4)

    def work() -> None:
        started.wait()
        try:
            outcomes.append(endless.speak(TEXT, options=options).codes)
        except errors.SessionBusy as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spoken = [o for o in outcomes if isinstance(o, np.ndarray)]
    assert len(outcomes) == 4
    assert spoken
    assert all(np.array_equal(codes, want) for codes in spoken)


def test_two_models_at_once():
    want = {}
    with pyomni.load(toy(), threads=1) as one, pyomni.load(toy(), threads=1) as two:
        streams = {m: m.stream(TEXT, voice="ryan", options=SEED) for m in (one, two)}
        got: dict[SpeechModel, list[np.ndarray]] = {one: [], two: []}
        for blocks in zip(*streams.values(), strict=True):
            for m, block in zip(streams, blocks, strict=True):
                got[m].append(block)
        want = one.speak(TEXT, voice="ryan", options=SEED).audio
        assert all(np.array_equal(np.concatenate(blocks), want) for blocks in got.values())


def test_async(model: SpeechModel):
    async def joined() -> np.ndarray:
        return np.concatenate([pcm async for pcm in model.astream(TEXT, voice="ryan", options=SEED)])

    async def left_early() -> int:
        stream = model.astream(TEXT, voice="ryan", options=SEED)
        first = await anext(stream)
        await stream.aclose()
        return len(first)

    async def cancelled() -> None:
        async for _ in model.astream(TEXT, voice="ryan", options=SEED):
            await asyncio.sleep(60)

    async def cancel_it() -> None:
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    want = model.speak(TEXT, voice="ryan", options=SEED).audio
    assert asyncio.run(joined()).tobytes() == want.tobytes()
    assert asyncio.run(left_early()) == model.hop
    asyncio.run(cancel_it())
    assert asyncio.run(joined()).tobytes() == want.tobytes(), "the model was given back"


def test_voice_design_takes_a_description_and_no_speaker():
    with pyomni.load(variant("voice_design"), threads=1) as model:
        assert model.speakers == []
        plain = model.speak(TEXT, voice=Voice.none(), options=SEED)
        deep = model.speak(TEXT, instruct="A deep, slow voice.", options=SEED)
        assert not np.array_equal(plain.codes, deep.codes)
        assert np.array_equal(
            deep.codes, model.speak(TEXT, voice=Voice.design("A deep, slow voice."), options=SEED).codes
        )
        with pytest.raises(errors.ArgumentError, match="no description was given to a voice_design model"):
            model.speak(TEXT, options=SEED)
        with pytest.raises(errors.ArgumentError, match="a described voice and an instruction"):
            model.speak(TEXT, voice=Voice.design("Deep."), instruct="Slow.")
        with pytest.raises(errors.ArgumentError, match="none, as this model has no preset speakers"):
            model.speak(TEXT, voice="ryan")


def test_base_speaks_without_a_speaker_in_the_streaming_layout():
    with pyomni.load(variant("base"), threads=1) as model:
        assert model.info["streaming_layout"] is True
        assert len(model.speak(TEXT, options=SEED).codes) == 30


def test_info(model: SpeechModel):
    info = model.info
    assert info["model_type"] == "custom_voice"
    assert info["device"] == "cpu"
    assert info["threads"] == 1
    assert set(info["loaded"]) == {"talker", "code_predictor", "codec_decoder"}
    assert "ryan" in model.speakers
    assert "english" in model.languages
    assert not any("dialect" in name for name in model.languages)


def test_a_closed_model_says_so():
    model = pyomni.load(toy(), threads=1)
    model.speak("a", options=SpeechOptions(max_frames=2))
    model.close()
    model.close()
    with pytest.raises(errors.PyOmniError, match="expected an open model"):
        model.speak("a", options=SpeechOptions(max_frames=2))


def test_loading_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(errors.ModelFileError, match="does not exist, expected a GGUF file"):
        pyomni.load(tmp_path / "no.gguf")
    with pytest.raises(errors.ModelFileError, match="is a folder, expected a GGUF file"):
        pyomni.load(tmp_path)
    with pytest.raises(errors.ArgumentError):
        pyomni.load(toy(), device="abacus9")
    with pytest.raises(errors.ArgumentError, match="threads is 0"):
        pyomni.load(toy(), threads=0)
    with pytest.raises(errors.ArgumentError, match="lanes is 0"):
        pyomni.load(toy(), lanes=0)
    monkeypatch.setenv("PYOMNI_MODEL", str(tmp_path / "no.gguf"))
    with pytest.raises(errors.ModelFileError, match=r"no\.gguf"):
        pyomni.load()


def test_the_fused_frame_equals_the_step_loop(model: SpeechModel):
    from pyomni.options import Draw
    from pyomni.pipelines.speech import predict_groups
    from pyomni.sampling import uniforms

    engine = model._engine
    model.speak("a", options=SpeechOptions(max_frames=2))  # opens the sessions
    talker, predictor = engine._sessions._talker, engine._sessions._predictor
    hidden = np.random.default_rng(3).standard_normal((6, talker.info.n_hidden)).astype(np.float32)
    for draw in (Draw(0.0), Draw(0.9, 50, 1.0), Draw(1.3, 0, 0.9), Draw(0.7, 20, 0.5)):
        for frame, row in enumerate(hidden):
            numbers = uniforms(5, frame, 16)[1:]
            steps = predict_groups(talker, predictor, row, 40 + frame, draw=draw, uniforms=numbers)
            fused, _ = predictor.groups(
                row[None],
                [40 + frame],
                temperature=draw.temperature,
                top_k=draw.top_k,
                top_p=draw.top_p,
                uniforms=numbers[None],
            )
            assert np.array_equal(fused[0], steps)
