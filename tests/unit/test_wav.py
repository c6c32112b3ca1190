"""WAV headers and samples, the other formats, and outputs that appear whole or not at all."""

from __future__ import annotations

import io
import os
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pyomni.audio.formats import FORMATS, format_of, open_writer, output_file, save
from pyomni.audio.wav import WavWriter, read_info, to_int16
from pyomni.errors import ArgumentError, AudioError, OutputFileError

TONE = (0.5 * np.sin(np.arange(24000) * 2 * np.pi * 440 / 24000)).astype(np.float32)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class Pipe(io.BytesIO):
    """A file that cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("a pipe")


def test_rounding_and_clipping():
    given = np.array([0, 1, -1, 2, -2, 0.5 / 32767, 1.5 / 32767, 2.5 / 32767, -0.4 / 32767], np.float32)
    assert to_int16(given).tolist() == [0, 32767, -32767, 32767, -32767, 0, 2, 2, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_numbers(bad: float):
    with pytest.raises(AudioError, match=r"sample 1 is (nan|inf), expected a finite number"):
        to_int16(np.array([0, bad], np.float32))


def test_two_channels_are_refused():
    with pytest.raises(AudioError, match=r"shape \[2, 3\]"):
        to_int16(np.zeros((2, 3), np.float32))


def test_file_header_is_patched(tmp_path: Path):
    path = tmp_path / "a.wav"
    with path.open("wb") as file:
        writer = WavWriter(file, 24000)
        for block in np.array_split(TONE, 7):
            writer.write(block)
        writer.close()
    with wave.open(str(path)) as read:
        assert (read.getnchannels(), read.getsampwidth(), read.getframerate(), read.getnframes()) == (
            1,
            2,
            24000,
            24000,
        )
        assert read.readframes(24000) == to_int16(TONE).astype("<i2").tobytes()
    assert path.stat().st_size == 44 + 2 * 24000


def test_pipe_header_is_open_ended():
    pipe = Pipe()
    writer = WavWriter(pipe, 16000)
    writer.write(TONE[:10])
    writer.close()
    data = pipe.getvalue()
    assert struct.unpack("<I", data[4:8]) == struct.unpack("<I", data[40:44]) == (0xFFFFFFFF,)
    assert struct.unpack("<I", data[24:28]) == (16000,)
    assert data[44:] == to_int16(TONE[:10]).astype("<i2").tobytes()


def test_empty_wav_is_a_wav(tmp_path: Path):
    save(tmp_path / "e.wav", np.zeros(0, np.float32), 24000)
    assert soundfile.info(tmp_path / "e.wav").frames == 0


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("pcm", "aac")])
def test_every_format_reads_back(tmp_path: Path, name: str):
    path = tmp_path / f"a.{name}"
    save(path, TONE, 24000)
    read, rate = soundfile.read(path, dtype="float32")
    assert rate == 24000
    assert abs(len(read) - len(TONE)) <= 2400  # compressed formats pad
    assert 0.3 < np.sqrt(np.mean(read[2400:21600] ** 2)) < 0.4  # 0.5 / sqrt(2)
    if name in ("wav", "flac"):
        assert np.array_equal(soundfile.read(path, dtype="int16")[0], to_int16(TONE))


def test_pcm_is_bare_samples(tmp_path: Path):
    save(tmp_path / "a.raw", TONE, 24000, "pcm")
    assert (tmp_path / "a.raw").read_bytes() == to_int16(TONE).astype("<i2").tobytes()


def test_compressed_to_a_pipe():
    pipe = Pipe()
    writer = open_writer(pipe, "flac", 24000)
    writer.write(TONE)
    writer.close()
    assert np.array_equal(soundfile.read(io.BytesIO(pipe.getvalue()), dtype="int16")[0], to_int16(TONE))


def test_a_rate_the_encoder_cannot_write():
    with pytest.raises(AudioError, match="opus at 12345 Hz cannot be written here"):
        open_writer(io.BytesIO(), "opus", 12345)


def test_format_by_name_or_extension():
    assert format_of("a.WAV") == "wav"
    assert format_of("-") == "wav"
    assert format_of("a.txt", "FLAC") == "flac"
    with pytest.raises(
        ArgumentError, match=r"ends in '.txt', expected one of: wav, flac, mp3, opus, ogg, aac, pcm"
    ):
        format_of("a.txt")
    with pytest.raises(ArgumentError, match="has no extension"):
        format_of("speech")
    with pytest.raises(ArgumentError, match="format 'aiff'"):
        format_of("a.wav", "aiff")


def test_output_appears_whole(tmp_path: Path):
    target = tmp_path / "a.bin"
    with output_file(target) as file:
        file.write(b"half")
        assert not target.exists()
    assert target.read_bytes() == b"half"
    assert names(tmp_path) == ["a.bin"]
    if os.name == "posix":
        (tmp_path / "plain").touch()
        assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError, AudioError])
def test_failure_leaves_the_old_file(tmp_path: Path, failure: type[BaseException]):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def fail_half_way() -> None:
        with output_file(target) as file:
            file.write(b"half")
            raise failure

    with pytest.raises(failure):
        fail_half_way()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_outputs_that_cannot_be(tmp_path: Path):
    with pytest.raises(OutputFileError, match="is a folder, expected a file name"), output_file(tmp_path):
        pass
    with pytest.raises(OutputFileError, match="could not be written: No such file or directory"), \
            output_file(tmp_path / "no" / "a.wav"):  # fmt: skip
        pass
    with pytest.raises(OutputFileError), output_file(tmp_path / ("x" * 300)) as file:
        file.write(b"")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk():
    with (
        pytest.raises(OutputFileError, match="No space left on device") as caught,
        output_file("/dev/full") as file,
    ):
        file.write(b"x" * 100000)
    assert caught.value.errno == 28


def test_a_link_stays_a_link(tmp_path: Path):
    (tmp_path / "real.bin").write_bytes(b"old")
    (tmp_path / "link.bin").symlink_to("real.bin")
    with output_file(tmp_path / "link.bin") as file:
        file.write(b"new")
    assert (tmp_path / "link.bin").is_symlink()
    assert (tmp_path / "real.bin").read_bytes() == b"new"


def test_nothing_is_left_when_samples_are_bad(tmp_path: Path):
    for name in ("wav", "flac", "mp3"):
        with pytest.raises(AudioError):
            save(tmp_path / f"a.{name}", np.array([0, np.nan], np.float32), 24000)
    assert names(tmp_path) == []


# --- what a file says of itself -----------------------------------------------------------------------------

INFO = {"ISFT": "pyomni 1", "ICMT": 'na\u00efve {"a":1}'}


def test_info_follows_the_samples_and_readers_pass_over_it(tmp_path: Path):
    path = tmp_path / "a.wav"
    save(path, TONE, 24000, info=INFO)
    assert read_info(path) == INFO
    raw = path.read_bytes()
    assert struct.unpack("<I", raw[4:8]) == (len(raw) - 8,)
    assert struct.unpack("<I", raw[40:44]) == (2 * len(TONE),)
    with wave.open(str(path)) as read:
        assert read.readframes(10**6) == to_int16(TONE).tobytes()
    with soundfile.SoundFile(path) as read:
        assert (read.frames, read.software, read.comment) == (len(TONE), INFO["ISFT"], INFO["ICMT"])


def test_a_pipe_and_other_formats_have_no_info(tmp_path: Path):
    pipe = Pipe()
    writer = WavWriter(pipe, 16000)
    writer.write(TONE[:10])
    writer.close(INFO)
    assert len(pipe.getvalue()) == 44 + 20
    save(tmp_path / "a.flac", TONE, 24000, info=INFO)
    save(tmp_path / "b.flac", TONE, 24000)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()
    assert read_info(tmp_path / "a.flac") == {}


def test_damaged_files_say_what_is_left(tmp_path: Path):
    path = tmp_path / "a.wav"
    save(path, TONE[:50], 24000, info=INFO)
    raw = path.read_bytes()
    for end in range(0, len(raw), 3):  # truncated anywhere
        path.write_bytes(raw[:end])
        assert set(read_info(path)) <= set(INFO)
    rng = np.random.default_rng(4)
    for _ in range(300):  # sizes and names that cannot be
        bad = bytearray(raw)
        for at in rng.integers(0, len(raw), 6):
            bad[at] = rng.integers(256)
        path.write_bytes(bad)
        assert all(isinstance(text, str) for text in read_info(path).values())
