"""What speaking gives: `Speech`, whole, and `SpeechStream`, as it is made."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.pipelines.speech import Timings

__all__ = ["Speech", "SpeechStream", "join", "stack"]

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

    def save(self, path: str | os.PathLike[str], format: str | None = None) -> None:  # noqa: A002, the name users expect
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
        return stack(self._made.frames, self._n_groups)

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
        yield from engine.pcm(frames(), made.timings, plan.reference)


def stack(frames: Sequence[I32], n_groups: int) -> I32:
    """Return frames as one array, int32 [n_frames, n_groups]; there may be none."""
    return np.stack(frames) if frames else np.zeros((0, n_groups), np.int32)


def join(blocks: Iterable[F32]) -> F32:
    """Return blocks of samples as one array, float32 [n]; there may be none."""
    return np.concatenate([np.zeros(0, np.float32), *blocks])
