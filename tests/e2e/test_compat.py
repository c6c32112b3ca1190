"""The official package's names do what its programs expect, on toy models of each kind."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from toys import toy, variant

from pyomni import SpeechOptions, Voice
from pyomni.compat import qwen_tts
from pyomni.compat.qwen_tts import Qwen3TTSModel, Qwen3TTSTokenizer, VoiceClonePromptItem
from pyomni.errors import ArgumentError, AudioError

TEXT, SAID = "Hello there.", "What the clip says."
GREEDY = {"do_sample": False, "subtalker_dosample": False, "max_new_tokens": 9}
RATE = 24000


def tone(hz: float = 150.0, seconds: float = 0.5) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def base() -> Iterator[Qwen3TTSModel]:
    tts = Qwen3TTSModel.from_pretrained(variant("base"), device_map="cpu", attn_implementation="eager")
    with tts.model:
        yield tts


@pytest.fixture(scope="module")
def custom() -> Iterator[Qwen3TTSModel]:
    tts = Qwen3TTSModel.from_pretrained(str(toy()), device_map="cuda:7", dtype="bfloat16")
    with tts.model:
        yield tts


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    import soundfile

    soundfile.write(tmp_path / "ref.wav", tone(), RATE)
    return tmp_path / "ref.wav"


def options(streaming: bool) -> SpeechOptions:
    return SpeechOptions(greedy=True, max_frames=8, streaming_layout=streaming)


def test_signatures_are_the_official_ones():
    def names(method) -> list[str]:
        return [n for n in inspect.signature(method).parameters if n not in ("self", "cls")]

    assert names(Qwen3TTSModel.generate_custom_voice) == [
        "text", "speaker", "language", "instruct", "non_streaming_mode", "kwargs"
    ]  # fmt: skip
    assert names(Qwen3TTSModel.generate_voice_design) == [
        "text", "instruct", "language", "non_streaming_mode", "kwargs"
    ]  # fmt: skip
    assert names(Qwen3TTSModel.generate_voice_clone) == [
        "text", "language", "ref_audio", "ref_text", "x_vector_only_mode", "voice_clone_prompt",
        "non_streaming_mode", "kwargs",
    ]  # fmt: skip
    assert names(Qwen3TTSModel.create_voice_clone_prompt) == ["ref_audio", "ref_text", "x_vector_only_mode"]
    assert names(Qwen3TTSTokenizer.encode) == ["audios", "sr", "return_dict"]
    assert names(Qwen3TTSTokenizer.decode) == ["encoded"]
    assert list(VoiceClonePromptItem.__dataclass_fields__) == [
        "ref_code", "ref_spk_embedding", "x_vector_only_mode", "icl_mode", "ref_text"
    ]  # fmt: skip
    assert set(qwen_tts.__all__) >= {"Qwen3TTSModel", "Qwen3TTSTokenizer", "VoiceClonePromptItem"}


def test_custom_voice(custom: Qwen3TTSModel):
    assert custom.get_supported_speakers() == sorted(custom.model.speakers)
    assert custom.get_supported_languages() == sorted(["auto", *custom.model.languages])
    wavs, rate = custom.generate_custom_voice(TEXT, "Ryan", language="English", **GREEDY)
    assert rate == RATE
    [wav] = wavs
    want = custom.model.speak(TEXT, voice="ryan", language="english", options=options(False))
    assert wav.dtype == np.float32
    assert wav.tobytes() == want.audio.tobytes()
    # an instruction is dropped on 0.6B; a batch takes one of everything, or as many as texts
    wavs, _ = custom.generate_custom_voice(
        [TEXT, "Two."], ["Ryan", "eric"], "English", "Whisper.", anything_else=1, **GREEDY
    )
    assert wavs[0].tobytes() == wav.tobytes()
    two = custom.model.speak("Two.", voice="eric", language="english", options=options(False))
    assert wavs[1].tobytes() == two.audio.tobytes()
    one, other = (custom.generate_custom_voice(TEXT, "ryan", seed=s, max_new_tokens=9)[0][0] for s in (1, 1))
    assert one.tobytes() == other.tobytes()
    no_speaker = custom.generate_custom_voice(TEXT, "", non_streaming_mode=False, **GREEDY)[0][0]
    assert no_speaker.tobytes() == (
        custom.model.speak(TEXT, voice=Voice.none(), options=options(True)).audio.tobytes()
    )


def test_voice_clone(base: Qwen3TTSModel, wav: Path):
    items = base.create_voice_clone_prompt((tone(), RATE), SAID)
    [item] = items
    assert (item.icl_mode, item.x_vector_only_mode, item.ref_text) == (True, False, SAID)
    assert item.ref_code.shape == (7, 16)
    assert item.ref_spk_embedding.dtype == np.float32
    want = base.model.speak(
        TEXT, voice=base.model.clone((tone(), RATE), SAID), language="english", options=options(True)
    ).audio
    data = base64.b64encode(wav.read_bytes()).decode()
    for given in (
        {"voice_clone_prompt": items},
        {"voice_clone_prompt": item},
        {"ref_audio": (tone(), RATE), "ref_text": SAID},
    ):
        wavs, rate = base.generate_voice_clone(TEXT, "English", **given, **GREEDY)
        assert rate == RATE
        assert wavs[0].tobytes() == want.tobytes()
    from_file = base.generate_voice_clone(TEXT, ref_audio=str(wav), ref_text=SAID, **GREEDY)[0][0]
    for given in (data, f"data:audio/wav;base64,{data}"):
        assert base.generate_voice_clone(TEXT, ref_audio=given, ref_text=SAID, **GREEDY)[0][0].tobytes() == (
            from_file.tobytes()
        )


def test_voice_clone_by_embedding(base: Qwen3TTSModel):
    clips = [(tone(), RATE), (tone(220), RATE)]
    items = base.create_voice_clone_prompt(clips, x_vector_only_mode=True)
    assert [item.ref_code for item in items] == [None, None]
    drawn = {"seed": 3, "max_new_tokens": 17}
    wavs, _ = base.generate_voice_clone([TEXT, TEXT], ref_audio=clips, x_vector_only_mode=True, **drawn)
    assert not np.array_equal(wavs[0], wavs[1])
    as_dict = {
        "ref_code": [None], "ref_spk_embedding": [items[1].ref_spk_embedding], "x_vector_only_mode": [True],
        "icl_mode": [False],
    }  # fmt: skip
    wav = base.generate_voice_clone(TEXT, voice_clone_prompt=as_dict, **drawn)[0][0]
    assert np.array_equal(wav, wavs[1])


def test_voice_design():
    with Qwen3TTSModel.from_pretrained(variant("voice_design")).model as model:
        tts = Qwen3TTSModel(model)
        wavs, _ = tts.generate_voice_design([TEXT, TEXT], ["A deep voice.", ""], "English", **GREEDY)
        for wav, voice in zip(wavs, (Voice.design("A deep voice."), Voice.none()), strict=True):
            want = model.speak(TEXT, voice=voice, language="english", options=options(False))
            assert wav.tobytes() == want.audio.tobytes()


def test_what_the_official_package_refuses(base: Qwen3TTSModel, custom: Qwen3TTSModel):
    clip = (tone(), RATE)
    for call, words in (
        (
            lambda: base.generate_custom_voice(TEXT, "ryan"),
            "a base model does not support generate_custom_voice",
        ),
        (lambda: custom.generate_voice_clone(TEXT, ref_audio=clip), "does not support generate_voice_clone"),
        (lambda: custom.create_voice_clone_prompt(clip), "does not support create_voice_clone_prompt"),
        (lambda: custom.generate_voice_design(TEXT, "x"), "does not support generate_voice_design"),
        (lambda: base.generate_voice_clone(TEXT), "Either `voice_clone_prompt` or `ref_audio`"),
        (lambda: base.generate_voice_clone(TEXT, ref_audio=clip), "ref_text is required .* Bad index=0"),
        (lambda: base.create_voice_clone_prompt([clip, clip], ["a", "b", "c"]), "Batch size mismatch"),
        (lambda: base.create_voice_clone_prompt(tone(), SAID), "an array alone"),
        (lambda: base.create_voice_clone_prompt(3, SAID), "the audio is a int"),
        (lambda: base.generate_voice_clone(TEXT, voice_clone_prompt={}), "has no 'ref_code'"),
        (lambda: base.generate_voice_clone(TEXT, voice_clone_prompt=3), "expected a list of items"),
        (lambda: custom.generate_custom_voice(TEXT, "nobody"), "expected one of"),
        (lambda: custom.generate_custom_voice(TEXT, "ryan", "klingon"), "expected one of: auto"),
        (lambda: custom.generate_custom_voice([TEXT], "ryan", [None]), "Unsupported languages: None"),
        (lambda: custom.generate_custom_voice([TEXT, TEXT], ["a", "b", "c"]), "Batch size mismatch"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert isinstance(caught.value, ArgumentError)
    with pytest.raises(AudioError, match="could not be read"):
        base.create_voice_clone_prompt("http://127.0.0.1:9/none.wav", SAID)


def test_tokenizer(wav: Path):
    tokenizer = Qwen3TTSTokenizer.from_pretrained(str(variant("base")), device_map="cpu")
    assert tokenizer.get_model_type() == "qwen3_tts_tokenizer_12hz"
    assert tokenizer.get_input_sample_rate() == tokenizer.get_output_sample_rate() == RATE
    assert tokenizer.get_encode_downsample_rate() == tokenizer.get_decode_upsample_rate() == 1920
    encoded = tokenizer.encode([tone(), tone(300, 0.2)], sr=RATE)
    assert [codes.shape for codes in encoded.audio_codes] == [(7, 16), (3, 16)]
    assert {codes.dtype for codes in encoded.audio_codes} == {np.dtype(np.int64)}
    assert np.array_equal(tokenizer.encode(tone(), RATE, return_dict=False)[0][0], encoded.audio_codes[0])
    assert tokenizer.encode(str(wav)).audio_codes[0].shape == (7, 16)
    wavs, rate = tokenizer.decode(encoded)
    assert rate == RATE
    assert [len(one) for one in wavs] == [7 * 1920, 3 * 1920]
    padded = np.full((2, 7, 16), -1)
    padded[0], padded[1, :3] = encoded.audio_codes
    for given in (
        {"audio_codes": encoded.audio_codes},
        [{"audio_codes": codes} for codes in encoded.audio_codes],
        {"audio_codes": padded},
    ):
        again, _ = tokenizer.decode(given)
        assert [a.tobytes() for a in again] == [b.tobytes() for b in wavs]
    for call, words in (
        (lambda: tokenizer.encode(tone()), "you must provide `sr`"),
        (lambda: tokenizer.decode(3), "must be an encode output"),
        (lambda: tokenizer.decode({"audio_codes": np.zeros(4, int)}), "expected int32"),
        (lambda: Qwen3TTSTokenizer().model, "expected one from from_pretrained"),
    ):
        with pytest.raises(ArgumentError, match=words):
            call()
    with pytest.raises(AudioError, match="could not be read"):
        tokenizer.encode("none.wav")
    tokenizer.model.close()
