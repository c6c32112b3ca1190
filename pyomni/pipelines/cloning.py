"""Clips to voices: the speaker encoder's row and, for cloning in context, the codec encoder's codes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.audio.mel import LogMel
from pyomni.audio.reference import Clip, read_reference
from pyomni.digests import content_key
from pyomni.errors import ArgumentError, ReferenceWarning, UnsupportedModel
from pyomni.pipelines.hygiene import Hear, doubts, misheard
from pyomni.pipelines.keep import Kept
from pyomni.voices import Voice

if TYPE_CHECKING:
    from pyomni.metadata import SpeechMetadata

__all__ = ["Cloner"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


class SpeakerEncoder(Protocol):
    """The part of `pyomni.components.encoder.Encoder` cloning needs."""

    n_rows_min: int

    def encode(self, rows: Any) -> F32: ...

    def close(self) -> None: ...


class CodecEncoder(Protocol):
    """The part of `pyomni.components.codec.CodecEncoder` cloning needs."""

    sample_rate: int

    def encode(self, pcm: F32) -> I32: ...

    def close(self) -> None: ...


class Cloner:
    """Make voices of clips with one model; its encoders open when the first clip comes.

    Parameters
    ----------
    meta : SpeechMetadata
        The file's header.
    open_speaker, open_codec : callable () -> encoder
        Open sessions of ``speaker_encoder`` and ``codec_encoder``.
    kept : Kept
        Where encoded clips are kept.
    model : str
        Tells models apart (`file_identity`).
    """

    def __init__(
        self,
        meta: SpeechMetadata,
        open_speaker: Callable[[], SpeakerEncoder],
        open_codec: Callable[[], CodecEncoder],
        kept: Kept,
        model: str = "",
    ) -> None:
        self._meta, self._open_speaker, self._open_codec = meta, open_speaker, open_codec
        self._speaker: SpeakerEncoder | None = None
        self._codec: CodecEncoder | None = None
        self._mel: LogMel | None = None
        self._hear: Hear | None = None
        self._kept, self._model = kept, model

    def check(self, transcript: str | None) -> None:
        """Raise unless this model clones and the transcript is none or says something.

        Raises
        ------
        ArgumentError
            Another kind of model, or a blank transcript.
        UnsupportedModel
            The file lacks an encoder this needs.
        """
        meta = self._meta
        if meta.model_type != "base":
            raise ArgumentError(
                f"a clip to clone was given to a {meta.model_type} model, expected a base model, which clones"
            )
        if transcript is not None and (not isinstance(transcript, str) or not transcript.strip()):
            raise ArgumentError(
                f"the transcript is {transcript!r}, expected what the clip says, or none to clone by its "
                "speaker embedding alone"
            )
        needed = ("speaker_encoder",) if transcript is None else ("speaker_encoder", "codec_encoder")
        for name in needed:
            self._require(name)

    def clone(
        self, reference: Clip, transcript: str | None = None, name: str = "", check: bool | Hear = False
    ) -> Voice:
        """Make a voice of a clip; see `SpeechModel.clone`."""
        self.check(transcript)
        if check and transcript is None:
            raise ArgumentError("check was given without a transcript, expected one to compare with")
        mel, speaker = self._front()
        least = max(mel.n_samples_min, mel.n_samples(speaker.n_rows_min))
        pcm = read_reference(reference, mel.sample_rate, min_samples=least)  # float32 [n]
        self._look(pcm, mel.sample_rate, transcript, check)
        codes = self._codes(pcm) if transcript is not None else None
        return Voice.clone(self._embedding(pcm), codes, transcript, name=name)

    def codec_encoder(self) -> CodecEncoder:
        """Return the codec encoder, opened when it is first asked for.

        Raises
        ------
        UnsupportedModel
            The file has none.
        """
        if self._codec is None:
            self._require("codec_encoder")
            self._codec = self._open_codec()
        return self._codec

    def close(self) -> None:
        """Close the encoders; they open again when needed."""
        for session in (self._speaker, self._codec):
            if session is not None:
                session.close()
        self._speaker = self._codec = None

    def _look(self, pcm: F32, sample_rate: int, transcript: str | None, check: bool | Hear) -> None:
        """Refuse a clip that cannot be what its transcript says, and warn of what is doubtful."""
        found = list(doubts(pcm, sample_rate, transcript))
        if check and transcript is not None:
            hear = self._recogniser() if check is True else check
            found += [text for text in [misheard(pcm, sample_rate, transcript, hear)] if text]
        for text in found:
            warnings.warn(text, ReferenceWarning, stacklevel=4)  # the caller of `SpeechModel.clone`

    def _recogniser(self) -> Hear:
        from pyomni.audio.recogniser import Recogniser

        if self._hear is None:
            self._hear = Recogniser()
        return self._hear

    def _require(self, name: str) -> None:
        if name not in self._meta.components:
            found = ", ".join(self._meta.components) or "none"
            raise UnsupportedModel(f"the model has no {name} (it has: {found}), expected one for this")

    def _front(self) -> tuple[LogMel, SpeakerEncoder]:
        """Return the mel front end and the speaker encoder."""
        if self._mel is None:
            self._mel = LogMel.read(self._meta.meta)
        if self._speaker is None:
            self._speaker = self._open_speaker()
        return self._mel, self._speaker

    def _embedding(self, pcm: F32) -> F32:
        """Return a clip's speaker embedding, float32 [n_embd], encoded now or before."""
        key = content_key("embedding", self._model, pcm.tobytes())
        raw = self._kept.get(key)
        if raw is None:
            mel, speaker = self._front()
            raw = np.asarray(speaker.encode(mel(pcm)), np.float32).tobytes()
            self._kept.put(key, raw)
        return np.frombuffer(raw, np.float32).copy()

    def _codes(self, pcm: F32) -> I32:
        """Return a clip's codes, int32 [n_frames, n_groups], encoded now or before."""
        key = content_key("codes", self._model, pcm.tobytes())
        raw = self._kept.get(key)
        if raw is None:
            raw = np.asarray(self.codec_encoder().encode(pcm), np.int32).tobytes()
            self._kept.put(key, raw)
        return np.frombuffer(raw, np.int32).reshape(-1, self._meta.n_groups).copy()
