"""`SpeechModel`: an open model file and the ways to speak with it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyomni.api.aside import aside
from pyomni.api.many import Prepared, SpeechRequest, each, perform_all, prepare
from pyomni.api.pieces import AsyncPieces
from pyomni.api.planning import AnyVoice, Planner, Text, find_voice, joined
from pyomni.api.receipts import Issuer
from pyomni.api.result import Speech, SpeechStream, join
from pyomni.api.weights import Weights
from pyomni.audio.resample import resample
from pyomni.errors import ArgumentError, PyOmniError
from pyomni.metadata import SpeechMetadata
from pyomni.options import SpeechOptions
from pyomni.pipelines import prompt
from pyomni.pipelines.cloning import Cloner
from pyomni.pipelines.engine import SpeechEngine
from pyomni.pipelines.keep import file_identity, kept_for_voices
from pyomni.pipelines.long import Made, perform_codes, resumed, start
from pyomni.pipelines.resume import SavedSpeech
from pyomni.voices import Voice

if TYPE_CHECKING:
    from pyomni.audio.reference import Clip
    from pyomni.pipelines.hygiene import Hear

__all__ = ["COMPONENTS", "SpeechModel"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

#: Everything from the file.
DEFAULTS = SpeechOptions()

#: Components a speech model opens at once, where the file has them; the others when they are first needed.
COMPONENTS = ("talker", "code_predictor", "codec_decoder")


class SpeechModel:
    """A text to speech model; make one with `load`.

    One caller at a time: a second gets `SessionBusy`. It is a context manager; `close` frees the weights.
    """

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
        self.path = Path(path)
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
        )
        try:
            kept = kept_for_voices()
            model = file_identity(self.path) + (":fast" if weights.precision == "fast" else "")
            self._engine = SpeechEngine(
                self._meta, weights.open_lm, weights.open_codec_decoder, lanes, kept, model
            )
        except BaseException:
            weights.close()
            raise
        self._cloner = Cloner(
            self._meta, weights.open_speaker_encoder, weights.open_codec_encoder, kept, model
        )
        self._planner = Planner(self._meta, self._engine)
        self._issuer = Issuer([self.path], self._meta.meta.str("pyomni.type"), weights.device.name)

    # -- speaking ---------------------------------------------------

    def speak(
        self,
        text: Text,
        *,
        voice: AnyVoice = None,
        language: str | None = None,
        instruct: str | None = None,
        options: SpeechOptions = DEFAULTS,
    ) -> Speech:
        """Speak a text; the joined blocks of `stream`.

        Parameters
        ----------
        text : str, iterable of str, or (in `astream`) async iterable of str
            What to say. Pieces of text are spoken while more arrive, in the streaming layout, and give the
            codes that the whole text gives in that layout: the iterator is asked for the next piece when
            speech needs it, waited for, and closed at the end. With ``streaming_layout=False`` the pieces are
            joined first.
        voice : str, path or Voice, optional
            A speaker of the model, a saved voice, a voice file, or a `Voice`; without one, the first speaker
            the model has (`speakers`), or one that a base model makes up.
        language : str, optional
            One of `languages`; None and ``"auto"`` leave it to the model.
        instruct : str, optional
            How to say it, or for a voice design model who says it; `Voice.design` is the same.
        options : SpeechOptions
            How codes are drawn, and how many.

        Returns
        -------
        Speech

        Raises
        ------
        ArgumentError
            Nothing to say, a voice or language that is not in the model or does not fit it, or a voice design
            model without a description.
        UnsupportedModel
            An instruction to a model that does not take one, or a file without a component this needs.
        ContextFull
            The text does not fit the model.
        SessionBusy
            The model is speaking already.
        """
        with self.stream(text, voice=voice, language=language, instruct=instruct, options=options) as stream:
            return stream.read()

    def stream(
        self,
        text: Text,
        *,
        voice: AnyVoice = None,
        language: str | None = None,
        instruct: str | None = None,
        options: SpeechOptions = DEFAULTS,
    ) -> SpeechStream:
        """Speak a text and yield samples as they are made, float32 [n]; the first after one frame.

        Arguments are those of `speak` and are checked before this returns; so are its exceptions, but for
        those that concern text still arriving: they come as the stream is read, and so does whatever the
        iterator raises. The model is held from the first block to the last, or until the stream is closed.
        """
        who = find_voice(self._meta, voice)
        script = self._planner.script(text, None if voice is None else who, language, instruct, options)
        self._engine.require(*COMPONENTS)
        said = text if isinstance(text, str) else None
        issue = self._issuer.of(script.seed, who, options, text=said, language=language, instruct=instruct)
        return SpeechStream(self._engine, script, issue=issue)

    def resume(self, saved: bytes, *, seed: int | None = None) -> SpeechStream:
        """Go on where `SpeechStream.save` was called: the same samples, or with another seed another take.

        The stream's `codes` hold the earlier frames as well. Raises `ModelFormatError`, `UnsupportedModel` or
        `ArgumentError` for bytes that are damaged, newer or do not fit; the first block, for other weights.
        """
        value = SavedSpeech.from_bytes(saved)
        value.check(self._meta)
        self._engine.require(*COMPONENTS)
        script, made = resumed(value, seed)
        return SpeechStream(self._engine, script, made, self._issuer.again(value.receipt, script.seed))

    async def astream(
        self,
        text: Text,
        *,
        voice: AnyVoice = None,
        language: str | None = None,
        instruct: str | None = None,
        options: SpeechOptions = DEFAULTS,
    ) -> AsyncIterator[F32]:
        """Do as `stream`, for ``async for``; the work runs in a thread of its own.

        An async iterator of text is read in the caller's event loop, any other in that thread.
        """
        loop = asyncio.get_running_loop()
        pieces = AsyncPieces(text, loop) if isinstance(text, AsyncIterable) else None
        given = text if pieces is None else pieces

        def start() -> SpeechStream:
            return self.stream(given, voice=voice, language=language, instruct=instruct, options=options)

        try:
            async with aclosing(aside(start, pieces.cancel if pieces else lambda: None)) as blocks:
                async for block in blocks:
                    yield block
        finally:
            if pieces is not None:
                await pieces.aclose()

    def codes(
        self,
        text: Text,
        *,
        voice: AnyVoice = None,
        language: str | None = None,
        instruct: str | None = None,
        options: SpeechOptions = DEFAULTS,
    ) -> Iterator[I32]:
        """Yield the frames of codes `speak` would decode, int32 [n_groups] each, as they are made.

        Arguments and exceptions are those of `speak`.
        """
        script = self._planner.script(text, voice, language, instruct, options)

        def frames() -> Iterator[I32]:
            made = Made()
            try:
                with self._engine.use():
                    for _, part in perform_codes(script, start(self._engine, [script], made.timings), made):
                        yield from part
            finally:
                script.close()

        return frames()

    def speak_many(
        self,
        texts: Iterable[str],
        *,
        voice: AnyVoice = None,
        language: str | None = None,
        instruct: str | None = None,
        options: SpeechOptions = DEFAULTS,
    ) -> list[Speech]:
        """Speak several texts on the lanes of the model, decoded together.

        Each gets what `speak` gives it alone with the same options, the seed included; with no seed, each
        draws its own. `Speech.timings` is that of the whole run. Other arguments and exceptions are those of
        `speak`.
        """
        if isinstance(texts, str):
            raise ArgumentError("texts is one string, expected a list of strings")
        said = [text if isinstance(text, str) else joined(text) for text in texts]
        prepared = [self._prepare(SpeechRequest(text, voice, language, instruct, options)) for text in said]
        self._engine.require(*COMPONENTS)
        return list(perform_all(self._engine, prepared))

    def speak_each(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech | PyOmniError]:
        """Speak requests, each with its own voice and options, on the lanes of the model.

        Parameters
        ----------
        requests : iterable of SpeechRequest
            Read some hundreds ahead; a lane that comes free takes the next one at once.

        Yields
        ------
        Speech or PyOmniError
            In the order of the requests: what `speak` gives, or what it raises before it speaks. As of
            `speak_many`, `Speech.timings` is shared. The model is held until the last one, or until the
            iterator is closed.
        """
        self._engine.require(*COMPONENTS)
        return each(self._engine, self._prepare, requests)

    def _prepare(self, request: SpeechRequest) -> Prepared:
        return prepare(self._meta, self._planner, self._issuer, request)

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

    def __enter__(self) -> SpeechModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
