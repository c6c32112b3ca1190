"""Receipts end to end: the packaged voice said again from its WAV file and its JSON, and misses noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from mutate import rewrite
from tiny_omni import omni_gguf
from toys import toy, variant

import pyomni
from pyomni import SpeechOptions
from pyomni.api import packaged_voice
from pyomni.cli import main
from pyomni.metadata import fingerprint
from pyomni.receipt import Receipt, codes_hash

TEXT = "Good morning."
SHORT = ("--seed", "3", "--max-seconds", "0.4", "-t", "1")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYOMNI_MODEL", raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main([*argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_packaged_voice_is_said_again(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    code, out, err = run(capsys, "speak", TEXT, *SHORT, "-o", "a.wav", "--json")
    assert code == 0, err
    printed = json.loads(out)
    receipt = Receipt.from_dict(printed["receipt"])
    assert receipt.text == TEXT
    assert receipt.model_hash == fingerprint(packaged_voice())
    assert (receipt.model, receipt.frames, receipt.seed) == ("demo.gguf", printed["frames"], 3)
    assert Receipt.read("a.wav") == receipt.public()
    (here / "a.json").write_text(out)

    # found by itself: the model, the text and the options; nothing is written unless -o says so
    before = sorted(here.iterdir())
    code, out, err = run(capsys, "speak", "--receipt", "a.json", "-t", "1")
    assert (code, out) == (0, "a.json: the codes match\n"), err
    assert sorted(here.iterdir()) == before
    # of the WAV file, the text has to be given; the same sound comes out
    code, out, err = run(capsys, "speak", TEXT, "--receipt", "a.wav", "-o", "b.wav", "-t", "1", "--json")
    assert code == 0, err
    assert json.loads(out)["replay"] == {"matches": True, "differences": []}
    assert (here / "b.wav").read_bytes() == (here / "a.wav").read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Receipt, pyomni.Speech]:
    with pyomni.load(toy(), device="cpu", threads=1) as model:
        speech = model.speak(TEXT, voice="ryan", options=SpeechOptions(seed=7, max_frames=6))
    assert speech.receipt is not None
    return speech.receipt, speech


def test_what_a_speech_says_of_itself(made: tuple[Receipt, pyomni.Speech], here: Path) -> None:
    receipt, speech = made
    assert receipt.codes_hash == codes_hash(speech.codes)
    assert (receipt.voice, receipt.voice_name, receipt.type, receipt.device) == (
        "preset",
        "ryan",
        "f32",
        "cpu",
    )
    speech.save("a.wav")
    assert Receipt.read("a.wav") == receipt.public()
    with pyomni.load(toy(), device="cpu", threads=1) as model:
        options = SpeechOptions(seed=7, max_frames=6)
        (lane,) = model.speak_many([TEXT], voice="ryan", options=options)
        assert lane.receipt == receipt
        stream = model.stream(TEXT, voice="ryan", options=options)
        assert stream.receipt is None
        assert stream.read().receipt == stream.receipt == receipt
        arriving = model.stream(iter([TEXT]), voice="ryan", options=options).read().receipt
        assert arriving is not None
        assert (arriving.words_hash, arriving.text) == ("", None)


def test_proposals_are_part_of_it(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    codes = []
    for n in ("off", "2"):
        code, out, err = run(capsys, "speak", TEXT, "-m", str(toy()), "--seed", "3", "--speculate", n,
                             "-o", f"{n}.wav", "-t", "1", "--json", "--max-seconds", "0.5")  # fmt: skip
        assert code == 0, err
        codes.append(Receipt.read(f"{n}.wav"))
    assert "speculate" not in codes[0].options
    assert codes[1].options["speculate"] == 2
    assert codes[0].codes_hash != codes[1].codes_hash
    code, out, err = run(capsys, "speak", TEXT, "-m", str(toy()), "--receipt", "2.wav", "-o", "again.wav",
                         "-t", "1", "--json")  # fmt: skip
    assert json.loads(out)["replay"] == {"matches": True, "differences": []}, err
    for wrong in ("4", "-1", "some"):
        code, _, err = run(capsys, "speak", TEXT, "-m", str(toy()), "--speculate", wrong, "-o", "no.wav")
        assert code == 2
        assert f"speculate is {wrong!r}".replace("'", "") in err.replace("'", "")
        assert not (here / "no.wav").exists()


def test_a_stream_that_was_saved(made: tuple[Receipt, pyomni.Speech]) -> None:
    receipt, _ = made
    with pyomni.load(toy(), device="cpu", threads=1) as model:
        options = SpeechOptions(seed=7, max_frames=6)
        with model.stream(TEXT, voice="ryan", options=options) as stream:
            next(stream)
            saved = stream.save()
        assert TEXT.encode() not in saved
        again = model.resume(saved).read().receipt
        assert again == receipt.public()
        other = model.resume(saved, seed=8).read().receipt
    assert other is not None
    assert (other.seed, other.words_hash, other.frames) == (8, "", receipt.frames)
    assert other.codes_hash != receipt.codes_hash


def replayed(capsys: pytest.CaptureFixture[str], here: Path, receipt: Receipt, *argv: str) -> tuple[int, str]:
    (here / "r.json").write_text(receipt.to_json(words=True))
    code, _, err = run(capsys, "speak", "--receipt", "r.json", "-t", "1", *argv)
    assert err.count("pyomni: error: ") == (code != 0)
    return code, err


def test_misses(made: tuple[Receipt, pyomni.Speech], capsys: pytest.CaptureFixture[str], here: Path) -> None:
    from dataclasses import replace

    receipt, _ = made
    assert replayed(capsys, here, receipt, "-m", str(toy()))[0] == 0
    # other codes there
    code, err = replayed(capsys, here, replace(receipt, codes_hash="0" * 32), "-m", str(toy()))
    assert code == 6
    assert "does not match: codes 000000" in err
    # another seed there
    code, err = replayed(capsys, here, replace(receipt, seed=8), "-m", str(toy()))
    assert code == 6
    assert "codes" in err
    # a model with one damaged weight, as a file of its own
    other = rewrite(
        toy(), here / "other.gguf", tensors={"talker.output_norm.weight": lambda w: w * np.float32(1.5)}
    )
    code, err = replayed(capsys, here, receipt, "-m", str(other))
    assert code == 6
    assert "another" in err
    # the same, where the receipt does not know its model: told by the codes
    code, err = replayed(capsys, here, replace(receipt, model_hash=""), "-m", str(other))
    assert code == 6
    assert "does not match: model" in err
    # no model here is the one
    code, err = replayed(capsys, here, receipt)
    assert code == 3
    assert "neither the packaged voice" in err


def test_what_is_missing_or_contradicts_is_said(
    made: tuple[Receipt, pyomni.Speech], capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    receipt, speech = made
    speech.save("a.wav")
    model = ("-m", str(toy()), "-t", "1")
    for argv, code, words in (
        ((), 4, "does not hold the text"),
        (("Good evening.",), 6, "another text"),
        ((TEXT, "--seed", "3"), 2, "--seed and --receipt"),
        ((TEXT, "--greedy"), 2, "--greedy and --receipt"),
        ((TEXT, "--language", "english"), 2, "--language and --receipt"),
    ):
        found, _, err = run(capsys, "speak", *argv, "--receipt", "a.wav", *model)
        assert (found, words in err) == (code, True), err
    code, err = replayed(capsys, here, Receipt.from_dict({**receipt.to_dict(), "words_hash": ""}), *model)
    assert code == 4
    assert "arrived in pieces" in err


def test_a_clone_is_given_again(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    base = variant("base")
    with pyomni.load(base, device="cpu", threads=1) as model:
        row = np.linspace(-1, 1, model._meta.n_embd)
        voice = pyomni.Voice.clone(row, name="ann")
        speech = model.speak(TEXT, voice=voice, options=SpeechOptions(seed=1, max_frames=3))
    voice.save("ann.voice")
    assert speech.receipt is not None
    model_flag = ("-m", str(base))
    code, err = replayed(capsys, here, speech.receipt, *model_flag)
    assert code == 4
    assert "cloned voice" in err
    assert replayed(capsys, here, speech.receipt, *model_flag, "--voice", "./ann.voice")[0] == 0
    pyomni.Voice.clone(-row, name="ann").save("other.voice")
    code, err = replayed(capsys, here, speech.receipt, *model_flag, "--voice", "./other.voice")
    assert code == 6
    assert "does not match: voice" in err


def test_a_file_that_is_gone_costs_the_hash_and_nothing_else(here: Path) -> None:
    path = here / "model.gguf"
    path.write_bytes(toy().read_bytes())
    with pyomni.load(path, device="cpu", threads=1) as model:
        os.utime(path, (1, 1))  # another file by now, as far as anyone can tell
        receipt = model.speak(TEXT, voice="ryan", options=SpeechOptions(seed=7, max_frames=2)).receipt
    assert receipt is not None
    assert receipt.model_hash == ""


def test_a_spoken_reply_has_one_that_cannot_be_said_again(here: Path) -> None:
    with pyomni.load(omni_gguf(here / "omni.gguf"), device="cpu", threads=1) as model:
        reply = model.reply(
            [{"role": "user", "content": "Hi"}],
            speak=True,
            options=pyomni.ChatOptions(seed=1, max_tokens=4),
            speech_options=SpeechOptions(seed=1, max_frames=4),
        )
    assert reply.speech is not None
    receipt = reply.speech.receipt
    assert receipt is not None
    assert receipt.codes_hash == codes_hash(reply.speech.codes)
    assert (len(receipt.model_hash), receipt.words_hash) == (32, "")
