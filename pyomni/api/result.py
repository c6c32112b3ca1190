"""What speaking gives: `Speech`, whole, and `SpeechStream`, as it is made."""

from __future__ import annotations

import inspect
import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from html import escape

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError, SessionBusy
from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.engine import SpeechEngine
from pyomni.pipelines.guard import UNTOUCHED, GuardCounts
from pyomni.pipelines.long import perform, save, start
from pyomni.pipelines.script import Made, Script, SpokenPiece
from pyomni.receipt import Issue, Receipt

__all__ = ["Speech", "SpeechStream", "SpokenPiece", "join", "speech_of"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


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
    finish_reason : {"stop", "length", "repaired", "runaway", "silence"}
        The model ended the speech, or it was cut at the most frames allowed; or the guard went back and the
        model then ended it, or the guard gave up on a loop or a missing end, or on near silence, and this is
        what was good (docs/guard.md).
    timings : Timings
        Seconds by component.
    pieces : tuple of SpokenPiece
        The parts of a text that was split (`SpeechOptions.split`), whose pauses no codes stand for; empty for
        one spoken in one.
    guard : GuardCounts
        How often the guard went back, and why.
    receipt : Receipt or None
        What made it, to make it again and to tell whether it is the same.
    """

    audio: F32
    sample_rate: int
    codes: I32
    seed: int
    finish_reason: str
    timings: Timings
    pieces: tuple[SpokenPiece, ...] = ()
    guard: GuardCounts = UNTOUCHED
    receipt: Receipt | None = None

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.audio) / self.sample_rate

    def save(self, path: str | os.PathLike[str], format: str | None = None) -> None:  # noqa: A002, the name users expect
        """Write the audio: wav, flac, mp3, opus, ogg, aac or pcm, by extension or by `format`.

        The file appears whole or not at all. Samples are rounded to 16 bits before any compression. A WAV
        file has the receipt in it, without the text (`LIST`/`INFO`, as ``ICMT``).

        Raises
        ------
        ArgumentError
            No such format.
        AudioError
            What writes it is not installed (aac: the package av).
        OutputFileError
            The path cannot be written.
        """
        from pyomni.audio import formats

        info = None if self.receipt is None else self.receipt.info()
        formats.save(path, self.audio, self.sample_rate, format, info)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a player, of no more than the first minute."""
        from pyomni.api.notebook import player

        about = f"{self.seconds:.2f} s at {self.sample_rate} Hz, seed {self.seed}, {self.finish_reason}"
        return f"<div>{player(self.audio, self.sample_rate)}<br><small>{escape(about)}</small></div>"


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
    finish_reason : str or None
        As of `Speech`; None until it ended.
    """

    def __init__(
        self, engine: SpeechEngine, script: Script, made: Made | None = None, issue: Issue | None = None
    ) -> None:
        self.sample_rate: int = engine.meta.sample_rate
        self.seed: int = script.seed
        self._n_groups = engine.meta.n_groups
        self._engine, self._script, self._issue = engine, script, issue
        self._made = Made() if made is None else made
        # the generator knows what was made but not this object: a stream that is dropped is freed at once,
        # not by some later garbage collection, and gives the model back
        self._blocks = _run(engine, script, self._made)

    @property
    def codes(self) -> I32:
        """Frames made so far, int32 [n_frames, n_groups]."""
        return self._made.frames.array(self._n_groups)

    @property
    def finish_reason(self) -> str | None:
        """How it ended, None until then."""
        return self._made.finish_reason

    @property
    def guard(self) -> GuardCounts:
        """How often the guard went back so far, and why."""
        return self._made.guard

    @property
    def timings(self) -> Timings:
        """Seconds by component so far."""
        return self._made.timings

    @property
    def pieces(self) -> tuple[SpokenPiece, ...]:
        """Parts spoken so far of a text that was split."""
        return tuple(self._made.pieces)

    @property
    def receipt(self) -> Receipt | None:
        """What made it, as `Speech.receipt`; None until it ended."""
        if self._issue is None or self.finish_reason is None:
            return None
        return self._issue(self.codes, self.finish_reason)

    def __iter__(self) -> SpeechStream:
        return self

    def __next__(self) -> F32:
        return next(self._blocks)

    def read(self) -> Speech:
        """Speak to the end and return it whole; blocks taken before are not in its audio."""
        return speech_of(self, self._made, self.seed, self.sample_rate, self._n_groups, self._issue)

    def save(self) -> bytes:
        """Return where the stream is, between two of its blocks; `SpeechModel.resume` goes on from there.

        The bytes hold the talker's positions, so they grow with the prompt and the speech.

        Raises
        ------
        ArgumentError
            No block was taken yet, the stream has ended or is closed, its text is still arriving, or it
            speaks a long text in parts (``split="never"`` speaks it in one).
        SessionBusy
            Another thread is making a block.
        """
        state = inspect.getgeneratorstate(self._blocks)
        if state == inspect.GEN_RUNNING:
            raise SessionBusy("the stream is making a block in another thread, expected to save it after one")
        if state != inspect.GEN_SUSPENDED:
            found = "not begun" if state == inspect.GEN_CREATED else "ended"
            raise ArgumentError(f"the stream has {found}, expected to save it between two of its blocks")
        saved = save(self._engine, self._script, self._made)
        receipt = None if self._issue is None else self._issue(saved.codes, "saved")
        return replace(saved, receipt=receipt).to_bytes()

    def close(self) -> None:
        """Stop speaking, give the model back, and close the iterator that text comes from."""
        self._blocks.close()
        self._script.close()

    def __enter__(self) -> SpeechStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run(engine: SpeechEngine, script: Script, made: Made) -> Generator[F32, None, None]:
    """Yield the blocks of one script."""
    try:
        with engine.use():
            yield from perform(engine, script, start(engine, [script], made.timings), made)
    finally:
        script.close()


def speech_of(
    blocks: Iterable[F32],
    made: Made,
    seed: int,
    sample_rate: int,
    n_groups: int,
    issue: Issue | None = None,
) -> Speech:
    """Return what was made, whole; the blocks are taken before anything else is looked at."""
    audio = join(blocks)
    codes, reason = made.frames.array(n_groups), made.finish_reason or "stop"
    receipt = None if issue is None else issue(codes, reason)
    pieces = tuple(made.pieces)
    return Speech(audio, sample_rate, codes, seed, reason, made.timings, pieces, made.guard, receipt)


def join(blocks: Iterable[F32]) -> F32:
    """Return blocks of samples as one array, float32 [n]; there may be none."""
    return np.concatenate([np.zeros(0, np.float32), *blocks])
