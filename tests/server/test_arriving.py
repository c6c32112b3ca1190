"""Text that arrives while it is spoken, on the lanes of a scheduler."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from toys import toy, variant

from pyomni.api import SpeechModel, SpeechRequest
from pyomni.api.result import join
from pyomni.errors import ArgumentError, Cancelled
from pyomni.options import SpeechOptions
from pyomni.pipelines.arriving import Arrival
from pyomni.pipelines.lane import TextLate
from pyomni.receipt import codes_hash
from pyomni.server.scheduler import Scheduler
from pyomni.voices import Voice

LONG = 600.0
PIECES = [
    "Hel",
    "lo the",
    "re. ",
    "This is a text",
    " that comes",
    " in pieces, ",
    "some of them",
    " late",
    ".",
]


class Work:
    """A scheduler on a toy."""

    def __init__(self, kind: str | None = None, lanes: int = 2) -> None:
        path = toy() if kind is None else variant(kind)
        self.model = SpeechModel(path, device="cpu", threads=1, lanes=lanes)
        self.live = self.model.live()
        self.scheduler = Scheduler(self.live, 32)

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *_: object) -> None:
        self.scheduler.close()
        self.model.close()

    def submit(self, text, seconds: float = 60.0, voice=None, **options):
        request = SpeechRequest(text, voice, options=SpeechOptions(**options))
        if isinstance(text, str):
            return self.scheduler.submit(self.live.prepare(request), LONG)
        return self.scheduler.submit(self.live.prepare_arriving(request, seconds), LONG)


class Asked(Arrival):
    """An arrival that says when it was asked in vain."""

    def __init__(self) -> None:
        super().__init__()
        self.late, self._loop = asyncio.Event(), asyncio.get_running_loop()

    def __next__(self) -> str:
        try:
            return super().__next__()
        except TextLate:
            self._loop.call_soon_threadsafe(self.late.set)
            raise


async def read(job) -> np.ndarray:
    return join([block async for block in job])


async def fed(job, text: Asked, pieces: list[str]) -> np.ndarray:
    """Read a job, whose text gets a piece when one was asked for in vain, and never before."""

    async def feed() -> None:
        for piece in [*pieces, None]:
            await text.late.wait()
            text.late.clear()
            text.end() if piece is None else text.add(piece)
            job.tell()

    feeder = asyncio.ensure_future(feed())
    try:
        return await read(job)
    finally:
        feeder.cancel()


def alone(kind: str | None, seed: int, voice=None, **options):
    path = toy() if kind is None else variant(kind)
    with SpeechModel(path, device="cpu", threads=1) as model:
        given = SpeechOptions(seed=seed, **options)
        return model.stream(iter(PIECES), voice=voice, options=given).read()


def in_context() -> Voice:
    rng = np.random.default_rng(0)
    row = rng.normal(size=16).astype(np.float32)
    with SpeechModel(variant("base"), device="cpu", threads=1) as model:
        row = np.resize(row, model._meta.n_embd)
    return Voice.clone(row, rng.integers(0, 8, (12, 16)).astype(np.int32), "Aa.")


@pytest.mark.parametrize("kind", [None, "custom_voice", "base"])
def test_late_pieces_have_the_codes_of_the_stream_of_them(kind):
    voice = in_context() if kind == "base" else None
    want = [alone(kind, seed, voice, max_frames=None if kind is None else 40) for seed in (1, 2)]

    async def go(work: Work):
        texts = [Asked(), Asked()]
        given = {"voice": voice, "max_frames": None if kind is None else 40}
        jobs = [work.submit(text, seed=seed, **given) for text, seed in zip(texts, (1, 2), strict=True)]
        other = work.submit("Hello there.", seed=3, max_frames=5)
        sound = await asyncio.gather(
            fed(jobs[0], texts[0], PIECES),
            fed(jobs[1], texts[1], ["".join(PIECES)]),
            read(other),
        )
        return jobs, sound

    with Work(kind) as work:
        jobs, sound = asyncio.run(go(work))
        for job, pcm, speech in zip(jobs, sound, want, strict=False):
            assert job.receipt.codes_hash == codes_hash(speech.codes)
            assert job.receipt.finish_reason == speech.finish_reason
            assert np.array_equal(pcm, speech.audio)
        assert work.scheduler.frames == sum(len(s.codes) for s in want) + 5


def test_others_are_spoken_while_a_text_is_late_and_who_leaves_frees_the_lane():
    async def go(work: Work):
        text = Arrival()
        text.add("Hello there, this is ")
        late = work.submit(text, max_frames=1000)
        await anext(late)
        other = work.submit("Two.", max_frames=3)  # one lane is free
        assert len(await read(other))
        waiting = work.submit(Arrival(), max_frames=3)  # not begun: no lane is held for it
        assert len(await read(work.submit("Three.", max_frames=3)))
        late.cancel()
        waiting.cancel()
        for job in (late, waiting):
            with pytest.raises(Cancelled):
                await read(job)
        assert work.scheduler.load() == (0, 0)

    with Work("custom_voice") as work:
        asyncio.run(go(work))
        assert work.scheduler.cancelled == 2


def test_a_text_that_says_nothing_and_one_that_goes_on_too_long():
    async def go(work: Work):
        empty, long = Arrival(), Arrival()
        empty.add(" ")
        empty.end()
        long.add("Hello there. " * 50)
        long.end()
        jobs = [work.submit(empty), work.submit(long, seconds=2.0)]
        with pytest.raises(ArgumentError, match="something to say"):
            await anext(jobs[0])
        assert len(await read(jobs[1])) == 25 * work.model.hop
        assert jobs[1].receipt.finish_reason == "length"

    with Work("custom_voice") as work:
        asyncio.run(go(work))


def test_closing_ends_what_waits_for_text():
    async def go(work: Work):
        text = Arrival()
        text.add("Hello there, ")
        job = work.submit(text)
        await anext(job)
        work.scheduler.close()
        with pytest.raises(Cancelled):
            await read(job)

    with Work("custom_voice") as work:
        asyncio.run(go(work))
