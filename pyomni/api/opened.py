"""What an open speech model does beside speaking: makes voices, turns codes into sound and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyomni.api.planning import AnyVoice, Planner, find_voice
from pyomni.api.receipts import Issuer
from pyomni.api.result import join
from pyomni.api.weights import Weights
from pyomni.audio.resample import resample
from pyomni.errors import ArgumentError
from pyomni.metadata import SpeechMetadata
from pyomni.pipelines import prompt
from pyomni.pipelines.cloning import Cloner
from pyomni.pipelines.engine import SpeechEngine
from pyomni.pipelines.keep import file_identity, kept_for_voices
from pyomni.voices import Voice

if TYPE_CHECKING:
    from pyomni.audio.reference import Clip
    from pyomni.pipelines.hygiene import Hear

__all__ = ["COMPONENTS", "OpenModel"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

#: Components a speech model opens at once, where the file has them; the others when they are first needed.
COMPONENTS = ("talker", "code_predictor", "codec_decoder")


class OpenModel:
    """A speech model's file, opened, and what can be done with it but speak."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        threads: int | None = None,
        lanes: int = 1,
        components: Sequence[str] = COMPONENTS,
        kv: str = "f32",
        experts: str = "device",
        packed: bool = False,
        precision: str = "exact",
    ) -> None:
        self.path: Path = Path(path)
        self._meta = SpeechMetadata.read(self.path)
        where = dict.fromkeys(self._meta.components, self.path)
        self._weights = weights = Weights(
            where,
            device,
            threads,
            components,
            kv=kv,
            experts=experts,
            packed=packed,
            precision=precision,
            lanes=lanes,
        )
        try:
            kept = kept_for_voices()
            model = file_identity(self.path) + (":fast" if weights.precision == "fast" else "")
            self._engine = SpeechEngine(
                self._meta,
                weights.open_lm,
                weights.open_codec_decoder,
                lanes,
                kept,
                model,
                weights.beside,
            )
        except BaseException:
            weights.close()
            raise
        self._cloner = Cloner(
            self._meta, weights.open_speaker_encoder, weights.open_codec_encoder, kept, model
        )
        self._planner = Planner(self._meta, self._engine)
        self._issuer = Issuer([self.path], self._meta.meta.str("pyomni.type"), weights.device.name)

    def clone(
        self,
        reference: Clip,
        transcript: str | None = None,
        *,
        name: str = "",
        check: bool | Hear = False,
    ) -> Voice:
        """Make a voice of a clip; a base model speaks with it.

        The last clips are remembered by what they hold, so that cloning one again costs nothing.

        Parameters
        ----------
        reference : path, bytes, or (float [n] or [n, n_channels], sample rate)
            Some seconds of one speaker, in any format and at any rate soundfile reads.
        transcript : str, optional
            What the clip says, word for word: clones in context, which is closest. Without it, the voice is
            the clip's speaker embedding alone.
        name : str
            What to call it.
        check : bool, or callable (float32 [n], sample rate) -> str
            Compare the transcript with what a speech recogniser hears in the clip: pocketsphinx, which knows
            English (``pip install 'pyomni[check]'``), or one of yours.

        Returns
        -------
        Voice

        Raises
        ------
        AudioError
            The clip cannot be read, or is empty, silent, too short or too long; or it cannot be what the
            transcript says, by the time that takes.
        ArgumentError
            A model that does not clone, a blank transcript, or a check without one or without its package.
        UnsupportedModel
            The file lacks an encoder this needs.
        SessionBusy
            The model is speaking.

        Warns
        -----
        ReferenceWarning
            Speech that is fast or slow for the transcript, a clip that is faint, noisy, clipped, very short
            or long, or begins, goes on or ends with silence; a transcript the recogniser hears little of.
        """
        with self._engine.use():
            return self._cloner.clone(reference, transcript, name, check)

    def decode(self, codes: npt.ArrayLike, *, voice: AnyVoice = None) -> F32:
        """Decode codes to samples, the same `speak` made of them bit for bit.

        Parameters
        ----------
        codes : int [n_frames, n_groups]
        voice : optional
            The one they were spoken with. Of a clone in context the sound continues the clip's; any other
            makes no difference.

        Returns
        -------
        float32 [n_frames * hop]

        Raises
        ------
        ArgumentError
            Another shape, not integers, or a code out of range.
        """
        array = np.asarray(codes)
        n_groups = self._meta.n_groups
        if array.ndim != 2 or array.shape[1] != n_groups or not np.issubdtype(array.dtype, np.integer):
            raise ArgumentError(
                f"codes is {array.dtype} of shape {list(array.shape)}, expected int32 [n_frames, {n_groups}]"
            )
        # the upper end is the codec's to check, before it computes anything
        if array.size and not 0 <= int(array.min()) <= int(array.max()) < 2**31:
            raise ArgumentError(
                f"codes run from {array.min()} to {array.max()}, expected ids of the codebooks, 0 and up"
            )
        reference = None if voice is None else find_voice(self._meta, voice).codes
        with self._engine.use():
            return join(self._engine.pcm(array.astype(np.int32), reference=reference))

    def encode(self, audio: npt.ArrayLike, sample_rate: int) -> I32:
        """Encode recorded speech to codes, which `decode` turns back into samples.

        Parameters
        ----------
        audio : float [n] or [n, n_channels]
            In -1 to 1; channels are averaged, and the rate is brought to `sample_rate` of the model.
        sample_rate : int
            Samples per second of `audio`.

        Returns
        -------
        int32 [ceil(n / hop), n_groups], with n counted at the model's rate

        Raises
        ------
        AudioError
            No samples, not floats, another shape, a sample that is not finite, or a rate that cannot be.
        UnsupportedModel
            A file without a codec encoder; a file of a base model has one.
        """
        with self._engine.use():
            encoder = self._cloner.codec_encoder()
            return encoder.encode(resample(audio, sample_rate, encoder.sample_rate))

    # -- what is in it ----------------------------------------------

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self._meta.sample_rate

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self._meta.hop

    @property
    def speakers(self) -> list[str]:
        """Preset speakers; empty for a model without."""
        return list(self._meta.speakers)

    @property
    def languages(self) -> list[str]:
        """Languages that can be asked for, besides ``auto``."""
        return prompt.user_languages(self._meta)

    @property
    def fingerprint(self) -> str:
        """Hash of the file, as in receipts; empty if it was changed or removed since it was opened."""
        return self._issuer.model_hash()

    @property
    def info(self) -> dict[str, Any]:
        """What is in the file and where it runs: plain values, ready for JSON."""
        return {
            **self._meta.summary(),
            "device": self._weights.device.name,
            "threads": self._weights.device.n_threads,
            "codec_threads": self._weights.codec_threads,
            "precision": self._weights.precision,
            "loaded": self._weights.n_bytes(),
        }

    def close(self) -> None:
        """Free sessions, weights and device; calling it again does nothing.

        Raises
        ------
        SessionBusy
            The model is speaking.
        """
        self._engine.close()
        self._cloner.close()
        self._weights.close()

    def __exit__(self, *_: object) -> None:
        self.close()
