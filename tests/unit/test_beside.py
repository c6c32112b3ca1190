"""A codec beside the talker, on fake networks: who waits for whom, errors, how threads are shared."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeCodec, FakePredictor, FakeTalker, small_metadata
from tiny import tiny_gguf

from pyomni._binding import Device, Model
from pyomni.components.lm import DecoderLM
from pyomni.errors import ArgumentError, SessionBroken
from pyomni.machine import LARGE, codec_threads
from pyomni.options import Draw, GenerationOptions
from pyomni.pipelines.beside import Ahead, Beside
from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.pipelines.long import InOrder, perform, start
from pyomni.pipelines.prompt import PromptLayout
from pyomni.pipelines.script import Made, Part, Script
from pyomni.pipelines.speech import Event

#: Longer than any test; nothing waits so long unless it is broken.
LONG = 60.0


@pytest.fixture
def beside() -> Iterator[Beside]:
    beside = Beside()
    yield beside
    beside.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pyomni-codec")]


# --- Beside -----------------------------------------------------------------------------------------------


def test_work_is_done_in_another_thread_while_its_caller_goes_on(beside: Beside):
    steps: list[int] = []
    enough = threading.Event()

    def work() -> int:
        assert enough.wait(LONG)
        return threading.get_ident()

    def meanwhile() -> bool:
        steps.append(threading.get_ident())
        if len(steps) == 3:
            enough.set()
        return len(steps) < 3

    assert beside.run(meanwhile, work) != threading.get_ident()
    assert steps == [threading.get_ident()] * 3


def test_what_the_work_raises_comes_out(beside: Beside):
    def work() -> None:
        raise SessionBroken("half way")

    with pytest.raises(SessionBroken, match="half way"):
        beside.run(lambda: False, work)
    assert beside.run(lambda: False, lambda: 3) == 3


def test_who_is_interrupted_leaves_once_the_work_is_done(beside: Beside):
    begun, interrupted, done = threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        assert interrupted.wait(LONG)
        done.append(True)

    def meanwhile() -> bool:
        assert begun.wait(LONG)
        interrupted.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        beside.run(meanwhile, work)
    assert done == [True]


def test_who_needs_what_it_works_in_waits(beside: Beside):
    """As the guard does, when it listens while frames are made."""
    order, waits = [], threading.Event()

    def work() -> None:
        assert waits.wait(LONG)
        order.append("worked")

    def meanwhile() -> bool:
        waits.set()
        beside.wait()
        order.append("waited")
        return False

    beside.wait()  # for nothing
    beside.run(meanwhile, work)
    assert order == ["worked", "waited"]


# --- Ahead ------------------------------------------------------------------------------------------------


def test_events_made_ahead_come_in_their_order():
    def events() -> Iterator[Event]:
        return (Event(i, None, None, n_past=n) for n in range(6) for i in (0, 1))

    ahead = Ahead(events(), 2)
    assert next(ahead) == Event(0, None, None, n_past=0)
    assert [ahead.step() for _ in range(5)] == [True, True, True, False, False]
    assert [(event.request, event.n_past) for event in (next(ahead), next(ahead))] == [(1, 0), (0, 1)]
    assert ahead.step()
    assert list(ahead) == list(events())[3:]
    assert not ahead.step()
    assert not Ahead(events(), 0).step()


def test_an_error_made_ahead_comes_where_the_event_would():
    made = [Event(0, None, None), Event(0, None, None)]

    def events() -> Iterator[Event]:
        yield from made
        raise ValueError("no third")

    ahead = Ahead(events(), 8)
    assert [ahead.step() for _ in range(4)] == [True, True, False, False]
    assert [next(ahead), next(ahead)] == made
    with pytest.raises(ValueError, match="no third"):
        next(ahead)
    assert next(ahead, None) is None


# --- a speech ---------------------------------------------------------------------------------------------


class Waiting(FakeCodec):
    """A codec that has not done with a block before so many events were made behind it."""

    events: Counted

    def __init__(self, by: int = 4) -> None:
        super().__init__()
        self.by, self.threads = by, []

    def decode(self, codes: np.ndarray, lane: int = 0) -> np.ndarray:
        self.threads.append(threading.get_ident())
        if self.threads[-1] != self.threads[0]:
            self.events.wait_for(sum(self.widths) + len(codes) + self.by)
        return super().decode(codes, lane)


class Counted:
    """Events that say how many were made, and that `fail` after so many."""

    def __init__(self, events: Iterator[Event], n_last: int, fail: int = 10**6) -> None:
        self.events, self.n_last, self.fail, self.n = events, n_last, fail, 0
        self.changed = threading.Condition()

    def __iter__(self) -> Counted:
        return self

    def __next__(self) -> Event:
        if self.n == self.fail:
            raise SessionBroken("the talker fails")
        event = next(self.events)
        with self.changed:
            self.n += 1
            self.changed.notify_all()
        return event

    def wait_for(self, n: int) -> None:
        want = min(n, self.n_last, self.fail)
        with self.changed:
            assert self.changed.wait_for(lambda: self.n >= want, LONG)


def speech(n_frames: int) -> Script:
    layout = PromptLayout(tuple((i % 7, None) for i in range(4)), (), 3, 4)
    options = GenerationOptions(1, Draw(1.0), Draw(1.0), 1.0, n_frames, 2, False)
    return Script((Part(Plan(layout, options)),), 1)


def engine(beside: Beside | None, codec: FakeCodec) -> SpeechEngine:
    def lm(name: str, n_ctx: int, n_lanes: int):
        return FakeTalker(n_lanes, n_ctx) if name == "talker" else FakePredictor(n_lanes)

    return SpeechEngine(small_metadata(), lm, lambda: codec, beside=beside)


def told(e: SpeechEngine, script: Script, events: InOrder) -> Iterator[tuple[bytes, int, int, object]]:
    """Yield, at each block, what whoever reads can see."""
    made = Made()
    for block in perform(e, script, events, made):
        yield block.tobytes(), made.frames.n, made.n_blocks, made.finish_reason


def counted(e: SpeechEngine, script: Script, fail: int = 10**6) -> Counted:
    n = script.parts[0].plan.options.max_frames
    return Counted(e.events([script.parts[0].plan]), n + 1, fail)  # frames, and the end


@pytest.mark.parametrize("n_frames", [1, 2, 15, 30, 31])
def test_a_reader_sees_what_it_sees_of_one_thread(beside: Beside, n_frames: int):
    script = speech(n_frames)
    alone = engine(None, FakeCodec())
    with alone.use():
        want = list(told(alone, script, start(alone, [script], Made().timings)))
    codec = Waiting()
    e = engine(beside, codec)
    with e.use():
        codec.events = events = counted(e, script)
        found = list(told(e, script, InOrder(events, e.most_ahead)))
    assert found == want
    assert len(set(codec.threads)) == (1 if n_frames == 1 else 2), "the first block is decoded here"


def test_an_error_of_the_codec_comes_out_and_the_next_speech_is_whole(beside: Beside):
    class Failing(FakeCodec):
        def decode(self, codes: np.ndarray, lane: int = 0) -> np.ndarray:
            if len(self.widths) == 3:
                self.widths.append(0)
                raise SessionBroken("the codec fails")
            return super().decode(codes, lane)

    script, e = speech(30), engine(beside, Failing())
    blocks: list[object] = []
    with e.use(), pytest.raises(SessionBroken, match="the codec fails"):
        blocks.extend(told(e, script, start(e, [script], Made().timings)))
    assert len(blocks) == 3
    with e.use():
        assert len(list(told(e, script, start(e, [script], Made().timings)))) == 6


def test_an_error_of_the_talker_comes_after_the_blocks_before_it(beside: Beside):
    script = speech(30)
    codec = Waiting(8)
    e = engine(beside, codec)
    with e.use():
        codec.events = events = counted(e, script, fail=19)
        blocks: list[tuple[bytes, int, int, object]] = []
        with pytest.raises(SessionBroken, match="the talker fails"):
            blocks.extend(told(e, script, InOrder(events, e.most_ahead)))
    assert [one[1] for one in blocks] == [1, 3, 7, 15]
    assert codec.widths == [1, 2, 4, 8]


def test_a_stream_closed_half_way_leaves_nothing_at_work(beside: Beside):
    script, codec = speech(30), FakeCodec()
    e = engine(beside, codec)
    with e.use():
        blocks = told(e, script, start(e, [script], Made().timings))
        for _ in range(3):
            next(blocks)
        assert codec.widths == [1, 2, 4]
        blocks.close()
        again = list(told(e, script, start(e, [script], Made().timings)))
    assert codec.widths == [1, 2, 4, 1, 2, 4, 8, 8, 7]
    assert again[-1][1] == 30


# --- threads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "shares"),
    [
        ("", {1: 0, 2: 1, 4: 2, 6: 2, 8: 3, 16: 6, 64: 24}),
        ("0", {1: 0, 8: 0, 64: 0}),
        ("1", {1: 1, 2: 1, 4: 2, 8: 3}),
    ],
)
def test_how_threads_are_shared(monkeypatch: pytest.MonkeyPatch, asked: str, shares: dict[int, int]):
    monkeypatch.setenv("PYOMNI_CODEC_BESIDE", asked)
    assert {n: codec_threads("cpu", n, LARGE, 1) for n in shares} == shares
    assert codec_threads("cuda0", 64, LARGE, 1) == 0
    other = 3 if asked == "1" else 0  # of a small model, and in several lanes
    assert codec_threads("cpu", 8, LARGE - 1, 1) == codec_threads("cpu", 8, LARGE, 2) == other


def test_a_variable_that_says_neither_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYOMNI_CODEC_BESIDE", "yes")
    with pytest.raises(ArgumentError, match="PYOMNI_CODEC_BESIDE is 'yes', expected 0 or 1"):
        codec_threads("cpu", 2, LARGE, 1)


def test_who_works_alone_has_all_threads():
    told: list[object] = []
    beside = Beside(told.append)
    try:
        assert beside.run(lambda: bool(told.append("step")), lambda: told.append("work") or 3) == 3
        assert told[0] is True
        assert told[-1] is False
        assert sorted(map(str, told[1:-1])) in (["step", "work"], ["work"])  # it may be done at once
        told.clear()
        with pytest.raises(ZeroDivisionError):
            beside.run(lambda: False, lambda: 1 / 0)
        assert told == [True, False]
    finally:
        beside.close()


def test_a_limit_of_threads_changes_no_sample_and_can_be_lifted(tmp_path: Path):
    path = tiny_gguf(tmp_path / "m.gguf", hidden=512, ff=2048, layers=2)
    with Device("cpu", 3) as device, Model(device, str(path), "talker") as model:
        rows = np.random.default_rng(0).standard_normal((1, 12, model.info.n_embd)).astype(np.float32)
        lm = DecoderLM(model, 64)
        assert model.info.n_bytes > 8 << 20  # enough for several threads
        found = []
        for limit in (0, 1, 2, 9, 0):
            device.limit(limit)
            lm.rewind()
            found.append(lm.decode(rows).logits)
        for one in found[1:]:
            np.testing.assert_array_equal(one, found[0])
        with pytest.raises(ArgumentError, match="the limit is -1 threads, expected 0"):
            device.limit(-1)
