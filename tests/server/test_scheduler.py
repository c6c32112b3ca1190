"""The scheduler on a toy: equal codes, turns, limits, cancelling, draining."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from toys import toy, variant

from pyomni.api import SpeechModel, SpeechRequest
from pyomni.api.result import join
from pyomni.errors import Cancelled
from pyomni.options import SpeechOptions
from pyomni.receipt import codes_hash
from pyomni.server.failures import Busy, Draining, TooLate
from pyomni.server.scheduler import Scheduler

#: Longer than any test.
LONG = 600.0


class Work:
    """A scheduler on a toy; texts that never end by themselves with ``endless``."""

    def __init__(self, lanes: int = 2, queue: int = 32, endless: bool = False) -> None:
        self.model = SpeechModel(
            variant("custom_voice") if endless else toy(), device="cpu", threads=1, lanes=lanes
        )
        self.live = self.model.live()
        self.scheduler = Scheduler(self.live, queue)

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *_: object) -> None:
        self.scheduler.close()
        self.model.close()

    def submit(self, text: str = "Hello there.", seconds: float = LONG, **options):
        prepared = self.live.prepare(SpeechRequest(text, options=SpeechOptions(**options)))
        return self.scheduler.submit(prepared, seconds)


async def read(job) -> np.ndarray:
    return join([block async for block in job])


REQUESTS = [
    ("Hello there.", {"seed": 1}),
    ("Two of them.", {"seed": 2, "temperature": 0.7}),
    ("One. Two? Three!", {"seed": 3, "split": "sentences"}),
    ("Four. Five. Six.", {"seed": 4, "split": "sentences", "max_frames": 25}),
    ("Another.", {"seed": 5, "max_frames": 4}),
]


def test_each_gets_what_speak_gives_alone():
    with SpeechModel(toy(), device="cpu", threads=1) as model:
        alone = [model.speak(text, options=SpeechOptions(**given)) for text, given in REQUESTS]

    async def all_at_once(work: Work):
        jobs = [work.submit(text, guard=True, **given) for text, given in REQUESTS]
        return jobs, await asyncio.gather(*map(read, jobs))

    with Work(lanes=2) as work:
        for _ in range(2):  # the second time on sessions and codecs that were used
            jobs, sound = asyncio.run(all_at_once(work))
            for job, pcm, speech in zip(jobs, sound, alone, strict=True):
                assert job.receipt.codes_hash == codes_hash(speech.codes)
                assert job.receipt.finish_reason == speech.finish_reason
                assert np.array_equal(pcm, speech.audio)


def test_a_request_gets_in_while_another_is_spoken():
    async def go(work: Work):
        long = work.submit(max_frames=2000)
        first = await anext(long)
        short = work.submit(max_frames=3)
        await read(short)
        assert not long.receipt
        assert len(first)
        long.cancel()

    with Work(endless=True) as work:
        asyncio.run(go(work))


def test_parts_of_a_text_let_others_in_between():
    order = []

    async def follow(name: str, job) -> None:
        await read(job)
        order.append(name)

    async def go(work: Work):
        long = work.submit("One. Two. Three. Four.", split="sentences", max_frames=400, guard=False)
        short = work.submit("Five.", max_frames=3)
        await asyncio.gather(follow("long", long), follow("short", short))

    with Work(lanes=1) as work:
        asyncio.run(go(work))
    assert order == ["short", "long"]


def test_a_reader_who_leaves_frees_the_lane():
    async def go(work: Work):
        first = work.submit(max_frames=1900)
        await anext(first)
        second = work.submit(max_frames=3)
        first.cancel()
        await read(second)
        assert first.receipt is None
        with pytest.raises(Cancelled):
            await read(first)

    with Work(lanes=1, endless=True) as work:
        asyncio.run(go(work))
        assert work.scheduler.frames < 1900
        assert work.scheduler.cancelled == 1


def test_a_full_queue_refuses_and_takes_again():
    async def go(work: Work):
        first = work.submit(max_frames=1900)
        await anext(first)
        waiting = work.submit(max_frames=3)
        with pytest.raises(Busy, match="1 requests wait"):
            work.submit()
        first.cancel()
        await read(waiting)
        await read(work.submit(max_frames=3))

    with Work(lanes=1, queue=1, endless=True) as work:
        asyncio.run(go(work))


def test_a_deadline_ends_what_runs_and_what_waits():
    async def go(work: Work):
        running = work.submit(max_frames=1900)
        await anext(running)
        with pytest.raises(TooLate):
            await read(work.submit(seconds=0.01))
        late = work.submit(seconds=0.01, max_frames=1900)
        running.cancel()
        with pytest.raises(TooLate):
            await read(late)
        await read(work.submit(max_frames=3))

    with Work(lanes=1, endless=True) as work:
        asyncio.run(go(work))


def test_a_longer_text_waits_for_larger_sessions():
    async def go(work: Work):
        jobs = [work.submit(max_frames=3), work.submit(max_frames=1200), work.submit(max_frames=3)]
        for job in jobs[::2]:
            await read(job)
        await anext(jobs[1])
        jobs[1].cancel()

    with Work(endless=True) as work:
        asyncio.run(go(work))
        assert work.scheduler._room > 1200


def test_an_unread_text_does_not_begin_its_next_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pyomni.server.scheduler.UNREAD_S", 0.0)

    async def go(work: Work):
        job = work.submit("One. Two.", split="sentences", seed=3)
        while not work.scheduler._paused:
            await asyncio.sleep(0.01)
        assert job.performance._index == 0
        await read(job)
        assert job.receipt

    with Work() as work:
        asyncio.run(go(work))


def test_a_failure_ends_what_runs_and_the_next_is_spoken(monkeypatch: pytest.MonkeyPatch):
    async def go(work: Work):
        job = work.submit(max_frames=1900)
        await anext(job)

        def fail(*_: object) -> None:
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr("pyomni.api.live.Performance.push", fail)
            with pytest.raises(MemoryError):
                await read(job)
        await read(work.submit(max_frames=3))

    with Work(endless=True) as work:
        asyncio.run(go(work))
        assert work.scheduler.failed == 1


@pytest.mark.parametrize("lanes", [1, 2])  # none is free, and one
def test_an_errand_runs_while_frames_are_made(lanes):
    async def go(work: Work):
        job = work.submit(max_frames=1900)
        await anext(job)
        name = await work.scheduler.between_frames(lambda: threading.current_thread().name)
        assert name == "pyomni-speech"
        assert job.receipt is None
        with pytest.raises(ZeroDivisionError):
            await work.scheduler.between_frames(lambda: 1 // 0)
        job.cancel()

    with Work(lanes, endless=True) as work:
        asyncio.run(go(work))


def test_as_many_errands_wait_as_requests_may():
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        go_on.wait()
        return "first"

    async def run() -> None:
        with Work(queue=1) as work:
            try:
                first = asyncio.ensure_future(work.scheduler.between_frames(slow))
                await asyncio.to_thread(begun.wait)
                second = asyncio.ensure_future(work.scheduler.between_frames(lambda: "second"))
                await asyncio.sleep(0)
                with pytest.raises(Busy, match="1 clips wait already"):
                    await work.scheduler.between_frames(lambda: "third")
            finally:
                go_on.set()
            assert await asyncio.gather(first, second) == ["first", "second"]

    asyncio.run(run())


def test_draining_finishes_what_is_here_and_takes_no_more():
    async def go(work: Work):
        jobs = [work.submit(max_frames=30) for _ in range(3)]
        work.scheduler.drain()
        assert not work.scheduler.ready
        with pytest.raises(Draining):
            work.submit()
        await asyncio.gather(*map(read, jobs))

    with Work(endless=True) as work:
        asyncio.run(go(work))
        assert work.scheduler.done == 3


def test_closing_ends_what_is_left():
    async def go(work: Work):
        jobs = [work.submit(max_frames=1900) for _ in range(3)]
        await anext(jobs[0])
        await asyncio.to_thread(work.scheduler.close)
        for job in jobs:
            with pytest.raises(Cancelled):
                await read(job)

    with Work(lanes=1, endless=True) as work:
        asyncio.run(go(work))
