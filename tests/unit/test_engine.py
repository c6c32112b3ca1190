"""Sessions: opened late, sized to the request, one caller at a time."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from fakes import N_GROUPS, FakeCodec, FakePredictor, FakeTalker, small_metadata

from pyomni.errors import ArgumentError, ContextFull, SessionBusy, UnsupportedModel
from pyomni.options import Draw, GenerationOptions
from pyomni.pipelines.engine import SpeechEngine
from pyomni.pipelines.prompt import PromptLayout

OPTIONS = GenerationOptions(1, Draw(1.0), Draw(1.0), 1.0, 20, 2, False)


class Opened:
    """Counts what the engine opens."""

    def __init__(self) -> None:
        self.lms: list[tuple[str, int, int]] = []
        self.sessions: list[FakeTalker | FakePredictor] = []

    def lm(self, name: str, n_ctx: int, n_lanes: int):
        self.lms.append((name, n_ctx, n_lanes))
        session = FakeTalker(n_lanes, n_ctx) if name == "talker" else FakePredictor(n_lanes)
        self.sessions.append(session)
        return session


def layout(n: int) -> PromptLayout:
    return PromptLayout(tuple((i % 7, None) for i in range(n)), (), 3, n)


def engine(opened: Opened, lanes: int = 1, **changes) -> SpeechEngine:
    return SpeechEngine(small_metadata(**changes), opened.lm, FakeCodec, lanes)


def frames_options(n: int) -> GenerationOptions:
    return GenerationOptions(1, Draw(1.0), Draw(1.0), 1.0, n, 2, False)


def run(e: SpeechEngine, *sizes: tuple[int, int]) -> int:
    """Run plans of (positions, frames) and return how many frames they made."""
    plans = [e.fit(layout(n), frames_options(frames), frames_asked=True) for n, frames in sizes]
    with e.use():
        return sum(event.codes is not None for event in e.events(plans))


def test_sessions_are_sized_in_steps_and_reused():
    opened = Opened()
    e = engine(opened)
    assert run(e, (10, 20)) == 20
    assert opened.lms == [("talker", 512, 1), ("code_predictor", N_GROUPS, 1)]
    run(e, (400, 112))
    assert len(opened.lms) == 2, "512 positions fit the session there is"
    run(e, (400, 113))
    assert opened.lms[2:] == [("talker", 1024, 1)]
    assert opened.sessions[0].closed
    run(e, (10, 20))
    assert len(opened.lms) == 3, "a larger session serves a smaller request"


def test_the_checkpoint_bounds_the_session():
    opened = Opened()
    run(engine(opened, n_ctx_max=100), (10, 20))
    assert opened.lms[0] == ("talker", 100, 1)


def test_lanes_open_only_for_several_texts():
    opened = Opened()
    e = engine(opened, lanes=3)
    run(e, (10, 5))
    assert opened.lms == [("talker", 512, 1), ("code_predictor", N_GROUPS, 1)]
    run(e, (10, 5), (10, 5))
    assert opened.lms[2:] == [("talker", 512, 3), ("code_predictor", N_GROUPS, 3)]
    run(e, (10, 5))
    assert len(opened.lms) == 4


def test_a_text_beyond_the_context():
    e = engine(Opened(), n_ctx_max=100)
    with pytest.raises(ContextFull, match="a prompt of 99 positions, expected at most 98 of the 100"):
        e.fit(layout(99), OPTIONS, frames_asked=False)


def test_frames_beyond_the_context_are_cut_unless_asked_for():
    e = engine(Opened(), n_ctx_max=100)
    assert e.fit(layout(90), OPTIONS, frames_asked=False).options.max_frames == 10
    with pytest.raises(ContextFull, match="a prompt of 90 positions and 20 frames were asked for"):
        e.fit(layout(90), OPTIONS, frames_asked=True)


def test_one_caller_at_a_time():
    e = engine(Opened())
    plans = [e.fit(layout(5), OPTIONS, frames_asked=False)]
    caught = []

    def second() -> None:
        try:
            with e.use():
                pass
        except SessionBusy as error:
            caught.append(str(error))

    with e.use():
        next(e.events(plans))
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        with pytest.raises(SessionBusy):
            e.close()
    assert len(caught) == 1
    assert "already speaking" in caught[0]
    with e.use():
        pass


def test_a_component_that_is_not_there():
    e = engine(Opened(), components=("codec_decoder",))
    with e.use(), pytest.raises(UnsupportedModel, match=r"no talker \(it has: codec_decoder\)"):
        e.events([])
    with e.use():
        assert len(np.concatenate(list(e.pcm(np.ones((3, N_GROUPS), np.int32))))) == 15


def test_lanes_below_one():
    with pytest.raises(ArgumentError, match="lanes is 0"):
        engine(Opened(), lanes=0)


def test_close_frees_and_a_later_run_opens_again():
    opened = Opened()
    e = engine(opened)
    run(e, (5, 3))
    e.close()
    assert all(session.closed for session in opened.sessions)
    assert run(e, (5, 3)) == 3
