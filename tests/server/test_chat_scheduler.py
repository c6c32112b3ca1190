"""The scheduler of conversations on a toy: equal to a reply alone, limits, cancelling, draining."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from toys import omni

from pyomni.api import OmniModel
from pyomni.api.result import join
from pyomni.chat_options import ChatOptions
from pyomni.errors import ArgumentError, AudioError, Cancelled, ContextFull
from pyomni.options import SpeechOptions
from pyomni.server.chat_job import AudioBlock, ChatJob, ChatRequest, Done, TextDelta
from pyomni.server.chat_scheduler import ChatScheduler
from pyomni.server.failures import Busy, Draining, TooLate
from pyomni.server.stops import Stops

#: Longer than any test.
LONG = 600.0
#: An answer no test waits for.
ENDLESS = {"max_tokens": 60_000}


class Work:
    """A scheduler on a toy."""

    def __init__(self, lanes: int = 2, queue: int = 32) -> None:
        self.model = OmniModel(omni(), device="cpu", threads=1, lanes=lanes)
        self.scheduler = ChatScheduler(self.model, queue)

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *_: object) -> None:
        self.scheduler.close()
        self.model.close()

    async def submit(self, text: Any = "Hello.", seconds: float = LONG, **given: Any) -> ChatJob:
        return await self.scheduler.submit(request(text, **given), seconds)


def request(
    content: Any = "Hello.", speak: bool = False, frames: int | None = None, seed: int = 1, **options: Any
) -> ChatRequest:
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    stop = options.pop("stop", ())
    return ChatRequest(
        messages,
        speak,
        options=ChatOptions(seed=seed, temperature=0.9, **options),
        speech_options=SpeechOptions(seed=seed + 1, max_frames=frames),
        stop=stop,
    )


def alone(model: OmniModel, asked: ChatRequest):
    return model.reply(
        asked.messages, speak=asked.speak, options=asked.options, speech_options=asked.speech_options
    )


async def read(job: ChatJob) -> tuple[str, np.ndarray, Done]:
    events = [event async for event in job]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    pcm = join([event.pcm for event in events if isinstance(event, AudioBlock)])
    [done] = [event for event in events if isinstance(event, Done)]
    assert events[-1] is done
    assert done.text == text
    return text, pcm, done


def sound(n: int, seed: int) -> tuple[np.ndarray, int]:
    return (np.random.default_rng(seed).standard_normal(n) * 0.1).astype(np.float32), 16000


def picture() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [p if isinstance(p, dict) else {"text": p} for p in parts]}]


TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One"},
    {"role": "assistant", "content": "Two"},
    {"role": "user", "content": "Three"},
]
REQUESTS = [
    request("Tell me a story.", max_tokens=20),
    request("Say something.", speak=True, frames=12, max_tokens=16, seed=3),
    request(user({"audio": sound(20_000, 1)}, "What?"), speak=True, frames=30, max_tokens=9, seed=5),
    request(user({"image": picture()}, {"audio": sound(9_000, 3)}, "?"), max_tokens=30, seed=7),
    request(TALK, speak=True, max_tokens=3, seed=9),  # the guard ends its speech
    request("A longer one.", speak=True, frames=130, max_tokens=500, seed=11),
    request("Short.", max_tokens=1, seed=13),
]


@pytest.mark.parametrize("lanes", [1, 3])
def test_each_gets_what_reply_gives_alone(lanes: int):
    with OmniModel(omni(), device="cpu", threads=1) as model:
        replies = [alone(model, asked) for asked in REQUESTS]

    async def all_at_once(work: Work):
        jobs = [await work.scheduler.submit(asked, LONG) for asked in REQUESTS]
        return await asyncio.gather(*map(read, jobs))

    with Work(lanes) as work:
        for again in range(2):  # the second time on lanes, sessions and codecs that were used
            for (text, pcm, done), reply in zip(asyncio.run(all_at_once(work)), replies, strict=True):
                assert text == reply.text
                assert (done.finish_reason, done.n_prompt) == (reply.finish_reason, reply.n_prompt)
                assert done.n_tokens == len(reply.tokens)
                if reply.speech is None:
                    assert (pcm.size, done.n_frames, done.receipt) == (0, 0, None)
                else:
                    assert done.n_frames == len(reply.speech.codes)
                    assert done.receipt == reply.speech.receipt
                    assert np.array_equal(pcm, reply.speech.audio)
            assert again == 0 or work.scheduler.done == 2 * len(REQUESTS)


def test_text_alone_loads_nothing_that_speaks():
    with Work() as work:
        asyncio.run(_one(work))
        assert set(work.model.info["loaded"]) == {"thinker"}


async def _one(work: Work, **given: Any):
    return await read(await work.submit(**({"max_tokens": 3} | given)))


def test_a_conversation_goes_on_from_what_its_lane_holds():
    with Work(lanes=2) as work:
        text, _, first = asyncio.run(_one(work, text="Hello.", max_tokens=6))
        turns = [
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": text},
            {"role": "user", "content": "And?"},
        ]
        _, _, second = asyncio.run(_one(work, text=turns))
    assert first.n_reused == 0
    assert second.n_reused >= first.n_prompt - 1
    assert second.usage["prompt_tokens_details"]["cached_tokens"] == second.n_reused


def test_one_gets_in_while_others_are_answered():
    async def go(work: Work):
        long = await work.submit(speak=True, **ENDLESS)
        await anext(long)
        await read(await work.submit(speak=True, frames=3, max_tokens=3))
        await read(await work.submit(max_tokens=3))
        long.cancel()

    with Work() as work:
        asyncio.run(go(work))


def test_a_longer_one_waits_until_its_room_can_be_made():
    async def go(work: Work):
        first = await work.submit(max_tokens=300)
        longer = await work.submit(max_tokens=3000, speak=True, frames=1500)
        short = await work.submit(max_tokens=3)
        await read(first)
        await anext(longer)
        longer.cancel()
        await read(short)

    with Work() as work:
        asyncio.run(go(work))


def test_the_thinker_is_opened_anew_while_another_still_speaks():
    spoken = request("Say it.", speak=True, max_tokens=4, seed=3)

    async def go(work: Work):
        speaking = await work.scheduler.submit(spoken, LONG)
        longer = await work.submit(max_tokens=5000, seed=8)
        result = asyncio.ensure_future(read(speaking))
        await anext(longer)
        assert not result.done()
        longer.cancel()
        return await result

    with Work() as work:
        _, pcm, _ = asyncio.run(go(work))
    with OmniModel(omni(), device="cpu", threads=1) as model:
        assert np.array_equal(pcm, alone(model, spoken).speech.audio)


def test_the_talker_is_opened_anew_between_two_that_speak():
    async def go(work: Work):
        gone, text = await work.submit(**ENDLESS), await work.submit(**ENDLESS)
        await anext(text)
        gone.cancel()  # so that those that speak are in the first lane, and write first
        first = await work.submit(speak=True, frames=200, max_tokens=3)
        longer = await work.submit(speak=True, frames=1500, max_tokens=40)
        await read(first)
        async for event in longer:
            if isinstance(event, AudioBlock):
                break
        assert isinstance(await anext(text), TextDelta)
        text.cancel()
        longer.cancel()

    with Work() as work:
        asyncio.run(go(work))
        assert work.scheduler.failed == 0


@pytest.mark.parametrize("speak", [False, True])
def test_who_leaves_frees_the_lane(speak: bool):
    async def go(work: Work):
        first = await work.submit(speak=speak, **ENDLESS)
        await anext(first)
        second = await work.submit(max_tokens=3)
        first.cancel()
        await read(second)
        with pytest.raises(Cancelled):
            await read(first)

    with Work(lanes=1) as work:
        asyncio.run(go(work))
        assert work.scheduler.cancelled == 1
        assert work.scheduler.tokens < 1000


def test_who_leaves_while_its_speech_goes_on():
    async def go(work: Work):
        job = await work.submit(speak=True, frames=2000, max_tokens=2)
        async for event in job:
            if isinstance(event, AudioBlock):
                break
        job.cancel()
        await _one(work)
        with pytest.raises(Cancelled):
            await read(job)

    with Work(lanes=1) as work:
        asyncio.run(go(work))


def test_words_that_stop_a_text():
    with Work() as work:
        whole, _, _ = asyncio.run(_one(work, max_tokens=30))
        word = whole[8:10]
        text, _, done = asyncio.run(_one(work, stop=(word,), **ENDLESS))
        assert text == whole[: whole.index(word)]
        assert done.finish_reason == "stop"
        asyncio.run(_one(work))
        assert work.scheduler.done == 3
        assert work.scheduler.cancelled == 0


@pytest.mark.parametrize(
    ("words", "pieces", "shown"),
    [
        ((), ["ab", "c"], "abc"),
        (("b",), ["a", "b", "c"], "a"),
        (("bcd",), ["ab", "c", "e", "bc", "df"], "abce"),
        (("xy", "c"), ["ax", "c"], "ax"),
        (("aab",), ["a", "a", "a", "b"], "a"),
        (("bcd",), ["abc"], "abc"),
    ],
)
def test_stops(words, pieces, shown):
    stops = Stops(words)
    assert "".join(map(stops.push, pieces)) + stops.finish() == shown


def test_a_full_queue_refuses_and_takes_again():
    async def go(work: Work):
        first = await work.submit(**ENDLESS)
        await anext(first)
        waiting = await work.submit(max_tokens=3)
        with pytest.raises(Busy, match="1 requests wait"):
            await work.submit()
        assert work.scheduler.load() == (1, 1)
        first.cancel()
        await read(waiting)
        await _one(work)

    with Work(lanes=1, queue=1) as work:
        asyncio.run(go(work))


def test_a_deadline_ends_what_runs_and_what_waits():
    async def go(work: Work):
        running = await work.submit(**ENDLESS)
        await anext(running)
        late = await work.submit(seconds=5)
        late.deadline = 0.0
        with pytest.raises(TooLate):
            await read(late)
        running.deadline = 0.0
        with pytest.raises(TooLate):
            await read(running)
        with pytest.raises(TooLate):
            await work.submit(seconds=0.0)
        await _one(work)

    with Work(lanes=1) as work:
        asyncio.run(go(work))


def test_what_cannot_be_answered_takes_no_place():
    async def go(work: Work):
        for error, content in (
            (AudioError, user({"audio": b"nothing"})),
            (ArgumentError, []),
            (ContextFull, "a " * 70_000),
        ):
            with pytest.raises(error):
                await work.submit(content)
        with pytest.raises(ArgumentError, match="voice"):
            await work.scheduler.submit(ChatRequest(TALK, True, voice="nobody"), LONG)
        assert work.scheduler.load() == (0, 0)
        await _one(work)

    with Work(queue=1) as work:
        asyncio.run(go(work))


@pytest.mark.parametrize("what", ["pyomni.pipelines.together.Blocks.push", "pyomni.pipelines.thinking.pick"])
def test_a_failure_ends_what_runs_and_the_next_is_answered(what: str, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise MemoryError

    async def go(work: Work):
        jobs = [await work.submit(speak=True, **ENDLESS), await work.submit(**ENDLESS)]
        await asyncio.gather(*map(anext, jobs))
        with monkeypatch.context() as patch:
            patch.setattr(what, fail)
            for job in jobs:
                with pytest.raises(MemoryError):
                    await read(job)
        await _one(work, speak=True, frames=3)

    with Work() as work:
        asyncio.run(go(work))
        assert work.scheduler.failed == 2


def test_draining_finishes_what_is_here_and_closing_ends_it():
    async def go(work: Work):
        first = await work.submit(max_tokens=20)
        left = await work.submit(**ENDLESS)
        await anext(left)
        work.scheduler.drain()
        assert not work.scheduler.ready
        with pytest.raises(Draining):
            await work.submit()
        await read(first)
        await asyncio.to_thread(work.scheduler.close)
        with pytest.raises(Cancelled):
            await read(left)

    with Work() as work:
        asyncio.run(go(work))
