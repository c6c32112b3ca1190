"""The command line on toy models: what it writes, prints and reports."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toys import toy, variant

import pyomni
from pyomni import SpeechOptions
from pyomni.audio.wav import to_int16
from pyomni.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder with the toy as the model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYOMNI_MODEL", str(toy()))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[str, str]:
    """Run a command that succeeds; return stdout and stderr."""
    verb, *rest = argv
    threads = ["-t", "1"] if verb in ("speak", "bench") else []
    code = main([verb, *threads, *rest])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out, captured.err


def samples(path: str) -> bytes:
    with wave.open(path) as read:
        return read.readframes(read.getnframes())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def expected() -> pyomni.Speech:
    with pyomni.load(toy(), threads=1) as model:
        return model.speak("Hello there.", voice="ryan", options=SpeechOptions(seed=7, max_frames=25))


SPEAK = ("speak", "Hello there.", "--voice", "ryan", "--seed", "7", "--max-seconds", "2")


def test_wav_equals_the_python_face(capsys: pytest.CaptureFixture[str], here: Path, expected: pyomni.Speech):
    out, err = run(capsys, *SPEAK)
    assert names(here) == {"speech.wav"}
    with wave.open("speech.wav") as read:
        assert read.readframes(10**9) == to_int16(expected.audio).tobytes()
    assert out.startswith("speech.wav: ")
    assert "seed 7" in out
    assert "Traceback" not in err
    expected.save("python.wav")
    assert Path("python.wav").read_bytes() == Path("speech.wav").read_bytes()


def test_json(capsys: pytest.CaptureFixture[str], here: Path, expected: pyomni.Speech):
    out, _ = run(capsys, *SPEAK, "--json", "-o", "a.flac")
    report = json.loads(out)
    assert list(report) == [
        "output",
        "seconds",
        "frames",
        "sample_rate",
        "seed",
        "finish_reason",
        "guard",
        "rtf",
        "ttfa_s",
        "wall_s",
        "peak_mb",
        "receipt",
    ]
    assert report["output"] == "a.flac"
    assert report["frames"] == len(expected.codes)
    assert report["seconds"] == pytest.approx(expected.seconds)
    assert (report["sample_rate"], report["seed"]) == (24000, 7)
    assert report["finish_reason"] == expected.finish_reason
    assert report["guard"] == expected.guard._asdict()
    assert 0 < report["ttfa_s"] <= report["wall_s"]
    assert report["rtf"] == pytest.approx(report["wall_s"] / report["seconds"])
    assert report["peak_mb"] > 10
    assert np.array_equal(soundfile.read("a.flac", dtype="int16")[0], to_int16(expected.audio))


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]):
    assert run(capsys, *SPEAK, "-q") == ("", "")


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "opus", "ogg"])
def test_formats(capsys: pytest.CaptureFixture[str], expected: pyomni.Speech, name: str):
    run(capsys, *SPEAK, "-o", f"a.{name}")
    info = soundfile.info(f"a.{name}")
    assert info.samplerate == 24000
    assert abs(info.duration - expected.seconds) < 0.2
    run(capsys, *SPEAK, "-o", "noext", "--format", name)
    assert soundfile.info("noext").format == info.format


def test_speed_keeps_the_codes(capsys: pytest.CaptureFixture[str], expected: pyomni.Speech):
    out, _ = run(capsys, *SPEAK, "-o", "fast.pcm", "--speed", "2", "--json", "--codes", "fast.npy")
    assert len(Path("fast.pcm").read_bytes()) == 2 * round(len(expected.audio) / 2)
    assert json.loads(out)["seconds"] == pytest.approx(expected.seconds / 2)
    assert np.array_equal(np.load("fast.npy"), expected.codes)
    run(capsys, "speak", *SPEAK[2:], "--from-codes", "fast.npy", "-o", "slow.aac", "--speed", "0.5")
    assert Path("slow.aac").read_bytes()[:1] == b"\xff"


@pytest.mark.parametrize("speed", ["0", "5", "nan"])
def test_a_speed_that_is_none_is_wrong_usage_and_leaves_no_file(
    capsys: pytest.CaptureFixture[str], speed: str
):
    assert main([*SPEAK, "-o", "a.wav", "--speed", speed]) == 2
    assert "expected a number from 0.25 to 4" in capsys.readouterr().err
    assert not Path("a.wav").exists()


def test_text_from_a_file_and_from_stdin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, expected: pyomni.Speech
):
    Path("text.txt").write_bytes(b"\xef\xbb\xbfHello there.")  # with a byte order mark
    rest = SPEAK[2:]
    run(capsys, "speak", "-f", "text.txt", *rest, "-o", "file.pcm")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hello there.")))
    run(capsys, "speak", "-", *rest, "-o", "stdin.pcm")
    want = to_int16(expected.audio).tobytes()
    assert Path("file.pcm").read_bytes() == Path("stdin.pcm").read_bytes() == want


def test_a_book_in_parts_on_lanes(capsys: pytest.CaptureFixture[str]):
    text = "First one. Dr. Second follows.\n\nThird, in a paragraph of its own."
    Path("book.txt").write_text(text)
    rest = ("--voice", "ryan", "--seed", "7", "--split", "sentences", "--pause", "0.2")
    run(capsys, "speak", "-f", "book.txt", *rest, "-o", "one.wav", "--codes", "one.npy")
    run(capsys, "speak", "-f", "book.txt", *rest, "-o", "lanes.wav", "--lanes", "3")
    assert Path("one.wav").read_bytes() == Path("lanes.wav").read_bytes()
    options = SpeechOptions(seed=7, split="sentences", pause=0.2)
    with pyomni.load(toy(), threads=1) as model:
        speech = model.speak(text, voice="ryan", options=options)
    assert len(speech.pieces) == 3
    assert np.array_equal(np.load("one.npy"), speech.codes)
    assert samples("one.wav") == to_int16(speech.audio).tobytes()


def test_stdout_is_audio_and_nothing_else(expected: pyomni.Speech):
    command = [sys.executable, "-m", "pyomni", *SPEAK, "-t", "1", "-o", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout[:4] == b"RIFF"
    assert done.stdout[40:44] == b"\xff\xff\xff\xff"  # a pipe: the end is open
    assert done.stdout[44:] == to_int16(expected.audio).tobytes()
    assert b"seed 7" in done.stderr
    done = subprocess.run([*command, "--format", "pcm", "-q"], capture_output=True, check=True)
    assert done.stdout == to_int16(expected.audio).tobytes()
    assert done.stderr == b""


def test_codes_out_and_in(capsys: pytest.CaptureFixture[str], expected: pyomni.Speech):
    run(capsys, *SPEAK, "--codes", "codes.npy", "-o", "a.wav")
    codes = np.load("codes.npy")
    assert codes.dtype == np.int32
    assert np.array_equal(codes, expected.codes)
    out, _ = run(capsys, "speak", "--from-codes", "codes.npy", "-o", "b.wav", "--json")
    assert samples("a.wav") == samples("b.wav")
    report = json.loads(out)
    assert report["receipt"] is None  # nobody knows what those codes were made of
    assert (report["frames"], report["seed"], report["finish_reason"]) == (len(codes), None, None)


def test_without_a_model_the_packaged_voice_speaks_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("PYOMNI_MODEL")
    _, err = run(capsys, "speak", "Hello.", "--seed", "7", "--max-seconds", "1")
    assert "no model given (-m or $PYOMNI_MODEL): using the small English voice in the package" in err
    _, err = run(capsys, "speak", "Hello.", "--seed", "7", "--max-seconds", "1", "-q")
    assert err == ""


def test_a_cut_is_told(capsys: pytest.CaptureFixture[str]):
    model = str(variant("custom_voice"))
    out, err = run(capsys, "speak", "Hi", "-m", model, "--max-seconds", "0.5", "--json")
    assert (json.loads(out)["frames"], json.loads(out)["finish_reason"]) == (6, "length")
    assert "the speech was cut at 6 frames (0.5 s)" in err


def test_options_reach_the_model(capsys: pytest.CaptureFixture[str]):
    with pyomni.load(toy(), threads=1) as model:
        options = SpeechOptions(
            seed=3,
            temperature=0.5,
            top_k=7,
            top_p=0.8,
            repetition_penalty=1.5,
            predictor_temperature=0.6,
            predictor_top_k=9,
            predictor_top_p=0.7,
            max_frames=12,
        )
        want = model.speak("Hi", voice="vivian", language="german", options=options).codes
        greedy = model.speak("Hi", voice="vivian", options=SpeechOptions(greedy=True, max_frames=12)).codes
    flags = "--seed 3 --temperature 0.5 --top-k 7 --top-p 0.8 --repetition-penalty 1.5 "
    flags += "--predictor-temperature 0.6 --predictor-top-k 9 --predictor-top-p 0.7 "
    flags += "--max-seconds 0.96 --voice vivian --language German"
    run(capsys, "speak", "Hi", *flags.split(), "--codes", "a.npy", "-q")
    assert np.array_equal(np.load("a.npy"), want)
    run(
        capsys,
        "speak",
        "Hi",
        "--greedy",
        "--max-seconds",
        "0.96",
        "--voice",
        "vivian",
        "--codes",
        "b.npy",
        "-q",
    )
    assert np.array_equal(np.load("b.npy"), greedy)


def test_design(capsys: pytest.CaptureFixture[str]):
    arguments = (
        "speak",
        "Hi",
        "-m",
        str(variant("voice_design")),
        "--seed",
        "1",
        "--max-seconds",
        "0.5",
        "-q",
    )
    run(capsys, *arguments, "--design", "Another one.", "-o", "plain.pcm")
    run(capsys, *arguments, "--design", "A deep voice.", "-o", "deep.pcm")
    run(capsys, *arguments, "--instruct", "A deep voice.", "-o", "same.pcm")
    assert Path("plain.pcm").read_bytes() != Path("deep.pcm").read_bytes()
    assert Path("same.pcm").read_bytes() == Path("deep.pcm").read_bytes()


def test_voices(capsys: pytest.CaptureFixture[str]):
    lines = run(capsys, "voices")[0].splitlines()
    assert "ryan" in lines
    assert "eric (sichuan_dialect)" in lines
    listed = json.loads(run(capsys, "voices", str(toy()), "--json")[0])["speakers"]
    assert {"name": "eric", "dialect": "sichuan_dialect"} in listed
    assert "no preset speakers: this is a base model" in run(capsys, "voices", str(variant("base")))[0]


def test_info(capsys: pytest.CaptureFixture[str]):
    info = json.loads(run(capsys, "info", "--json")[0])
    assert info["model_type"] == "custom_voice"
    assert {"talker", "code_predictor", "codec_decoder"} <= set(info["components"])
    assert "english" in info["languages"]
    assert info["defaults"]["temperature"] == 0.9
    text = run(capsys, "info", "-m", str(toy()))[0]
    assert "model_type: custom_voice" in text
    assert "ryan" in text


def test_bench(capsys: pytest.CaptureFixture[str]):
    [result] = json.loads(run(capsys, "bench", "--frames", "6", "--device", "cpu", "--json")[0])["results"]
    assert (result["device"], result["threads"], result["frames"]) == ("cpu", 1, 6)
    for key in ("prefill_ms", "talker_ms", "predictor_ms", "codec_ms", "rtf", "ttfa_s"):
        assert result[key] > 0
    text = run(capsys, "bench", "--frames", "3", "--device", "cpu")[0]
    assert "ms per frame" in text


def test_benchmark_prints_one_line():
    script = Path(__file__).parents[2] / "benchmarks" / "speak.py"
    done = subprocess.run(
        [sys.executable, str(script), str(toy()), "--frames", "4", "-t", "1"],
        capture_output=True,
        text=True,
        check=True,
    )
    [line] = done.stdout.splitlines()
    result = json.loads(line)
    assert result["frames"] == 4
    assert {"commit", "machine", "model", "type", "rtf", "ttfa_s", "prefill_ms", "peak_mb"} <= set(result)
    took = result["talker_ms"] + result["predictor_ms"]
    assert result["of_floor"] == pytest.approx(took / result["floor_ms"], rel=0.1, abs=0.02)


def test_convert(capsys: pytest.CaptureFixture[str], here: Path):
    from tiny import tiny_checkpoint

    tiny_checkpoint(here / "hf")
    out, _ = run(capsys, "convert", "hf", "out.gguf", "--type", "f32")
    assert out.startswith("out.gguf: ")
    report = json.loads(run(capsys, "convert", "hf", "small.gguf", "--json")[0])
    assert report["type"] == "q8_0"
    assert report["bytes"] == Path("small.gguf").stat().st_size < Path("out.gguf").stat().st_size
    run(capsys, "speak", "Hi", "-m", "small.gguf", "--max-seconds", "0.3", "-q")


def test_play_runs_a_player(capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch):
    player = here / "bin" / "aplay"
    player.parent.mkdir()
    player.write_text('#!/bin/sh\nwc -c < "$2" > played\n')
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{player.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    run(capsys, *SPEAK, "--play")
    assert int(Path("played").read_text()) == Path("speech.wav").stat().st_size
