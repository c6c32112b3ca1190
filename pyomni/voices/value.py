"""A voice as a value: a speaker of the model, a clone, a description, or none."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Literal, NoReturn

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError

__all__ = ["FAMILY", "Voice"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
Kind = Literal["preset", "clone", "design", "none"]

#: The architecture whose speaker rows and codes a clone holds.
FAMILY = "qwen3-tts"


@dataclass(frozen=True, eq=False)
class Voice:
    """Who speaks; make one with `preset`, `clone`, `design`, `load` or `SpeechModel.clone`.

    It is a value: equal voices compare equal, and its arrays cannot be written to.

    Attributes
    ----------
    kind : {"preset", "clone", "design", "none"}
        A speaker of the model, one taken from a clip, one described in words, or whoever the model makes up.
    name : str
        Of a preset speaker, lower case; what a clone or a design is called, which may be empty.
    embedding : float32 [n_embd] or None
        Of a clone: its row in the talker's prompt. It fits models of this width.
    codes : int32 [n_frames, n_groups] or None
        Of a clone in context: the clip, encoded.
    transcript : str or None
        Of a clone in context: what the clip says.
    description : str
        Of a design.
    family : str
        The architecture a clone fits.
    """

    kind: Kind
    name: str = ""
    embedding: F32 | None = None
    codes: I32 | None = None
    transcript: str | None = None
    description: str = ""
    family: str = FAMILY

    def __post_init__(self) -> None:
        for field in ("embedding", "codes"):
            array = getattr(self, field)
            if array is not None:
                own = np.array(array)
                own.setflags(write=False)
                object.__setattr__(self, field, own)

    @classmethod
    def preset(cls, name: str) -> Voice:
        """Return a speaker that is stored in the model, such as ``ryan``.

        Raises
        ------
        ArgumentError
            The name is not a string, or empty.
        """
        if not isinstance(name, str) or not name.strip():
            raise ArgumentError(f"voice is {name!r}, expected the name of a speaker")
        return cls("preset", name.strip().lower())

    @classmethod
    def clone(
        cls,
        embedding: npt.ArrayLike,
        codes: npt.ArrayLike | None = None,
        transcript: str | None = None,
        *,
        name: str = "",
    ) -> Voice:
        """Return a speaker taken from a clip; `SpeechModel.clone` makes these of the clip itself.

        Parameters
        ----------
        embedding : float [n_embd]
            From a speaker encoder.
        codes : int [n_frames, n_groups], optional
            The clip through a codec encoder, for cloning in context; they come with the transcript.
        transcript : str, optional
            What the clip says.

        Raises
        ------
        ArgumentError
            Another shape or type, a number that is not finite, a negative code, or only one of codes and
            transcript.
        """
        row = _embedding(embedding)
        if (codes is None) != (transcript is None):
            given, missing = ("codes", "transcript") if transcript is None else ("a transcript", "codes")
            raise ArgumentError(f"the voice has {given} and no {missing}, expected both or neither")
        if codes is None or transcript is None:
            return cls("clone", _text("name", name), row)
        if not _text("transcript", transcript).strip():
            raise ArgumentError("the transcript is empty, expected what the clip says, or no transcript")
        return cls("clone", _text("name", name), row, _codes(codes), transcript)

    @classmethod
    def design(cls, description: str, *, name: str = "") -> Voice:
        """Return a speaker described in words, for a voice design model.

        Raises
        ------
        ArgumentError
            The description is not a string, or empty.
        """
        if not _text("description", description).strip():
            raise ArgumentError("the description of the voice is empty, expected words that describe it")
        return cls("design", _text("name", name), description=description)

    @classmethod
    def none(cls) -> Voice:
        """Return no speaker at all: the model makes one up, another with every seed."""
        return cls("none")

    @classmethod
    def of(cls, voice: str | Voice) -> Voice:
        """Return `voice` itself, or the preset speaker of that name."""
        return voice if isinstance(voice, Voice) else cls.preset(voice)

    @classmethod
    def load(cls, voice: str | os.PathLike[str]) -> Voice:
        """Read a voice file, or a saved voice by its name.

        Parameters
        ----------
        voice : path or str
            A path ends in ``.voice`` or has a folder; anything else is a name that
            ``pyomni voices save`` gave.

        Raises
        ------
        ArgumentError
            There is none, it is damaged or no voice file, or a newer pyomni made it.
        """
        from pyomni.voices import library

        return library.load(voice)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a voice file: safetensors, whole or not at all.

        Raises
        ------
        OutputFileError
            The path cannot be written.
        """
        from pyomni.voices import file

        file.write(path, self)

    @property
    def in_context(self) -> bool:
        """Whether it is a clone with the clip and its transcript."""
        return self.codes is not None

    @property
    def made_up(self) -> bool:
        """Whether it is in no prompt, but made up by the model for each."""
        return self.kind in ("design", "none")

    @property
    def digest(self) -> str:
        """Hash of everything that is heard: all but the name of a clone or a design."""
        digest = hashlib.sha256(f"{self.family}\0{self.kind}\0".encode())
        name = self.name if self.kind == "preset" else ""
        for text in (name, self.description, self.transcript or ""):
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little") + data)
        for array in (self.embedding, self.codes):
            if array is not None:
                digest.update(repr(array.shape).encode() + array.tobytes())
        return digest.hexdigest()

    def label(self) -> str:
        """Return a few words for messages: what it is, and its name where it has one."""
        words = {"preset": "speaker", "clone": "clone", "design": "described voice", "none": "no voice"}
        return f"{words[self.kind]} {self.name!r}" if self.name else words[self.kind]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Voice):
            return NotImplemented
        return self.name == other.name and self.digest == other.digest

    def __hash__(self) -> int:
        return hash((self.name, self.digest))

    def __repr__(self) -> str:
        parts = [f"kind={self.kind!r}", f"name={self.name!r}"]
        if self.embedding is not None:
            parts.append(f"n_embd={self.embedding.size}")
        if self.codes is not None:
            parts.append(f"n_frames={len(self.codes)}, transcript={self.transcript!r}")
        if self.description:
            parts.append(f"description={self.description!r}")
        return f"Voice({', '.join(parts)})"


def _embedding(value: npt.ArrayLike) -> F32:
    array = _array("embedding", value)
    if array.ndim != 1 or not array.size or not np.issubdtype(array.dtype, np.floating):
        _refuse("embedding", array, "float32 [n_embd]")
    if not np.isfinite(array).all():
        raise ArgumentError("the voice's embedding holds numbers that are not finite, expected finite ones")
    return array.astype(np.float32)


def _codes(value: npt.ArrayLike) -> I32:
    array = _array("codes", value)
    if array.ndim != 2 or not array.size or not np.issubdtype(array.dtype, np.integer):
        _refuse("codes", array, "int32 [n_frames, n_groups]")
    if not 0 <= int(array.min()) <= int(array.max()) < 2**31:
        raise ArgumentError(
            f"the voice's codes run from {array.min()} to {array.max()}, expected ids of the codebooks"
        )
    return array.astype(np.int32)


def _array(what: str, value: npt.ArrayLike) -> npt.NDArray[np.generic]:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ArgumentError(f"the voice's {what} is ragged, expected an array") from error


def _refuse(what: str, array: npt.NDArray[np.generic], expected: str) -> NoReturn:
    raise ArgumentError(
        f"the voice's {what} is {array.dtype} of shape {list(array.shape)}, expected {expected}"
    )


def _text(what: str, value: str) -> str:
    if not isinstance(value, str):
        raise ArgumentError(f"the voice's {what} is {value!r}, expected a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # a lone surrogate, which no file can hold
        raise ArgumentError(
            f"the voice's {what} holds half a character at {error.start}, expected text"
        ) from None
    return value
