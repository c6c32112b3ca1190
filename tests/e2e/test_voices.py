"""Clones through the whole network and through the command line, on the toy base model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from toys import toy, variant

import pyomni
from pyomni import SpeechModel, SpeechOptions, Voice, errors
from pyomni.cli import main

TEXT = "Hello there."
SAID = "What the clip says."
SEED = SpeechOptions(seed=7, max_frames=12)


def clip(seconds: float = 0.6, seed: int = 0) -> tuple[np.ndarray, int]:
    """Noise with a pitch, at a rate that is not the model's."""
    rate = 16000
    t = np.arange(int(rate * seconds)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * (110 + 40 * seed) * t) + 0.02 * noise).astype(np.float32), rate


@pytest.fixture(scope="module")
def base() -> Iterator[SpeechModel]:
    with pyomni.load(variant("base"), device="cpu", threads=1, lanes=2) as model:
        yield model


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    import soundfile

    path = tmp_path / "ann.wav"
    soundfile.write(path, *clip())
    return path


@pytest.fixture(autouse=True)
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYOMNI_VOICES", str(tmp_path / "voices"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "voices"


def test_a_clone_by_embedding(base: SpeechModel):
    voice, other = base.clone(clip()), base.clone(clip(seed=1))
    assert voice.embedding.shape == (64,)
    assert voice.codes is None
    one = base.speak(TEXT, voice=voice, options=SEED).codes
    assert np.array_equal(one, base.speak(TEXT, voice=base.clone(clip()), options=SEED).codes)
    assert not np.array_equal(one, base.speak(TEXT, voice=other, options=SEED).codes)
    assert not np.array_equal(one, base.speak(TEXT, options=SEED).codes)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_clone_in_context(base: SpeechModel, streaming: bool):
    voice = base.clone(clip(), SAID)
    assert voice.codes.shape == (8, 16), "0.6 s of 80 ms frames, the last one not full"
    options = SpeechOptions(seed=7, max_frames=12, streaming_layout=streaming)
    speech = base.speak(TEXT, voice=voice, options=options)
    with base.stream(TEXT, voice=voice, options=options) as stream:
        assert np.concatenate(list(stream)).tobytes() == speech.audio.tobytes()
    assert np.array_equal(np.stack(list(base.codes(TEXT, voice=voice, options=options))), speech.codes)
    assert base.decode(speech.codes, voice=voice).tobytes() == speech.audio.tobytes()
    # the sound goes on from the clip's: it is the end of both decoded as one
    whole = base.decode(np.concatenate([voice.codes, speech.codes]))
    assert np.abs(whole[len(voice.codes) * base.hop :] - speech.audio).max() < 2e-6
    assert np.abs(base.decode(speech.codes) - speech.audio).max() > 1e-3
    by_embedding = base.speak(TEXT, voice=base.clone(clip()), options=options)
    assert not np.array_equal(by_embedding.codes, speech.codes)
    [one, two] = base.speak_many([TEXT, "Two."], voice=voice, options=options)
    assert one.audio.tobytes() == speech.audio.tobytes()
    assert two.audio.tobytes() == base.speak("Two.", voice=voice, options=options).audio.tobytes()


def test_a_voice_from_a_file_speaks_the_same(base: SpeechModel, wav: Path, tmp_path: Path):
    voice = base.clone(wav, SAID)
    assert voice == base.clone(wav.read_bytes(), SAID)
    voice.save(tmp_path / "ann.voice")
    want = base.speak(TEXT, voice=voice, options=SEED).codes
    for given in (Voice.load(tmp_path / "ann.voice"), tmp_path / "ann.voice", "ann.voice"):
        assert np.array_equal(base.speak(TEXT, voice=given, options=SEED).codes, want)


def test_other_models_refuse_a_clip_and_a_clone(base: SpeechModel):
    voice = base.clone(clip(), SAID)
    with pyomni.load(toy(), threads=1) as custom:
        with pytest.raises(errors.ArgumentError, match="a clip to clone was given to a custom_voice model"):
            custom.clone(clip())
        with pytest.raises(errors.ArgumentError, match="expected a base model, which clones"):
            custom.speak(TEXT, voice=voice)


def test_the_encoders_wait_for_the_first_clip():
    with pyomni.load(variant("base"), threads=1) as model:
        assert set(model.info["loaded"]) == {"talker", "code_predictor", "codec_decoder"}
        model.clone(clip())
        assert "speaker_encoder" in model.info["loaded"]
        assert "codec_encoder" not in model.info["loaded"]
    with pytest.raises(errors.UnsupportedModel, match="closed"):
        model.clone(clip(), SAID)


def test_no_clone_while_the_model_speaks(base: SpeechModel):
    with base.stream(TEXT, options=SEED) as stream:
        next(stream)
        with pytest.raises(errors.SessionBusy):
            base.clone(clip())
    assert base.clone(clip()).kind == "clone"


# --- the command line ---------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    got = main(argv)
    captured = capsys.readouterr()
    assert got == code, captured.err
    return captured.out if code == 0 else captured.err


SHORT = ("-t", "1", "--seed", "1", "--max-seconds", "0.5", "-q")


def test_save_speak_list_remove(capsys: pytest.CaptureFixture[str], wav: Path, saved: Path):
    model = ("-m", str(variant("base")))
    out = run(capsys, "voices", "save", "ann", "--clone", str(wav), "--transcript", SAID, *model)
    assert out == f"saved ann in {saved / 'ann.voice'}\n"
    run(capsys, "voices", "save", "deep", "--design", "A deep voice.", "-q")
    assert Voice.load("ann").transcript == SAID
    (saved / "bad.voice").write_bytes(b"x")
    lines = run(capsys, "voices", *model).splitlines()
    assert "ann (saved, cloned in context)" in lines
    assert "deep (saved, A deep voice.)" in lines
    assert "damaged" in next(line for line in lines if line.startswith("bad (saved, "))
    listed = json.loads(run(capsys, "voices", *model, "--json"))["saved"]
    assert [one["kind"] for one in listed] == ["clone", None, "design"]
    run(capsys, "speak", "Hi", *model, "--voice", "ann", "-o", "a.pcm", "--codes", "a.npy", *SHORT)
    for voice, same in ((("--voice", "ann"), True), ((), False)):
        run(capsys, "speak", "--from-codes", "a.npy", *model, *voice, "-o", "e.pcm", "-t", "1", "-q")
        assert (Path("e.pcm").read_bytes() == Path("a.pcm").read_bytes()) is same
    run(capsys, "speak", "Hi", *model, "--clone", str(wav), "--transcript", SAID, "-o", "b.pcm", *SHORT)
    run(capsys, "speak", "Hi", *model, "--voice", str(saved / "ann.voice"), "-o", "c.pcm", *SHORT)
    run(capsys, "speak", "Hi", *model, "--clone", str(wav), "-o", "d.pcm", *SHORT)
    a, b, c, d = (Path(f"{name}.pcm").read_bytes() for name in "abcd")
    assert a == b == c != d
    assert run(capsys, "voices", "remove", "ann") == "removed ann\n"
    assert not (saved / "ann.voice").exists()


def test_a_saved_description_speaks(capsys: pytest.CaptureFixture[str]):
    model = ("-m", str(variant("voice_design")))
    run(capsys, "voices", "save", "deep", "--design", "A deep voice.")
    run(capsys, "speak", "Hi", *model, "--voice", "deep", "-o", "a.pcm", *SHORT)
    run(capsys, "speak", "Hi", *model, "--design", "A deep voice.", "-o", "b.pcm", *SHORT)
    assert Path("a.pcm").read_bytes() == Path("b.pcm").read_bytes()


def test_what_is_wrong_with_a_voice_ends_with_4(
    capsys: pytest.CaptureFixture[str], wav: Path, tmp_path: Path
):
    import soundfile

    soundfile.write("silent.wav", np.zeros(24000), 24000)
    soundfile.write("short.wav", *clip(seconds=0.01))
    Path("empty.wav").touch()
    Path("text.wav").write_text("not sound")
    Path("bad.voice").write_bytes(b"\0" * 50)
    base, custom, design = (("-m", str(variant(kind))) for kind in ("base", "custom_voice", "voice_design"))
    for argv, words in (
        ((*base, "--clone", "silent.wav"), "silent"),
        ((*base, "--clone", "short.wav"), "too short"),
        ((*base, "--clone", "empty.wav"), "not an audio file"),
        ((*base, "--clone", "text.wav"), "not an audio file"),
        ((*base, "--clone", "none.wav"), "no such file"),
        ((*base, "--clone", str(wav), "--transcript", " "), "the transcript is ' '"),
        ((*base, "--transcript", "words"), "--transcript was given without --clone"),
        ((*base, "--voice", "bad.voice"), "damaged or no voice file"),
        ((*base, "--voice", "none.voice"), "could not be read"),
        ((*base, "--voice", "nobody"), "is not in this model"),
        ((*custom, "--clone", str(wav)), "expected a base model"),
        ((*custom, "--design", "deep"), "expected a voice_design model"),
        (design, "no description was given"),
        ((*design, "--design", " "), "the description of the voice is empty"),
    ):
        err = run(capsys, "speak", "Hi", "-t", "1", *argv, code=4)
        assert words in err, argv
        assert err.count("\n") == 1
    for argv, words in (
        (("save", "a/b", "--clone", str(wav), *base), "voice name 'a/b' cannot be used"),
        (("save", "ann", "--clone", str(wav), *custom), "expected a base model"),
        (("save", "ann", "--transcript", "x", *base), "--transcript was given without --clone"),
        (("remove", "ann"), "no voice 'ann' is saved"),
    ):
        assert words in run(capsys, "voices", *argv, code=4), argv
    for argv in (
        ("voices", "save"), ("voices", "save", "a", "b"), ("voices", "save", "a"), ("voices", "x", "y"),
        ("voices", "--clone", "a"), ("voices", "save", "a", "--clone", "b", "--design", "c"),
        ("speak", "Hi", "--voice", "a", "--clone", "b"), ("speak", "Hi", "--design", "a", "--clone", "b"),
    ):  # fmt: skip
        assert "expected" in run(capsys, *argv, code=2)
    assert not (tmp_path / "speech.wav").exists()
    assert not (tmp_path / "voices").exists(), "nothing was saved"
