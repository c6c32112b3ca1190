"""The Python face: `load` a model, `SpeechModel.speak` and its relatives."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError, ModelFileError, UnsupportedModel
from pyomni.metadata import SpeechMetadata
from pyomni.options import SpeechOptions
from pyomni.pipelines import prompt
from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.pipelines.speech import Event, Timings
from pyomni.voices import Voice

if TYPE_CHECKING:
    from pyomni.text.tokenizer import Tokenizer

__all__ = ["Speech", "SpeechModel", "SpeechStream", "load", "model_path"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
Text = str | Iterable[str]
PathLike = str | os.PathLike[str]

#: Everything from the file.
DEFAULTS = SpeechOptions()

#: Components a speech model opens, where the file has them.
COMPONENTS = ("talker", "code_predictor", "codec_decoder")


@dataclass(frozen=True)
class Speech:
    """Speech, and how it came to be.

    Attributes
    ----------
    audio : float32 [n]
        Samples from -1 to 1, one channel.
    sample_rate : int
        Hz.
    codes : int32 [n_frames, n_groups]
        What the audio was decoded from.
    seed : int
        Gives the same codes again.
    finish_reason : {"stop", "length"}
        The model ended the speech, or it was cut at the most frames allowed.
    timings : Timings
        Seconds by component.
    """

    audio: F32
    sample_rate: int
    codes: I32
    seed: int
    finish_reason: str
    timings: Timings

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.audio) / self.sample_rate

    def save(self, path: PathLike, format: str | None = None) -> None:  # noqa: A002, the name users expect
        """Write the audio: wav, flac, mp3, opus, ogg or pcm, by extension or by `format`.

        The file appears whole or not at all. Samples are rounded to 16 bits before any compression.

        Raises
        ------
        ArgumentError
            No such format.
        AudioError
            The installed libsndfile cannot write it.
        OutputFileError
            The path cannot be written.
        """
        from pyomni.audio import formats

        formats.save(path, self.audio, self.sample_rate, format)


class SpeechStream(Iterator[F32]):
    """Speech as it is made: an iterator of float32 [n] blocks, and what is known of it so far.

    Read it to its end, close it, or use it as a context manager: it holds the model until then.

    Attributes
    ----------
    sample_rate : int
        Hz.
    seed : int
        Of this speech.
    codes : int32 [n_frames, n_groups]
        Frames made so far; a few may not be decoded yet.
    finish_reason : {"stop", "length"} or None
        None until it ended.
    """

    def __init__(self, engine: SpeechEngine, plan: Plan) -> None:
        self.sample_rate, self.seed = engine.meta.sample_rate, plan.options.seed
        self._n_groups = engine.meta.n_groups
        self._made = _Made([], Timings())
        # the generator knows what was made but not this object: a stream that is dropped is freed at once,
        # not by some later garbage collection, and gives the model back
        self._blocks = _run(engine, plan, self._made)

    @property
    def codes(self) -> I32:
        """Frames made so far, int32 [n_frames, n_groups]."""
        return _stack(self._made.frames, self._n_groups)

    @property
    def finish_reason(self) -> str | None:
        """How it ended, None until then."""
        return self._made.finish_reason

    @property
    def timings(self) -> Timings:
        """Seconds by component so far."""
        return self._made.timings

    def __iter__(self) -> SpeechStream:
        return self

    def __next__(self) -> F32:
        return next(self._blocks)

    def close(self) -> None:
        """Stop speaking and give the model back."""
        self._blocks.close()

    def __enter__(self) -> SpeechStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class _Made:
    """What a stream has made."""

    frames: list[I32]
    timings: Timings
    finish_reason: str | None = None


def _run(engine: SpeechEngine, plan: Plan, made: _Made) -> Generator[F32, None, None]:
    """Yield the blocks of one plan."""

    def frames() -> Iterator[I32]:
        for event in engine.events([plan], made.timings):
            if event.codes is None:
                made.finish_reason = event.finish_reason
            else:
                made.frames.append(event.codes)
                yield event.codes

    with engine.use():
        yield from engine.pcm(frames(), made.timings)


class SpeechModel:
    """A text to speech model; make one with `load`.

    One caller at a time: a second gets `SessionBusy`. It is a context manager; `close` frees the weights.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        device: str = "auto",
        threads: int | None = None,
        lanes: int = 1,
        components: Sequence[str] = COMPONENTS,
    ) -> None:
        # the compiled module loads here, so that `import pyomni` and `--help` are quick
        from pyomni._binding import Device, Model
        from pyomni.components.codec import CodecDecoder
        from pyomni.components.lm import DecoderLM

        self.path = Path(path)
        self._meta = SpeechMetadata.read(self.path)
        self._tokenizer: Tokenizer | None = None
        with ExitStack() as opened:  # a failure half way frees what was opened
            self._device = opened.enter_context(Device(device, threads))
            self._models: dict[str, Any] = {}
            for name in components:
                if name in self._meta.components:
                    self._models[name] = Model(self._device, str(self.path), name)
                    opened.callback(self._models[name].close)
            self._engine = SpeechEngine(
                self._meta,
                lambda name, n_ctx, n_lanes: DecoderLM(self._model(name), n_ctx, n_lanes),
                lambda: CodecDecoder(self._model("codec_decoder"), 1),
                lanes,
            )
            self._opened = opened.pop_all()

    # -- speaking ---------------------------------------------------

    def speak(
        self,
        text: Text,
        *,
        voice: str | Voice | None = None,
        language: str | None = None,
        instruct: str | None = None,
        options: SpeechOptions = DEFAULTS,
    ) -> Speech:
        """Speak a text; the joined blocks of `stream`.

        Parameters
        ----------
        text : str or iterable of str
            What to say. An iterator is read to its end first and its parts are joined.
        voice : str or Voice, optional
            A preset speaker; without one, the first the model has (`speakers`).
        language : str, optional
            One of `languages`; None and ``"auto"`` leave it to the model.
        instruct : str, optional
            How to say it, or for a voice design model who says it.
        options : SpeechOptions
            How codes are drawn, and how many.

        Returns
        -------
        Speech

        Raises
        ------
        ArgumentError
            Nothing to say, or a speaker or language that is not in the model.
        UnsupportedModel
            An instruction to a model that does not take one, or a file without a component this needs.
        ContextFull
            The text does not fit the model.
        SessionBusy
            The model is speaking already.
        """
        with self.stream(text, voice=voice, language=language, instruct=instruct, options=options) as stream:
            blocks = list(stream)
        return _speech(blocks, stream.codes, self._meta, stream.seed, stream.finish_reason, stream.timings)

    def stream(
        self,
        text: Text,
        *,
        voice: str | Voice | None = None,
        language: str | None = None,
        instruct: str | None = None,
        options: SpeechOptions = DEFAULTS,
    ) -> SpeechStream:
        """Speak a text and yield samples as they are made, float32 [n]; the first after one frame.

        Arguments are those of `speak` and are checked before this returns; so are its exceptions. The model
        is held from the first block to the last, or until the stream is closed.
        """
        plan = self._plan(text, voice, language, instruct, options)
        self._engine.require(*COMPONENTS)
        return SpeechStream(self._engine, plan)

    async def astream(
        self,
        text: Text,
        *,
        voice: str | Voice | None = None,
        language: str | None = None,
        instruct: str | None = None,
        options: SpeechOptions = DEFAULTS,
    ) -> AsyncIterator[F32]:
        """Do as `stream`, for ``async for``; the work runs in a thread of its own."""
        stream = self.stream(text, voice=voice, language=language, instruct=instruct, options=options)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "pyomni-stream") as pool:
            try:
                while (block := await loop.run_in_executor(pool, next, stream, None)) is not None:
                    yield block
            finally:
                # in the same thread, so after a block that is still being made
                await asyncio.shield(loop.run_in_executor(pool, stream.close))

    def codes(
        self,
        text: Text,
        *,
        voice: str | Voice | None = None,
        language: str | None = None,
        instruct: str | None = None,
        options: SpeechOptions = DEFAULTS,
    ) -> Iterator[I32]:
        """Yield the frames of codes `speak` would decode, int32 [n_groups] each, as they are made.

        Arguments and exceptions are those of `speak`.
        """
        plan = self._plan(text, voice, language, instruct, options)

        def frames() -> Iterator[I32]:
            with self._engine.use():
                for event in self._engine.events([plan]):
                    if event.codes is not None:
                        yield event.codes

        return frames()

    def speak_many(
        self,
        texts: Iterable[str],
        *,
        voice: str | Voice | None = None,
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
        plans = [self._plan(text, voice, language, instruct, options) for text in texts]
        self._engine.require(*COMPONENTS)
        frames: list[list[I32]] = [[] for _ in plans]
        results: list[Speech | None] = [None] * len(plans)
        timings = Timings()

        def finish(event: Event) -> Speech:
            codes = frames[event.request]
            blocks = list(self._engine.pcm(codes, timings))
            seed = plans[event.request].options.seed
            return _speech(
                blocks, _stack(codes, self._meta.n_groups), self._meta, seed, event.finish_reason, timings
            )

        if plans:
            with self._engine.use():
                for event in self._engine.events(plans, timings):
                    if event.codes is None:
                        results[event.request] = finish(event)
                    else:
                        frames[event.request].append(event.codes)
        return [speech for speech in results if speech is not None]

    def decode(self, codes: npt.ArrayLike) -> F32:
        """Decode codes to samples, the same `speak` made of them bit for bit.

        Parameters
        ----------
        codes : int [n_frames, n_groups]

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
        with self._engine.use():
            return _join(self._engine.pcm(array.astype(np.int32)))

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
    def info(self) -> dict[str, Any]:
        """What is in the file and where it runs: plain values, ready for JSON."""
        loaded = {name: int(model.info.n_bytes) for name, model in self._models.items()}
        return {
            **self._meta.summary(),
            "device": self._device.name,
            "threads": self._device.n_threads,
            "loaded": loaded,
        }

    def close(self) -> None:
        """Free sessions, weights and device; calling it again does nothing.

        Raises
        ------
        SessionBusy
            The model is speaking.
        """
        self._engine.close()
        self._opened.close()
        self._models.clear()

    def __enter__(self) -> SpeechModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- plans ------------------------------------------------------

    def _plan(
        self,
        text: Text,
        voice: str | Voice | None,
        language: str | None,
        instruct: str | None,
        options: SpeechOptions,
    ) -> Plan:
        """Check and lay out one request, without touching a component."""
        meta = self._meta
        self._engine.require("talker", "code_predictor")
        if self._tokenizer is None:
            self._tokenizer = meta.tokenizer()
        speaker = self._speaker(voice)
        whole = text if isinstance(text, str) else "".join(text)
        ids = prompt.text_ids(self._tokenizer, whole)
        instruction = prompt.instruct_ids(self._tokenizer, meta, instruct or "")
        if instruction and not meta.instruct:
            raise UnsupportedModel(
                f"an instruction was given to a {meta.model_type} model of size {meta.model_size}, "
                "which was not trained to follow one; expected none"
            )
        settings = options.resolve(meta.defaults, n_text=len(ids), streaming_layout=meta.streaming_layout)
        plan = prompt.layout(
            meta,
            self._tokenizer,
            ids,
            language=prompt.language_id(meta, language, speaker),
            speaker=None if speaker is None else meta.speakers[speaker],
            instruct=instruction,
            streaming=settings.streaming_layout,
        )
        return self._engine.fit(plan, settings, frames_asked=options.max_frames is not None)

    def _speaker(self, voice: str | Voice | None) -> str | None:
        """Return the name of a preset speaker of this file, or None for no speaker."""
        speakers = self._meta.speakers
        if voice is None:
            return next(iter(speakers), None)
        name = Voice.of(voice).name
        if name not in speakers:
            known = ", ".join(speakers) or "none, as this model has no preset speakers"
            raise ArgumentError(f"voice {name!r} is not in this model, expected one of: {known}")
        return name

    def _model(self, name: str) -> Any:
        if name not in self._models:
            raise UnsupportedModel(f"the component {name} was not loaded, expected an open model that has it")
        return self._models[name]


def load(
    path: PathLike | None = None, device: str = "auto", threads: int | None = None, lanes: int = 1
) -> SpeechModel:
    """Open a model file.

    Parameters
    ----------
    path : path, optional
        A GGUF file made by ``pyomni convert``. Without one, ``$PYOMNI_MODEL``; without that, a toy model that
        makes noise instead of speech.
    device : str
        ``auto``, ``cpu``, or a name from ``pyomni.devices()``.
    threads : int, optional
        CPU threads; None takes one per core.
    lanes : int
        Texts `SpeechModel.speak_many` decodes together, at most.

    Raises
    ------
    ModelFileError
        The file cannot be read.
    ModelFormatError
        It is not a model file, or a damaged one.
    UnsupportedModel
        It is one this build cannot run.
    ArgumentError
        No such device, or a count below 1.
    OutOfMemory
        The weights do not fit.
    """
    return SpeechModel(model_path(path), device=device, threads=threads, lanes=lanes)


def model_path(path: PathLike | None = None) -> Path:
    """Return the file `load` opens: `path`, else ``$PYOMNI_MODEL``, else the toy model.

    Raises
    ------
    ModelFileError
        It is not there, or a folder.
    """
    if path is None:
        path = os.environ.get("PYOMNI_MODEL") or None
    if path is None:
        from pyomni.toy import toy_model_path  # writes the file on first use

        return Path(toy_model_path())
    found = Path(path)
    if found.is_dir():
        raise ModelFileError(
            f"model {os.fspath(path)!r} is a folder, expected a GGUF file; "
            "`pyomni convert` makes one from a checkpoint folder"
        )
    if not found.exists():
        raise ModelFileError(f"model {os.fspath(path)!r} does not exist, expected a GGUF file")
    return found


def _stack(frames: Sequence[I32], n_groups: int) -> I32:
    return np.stack(frames) if frames else np.zeros((0, n_groups), np.int32)  # [n_frames, n_groups]


def _join(blocks: Iterable[F32]) -> F32:
    return np.concatenate([np.zeros(0, np.float32), *blocks])


def _speech(
    blocks: Iterable[F32],
    codes: I32,
    meta: SpeechMetadata,
    seed: int,
    finish_reason: str | None,
    timings: Timings,
) -> Speech:
    return Speech(_join(blocks), meta.sample_rate, codes, seed, finish_reason or "stop", timings)
