"""`SpeechModel`: an open model file and the ways to speak with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import aclosing

import numpy as np
import numpy.typing as npt

from pyomni.api.aside import aside
from pyomni.api.live import Live
from pyomni.api.many import Prepared, SpeechRequest, each, perform_all, prepare
from pyomni.api.opened import COMPONENTS, OpenModel
from pyomni.api.pieces import AsyncPieces
from pyomni.api.planning import AnyVoice, Text, find_voice, joined
from pyomni.api.result import Speech, SpeechStream
from pyomni.errors import ArgumentError, PyOmniError
from pyomni.options import SpeechOptions
from pyomni.pipelines.long import perform_codes, resumed, start
from pyomni.pipelines.resume import SavedSpeech
from pyomni.pipelines.script import Made

__all__ = ["COMPONENTS", "SpeechModel"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

#: Everything from the file.
DEFAULTS = SpeechOptions()


class SpeechModel(OpenModel):
    """A text to speech model; make one with `load`.

    One caller at a time: a second gets `SessionBusy`. It is a context manager; `close` frees the weights.
    """

    def __enter__(self) -> SpeechModel:
        return self

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

    def live(self) -> Live:
        """Return what a server speaks with: requests that come and go while others are spoken."""
        self._engine.require(*COMPONENTS)
        return Live(self._engine, self._prepare, self._cloner)

    def _prepare(self, request: SpeechRequest) -> Prepared:
        return prepare(self._meta, self._planner, self._issuer, request)
