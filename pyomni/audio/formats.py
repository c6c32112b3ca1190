"""One writer per audio format, and output files that appear whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.audio.wav import WavWriter, to_int16
from pyomni.errors import ArgumentError, AudioError, OutputFileError, PyOmniError

__all__ = ["FORMATS", "AudioWriter", "format_of", "open_writer", "output_file", "save"]

F32 = npt.NDArray[np.float32]

#: Names a caller may use, and the libsndfile container and encoding of those that need it.
FORMATS: dict[str, tuple[str, str] | None] = {
    "wav": None,
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus": ("OGG", "OPUS"),
    "ogg": ("OGG", "VORBIS"),
    "aac": None,
    "pcm": None,
}


class AudioWriter(Protocol):
    """Takes samples as they come; `close` finishes the file it was given."""

    def write(self, pcm: F32) -> None:
        """Append samples, float32 [n]."""

    def close(self, info: Mapping[str, str] | None = None) -> None:
        """Finish; `info` is what a WAV file says of itself, and other formats leave out."""


def format_of(path: str | os.PathLike[str], wanted: str | None = None) -> str:
    """Return the format of an output: `wanted` if given, else the file name's extension; wav for ``-``.

    Raises
    ------
    ArgumentError
        Neither names a format pyomni writes.
    """
    text = os.fspath(path)
    name = wanted if wanted is not None else ("wav" if text == "-" else Path(text).suffix[1:])
    if name.lower() in FORMATS:
        return name.lower()
    known = ", ".join(FORMATS)
    if wanted is not None:
        raise ArgumentError(f"format {wanted!r} is not one pyomni writes, expected one of: {known}")
    found = f"ends in '.{name}'" if name else "has no extension"
    raise ArgumentError(f"output file {text!r} {found}, expected one of: {known}; or name the format")


def open_writer(file: BinaryIO, name: str, sample_rate: int) -> AudioWriter:
    """Return a writer of one of `FORMATS` onto an open binary file or pipe.

    Raises
    ------
    AudioError
        What writes this format is not installed, or cannot write it at this rate.
    """
    if name == "wav":
        return WavWriter(file, sample_rate)
    if name == "pcm":
        return _PcmWriter(file)
    if name == "aac":
        from pyomni.audio.aac import AacWriter

        return AacWriter(file, sample_rate)
    return _SndfileWriter(file, name, sample_rate)


class _PcmWriter:
    """Bare little-endian 16-bit samples."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, pcm: F32) -> None:
        self._file.write(to_int16(pcm).astype("<i2", copy=False).tobytes())

    def close(self, info: Mapping[str, str] | None = None) -> None:
        self._file.flush()


class _SndfileWriter:
    """Compressed formats through libsndfile, which needs to seek: the file gets the bytes on close."""

    def __init__(self, file: BinaryIO, name: str, sample_rate: int) -> None:
        import soundfile  # loads libsndfile; only these formats need it

        self._file, self._buffer = file, io.BytesIO()
        container, encoding = FORMATS[name] or ("", "")
        try:
            self._sound: Any = soundfile.SoundFile(
                self._buffer, "w", samplerate=sample_rate, channels=1, format=container, subtype=encoding
            )
        except (soundfile.LibsndfileError, ValueError) as error:
            raise AudioError(f"{name} at {sample_rate} Hz cannot be written here: {error}") from None

    def write(self, pcm: F32) -> None:
        self._sound.write(to_int16(pcm))

    def close(self, info: Mapping[str, str] | None = None) -> None:
        self._sound.close()
        self._file.write(self._buffer.getbuffer())
        self._file.flush()


@contextmanager
def output_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open an output that appears whole or not at all: written beside, then renamed; removed on any failure.

    ``-`` is stdout. An existing device or pipe (``/dev/null``) is written to directly.

    Yields
    ------
    binary file, open for writing

    Raises
    ------
    OutputFileError
        The folder is missing or read-only, the path is a folder, or the disk is full.
    """
    text = os.fspath(path)
    if text == "-":
        with _disk_errors("stdout"):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    target = Path(text)
    with _disk_errors(f"output file {text!r}"):
        if target.is_dir():
            raise OutputFileError(f"output file {text!r} is a folder, expected a file name")
        if target.exists() and not target.is_file():
            with target.open("wb", buffering=0) as device:
                yield device
            return
        target = Path(os.path.realpath(target))  # a link stays a link
        beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
        # not tempfile: its files are private to the user, and a WAV gets the mode any new file gets
        handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
            beside.replace(target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def save(
    path: str | os.PathLike[str],
    pcm: F32,
    sample_rate: int,
    wanted: str | None = None,
    info: Mapping[str, str] | None = None,
) -> None:
    """Write a whole clip, float32 [n], in the format `format_of` names; `info` as `AudioWriter.close`."""
    name = format_of(path, wanted)
    with output_file(path) as file:
        writer = open_writer(file, name, sample_rate)
        writer.write(pcm)
        writer.close(info)


@contextmanager
def _disk_errors(name: str) -> Iterator[None]:
    """Say which output an operating system error was about."""
    try:
        yield
    except PyOmniError:
        raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        failure = OutputFileError(f"{name} could not be written: {reason}")
        failure.errno = error.errno
        raise failure from error
