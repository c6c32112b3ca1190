"""The guard on fake networks: loops, silence, missed and early ends; and nothing of it where all is well."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from fakes import (
    END,
    N_GROUPS,
    N_VOCAB,
    PROMPT,
    WIDTH,
    FakePredictor,
    FakeTalker,
    prompt_rows,
    small_metadata,
)

from pyomni.options import Draw, GenerationOptions, Guarding, SpeechOptions
from pyomni.pipelines.guard import REPETITION, TRIES, GuardCounts, Watch
from pyomni.pipelines.lane import Event, Point, Request
from pyomni.pipelines.prompt import TalkerPrompt, reference_rows
from pyomni.pipelines.speech import generate
from pyomni.sampling import Uniforms

META = small_metadata()
RATE = 12.5
GUARD = Guarding(RATE)
HELD = 7


def options(seed: int = 1, guard: Guarding | None = GUARD, **changes) -> GenerationOptions:
    base = GenerationOptions(seed, Draw(1.0), Draw(1.0), 1.0, 200, 0, False, guard)
    return replace(base, **changes)


def request(key: int = 1, **changes) -> Request:
    pad = np.full(WIDTH, 0.25, np.float32)
    return Request(TalkerPrompt(prompt_rows(key), np.zeros((0, WIDTH), np.float32), pad), options(**changes))


class Odd(FakeTalker):
    """From frame `at` on it draws the code `HELD`, but for the end with a chance of `end`."""

    def __init__(
        self, n_lanes: int = 1, at: int = 20, end: float = 0.0, until: int = 10**6, **others
    ) -> None:
        super().__init__(n_lanes, **others)
        self.at, self.end, self.until = at, end, until

    def decode(self, rows: np.ndarray, *, lanes=None, head: int = 0):
        step = super().decode(rows, lanes=lanes, head=head)
        for i, lane in enumerate(range(len(rows)) if lanes is None else lanes):
            if (
                self.at <= len(self.seen[lane]) - PROMPT < self.until
                and round(float(self.seen[lane][0][0])) == 1
            ):
                step.logits[i] = -50.0
                step.logits[i, HELD] = np.log(1 - self.end)
                step.logits[i, END] = np.log(self.end) if self.end else -50.0
        return step

    def save(self, lane: int = 0) -> bytes:
        return pickle.dumps(self.seen[lane])

    def load(self, saved: bytes, lane: int = 0) -> None:
        self.seen[lane] = pickle.loads(saved)


def run(talker: FakeTalker, *requests: Request, levels=None) -> list[tuple[np.ndarray, Event]]:
    """Return for each request its codes [n_frames, n_groups] and its last event."""
    frames: dict[int, list[np.ndarray]] = {i: [] for i in range(len(requests))}
    ends = {}
    for event in generate(talker, FakePredictor(talker.n_lanes), requests, META, levels=levels):
        assert event.request not in ends
        if event.codes is None:
            ends[event.request] = event
        else:
            frames[event.request].append(event.codes)
    return [(np.array(frames[i], np.int32).reshape(-1, N_GROUPS), ends[i]) for i in sorted(ends)]


def silent(codes: np.ndarray) -> np.ndarray:
    return np.where(codes[:, 0] == HELD, -90.0, -20.0).astype(np.float32)


@pytest.mark.parametrize("lanes", [1, 3])
def test_healthy_speech_is_left_as_it_is(lanes: int):
    ends = {1: 40, 2: 90, 3: 25, 4: 10**6}
    requests = [request(key, seed=key) for key in ends]
    bare = [replace(one, options=replace(one.options, guard=None)) for one in requests]
    want = run(FakeTalker(lanes, end_after=ends), *bare)
    for (codes, end), (plain, other) in zip(
        run(FakeTalker(lanes, end_after=ends), *requests), want, strict=True
    ):
        assert np.array_equal(codes, plain)
        assert (end.finish_reason, end.guard) == (other.finish_reason, GuardCounts())


def test_a_loop_is_left_by_fresh_draws():
    reasons = set()
    for seed in range(8):
        bare, _ = run(Odd(end=0.03), request(seed=seed, guard=None))[0]
        codes, end = run(Odd(end=0.03), request(seed=seed))[0]
        reasons.add(end.finish_reason)
        assert len(codes) <= 20 + 75
        assert np.array_equal(codes[:20], bare[:20])
        if end.finish_reason == "stop":
            assert np.array_equal(codes, bare)
        else:
            assert end.guard.repetition == end.guard.attempts > 0
            assert end.guard.dropped > 0
    assert "repaired" in reasons
    assert reasons <= {"stop", "repaired", "runaway"}


def test_without_a_way_out_it_ends_with_what_is_good():
    talker = Odd()
    codes, end = run(talker, request())[0]
    assert (end.finish_reason, end.guard.repetition) == ("runaway", TRIES)
    assert 20 <= len(codes) <= 20 + round(0.8 * RATE)
    assert talker.n_past(0) == PROMPT + len(codes), "the lane is where the last good frame ended"


def test_near_silence_is_told_from_a_loop_by_listening():
    heard = []

    def levels(codes: np.ndarray) -> np.ndarray:
        heard.append(len(codes))
        return silent(codes)

    codes, end = run(Odd(), request(), levels=levels)[0]
    assert (end.finish_reason, end.guard.silence, end.guard.repetition) == ("silence", TRIES, 0)
    assert 20 <= len(codes) <= 30
    assert 0 < len(heard) <= 6 * (TRIES + 1)
    _, end = run(Odd(), request(), levels=lambda codes: silent(codes) + 70)[0]
    assert end.finish_reason == "runaway"


def test_a_pause_is_no_silence():
    ends = {1: 90}
    for n in (5, 12, 24, 28):
        talker = Odd(until=20 + n, end_after=ends)
        codes, end = run(talker, request(), levels=silent)[0]
        bare, _ = run(Odd(until=20 + n, end_after=ends), request(guard=None))[0]
        assert (end.finish_reason, len(codes)) == ("stop", 90)
        assert np.array_equal(codes, bare)


def test_a_missed_end_is_looked_for_again():
    capped = Guarding(RATE, capped=True)
    codes, end = run(FakeTalker(), request(guard=capped, max_frames=60))[0]
    assert (end.finish_reason, end.guard.overrun, len(codes)) == ("runaway", TRIES, 35)
    _, end = run(FakeTalker(), request(guard=capped, max_frames=60), levels=lambda c: silent(c) - 80)[0]
    assert end.finish_reason == "silence"
    codes, end = run(FakeTalker(), request(guard=GUARD, max_frames=60))[0]
    assert (end.finish_reason, end.guard.attempts, len(codes)) == ("length", 0, 60), "asked for by the caller"
    found = set()
    for seed in range(6):
        talker = Odd(at=36, end=0.02)
        codes, end = run(talker, request(seed=seed, guard=capped, max_frames=60))[0]
        found.add(end.finish_reason)
        assert len(codes) <= 60
    assert "repaired" in found


def test_an_end_that_comes_too_early_is_not_taken():
    talker = Odd(at=1, until=4, end=0.97)
    bare, _ = run(Odd(at=1, until=4, end=0.97), request(guard=None))[0]
    codes, end = run(talker, request(guard=replace(GUARD, least=8), max_frames=40))[0]
    assert len(bare) < 4
    assert (len(codes), end.finish_reason) == (40, "length")
    assert end.guard.early == 1
    assert np.array_equal(codes[: len(bare)], bare)


def test_a_lane_goes_back_alone():
    requests = [request(key, seed=key, max_frames=120) for key in (1, 2, 1, 3)]
    requests[2] = request(1, seed=5, max_frames=120)
    alone = [run(Odd(end=0.02), one)[0] for one in requests]
    for lanes in (2, 4):
        together = run(Odd(lanes, end=0.02), *requests)
        for (codes, end), (want, other) in zip(together, alone, strict=True):
            assert np.array_equal(codes, want)
            assert (end.finish_reason, end.guard) == (other.finish_reason, other.guard)
    assert any(end.guard.attempts for _, end in alone)


@pytest.mark.parametrize(
    "make", [lambda: Odd(end=0.02), lambda: Odd(), lambda: Odd(until=45, end_after={1: 70})]
)
def test_it_goes_on_from_every_frame_as_it_would_have(make: Callable[[], Odd]):
    one = request(seed=3)
    talker, events, lanes = make(), [], []
    for event in generate(talker, FakePredictor(), [one], META):
        events.append(event)
        lanes.append(pickle.dumps(talker.seen[0][: event.n_past]))
    codes = np.array([event.codes for event in events[:-1]], np.int32)
    for at in range(0, len(codes), 3):
        event = events[at]
        row_sum = reference_rows(codes[at : at + 1], talker.embed, FakePredictor().embed)[0]
        point = Point(lanes[at], row_sum, codes[: at + 1], event.guard)
        rest, end = run(make(), replace(one, point=point))[0]
        assert np.array_equal(np.concatenate([codes[: at + 1], rest]), codes)
        assert (end.finish_reason, end.guard) == (events[-1].finish_reason, events[-1].guard)


def test_draws_of_an_attempt_have_a_key_of_their_own():
    draws = Uniforms(5)
    first = draws.frame(9, 4)
    assert np.array_equal(first, Uniforms(5).frame(9, 4, 0))
    others = [draws.frame(9, 4, attempt) for attempt in (1, 2)] + [draws.frame(10, 4, 1)]
    assert len({tuple(one) for one in [first, *others]}) == 4
    philox = np.random.Generator(np.random.Philox(key=5, counter=[0, 2, 0, 9]))
    assert np.array_equal(philox.random(4), draws.frame(9, 4, 2))


# --- what is looked for ---------------------------------------------------------------------------


def first_trouble(codes: list[int]) -> tuple[int, str] | None:
    watch = Watch(RATE)
    for i, code in enumerate(codes):
        if found := watch.see(np.array([code, 0], np.int32)):
            return i, found
    return None


@pytest.mark.parametrize("period", [1, 2, 5, 12, 30, 50])
def test_loops_of_any_period_are_found_after_three_rounds(period: int):
    rng = np.random.default_rng(period)
    before, loop = rng.integers(0, 500, 40).tolist(), rng.permutation(500)[:period].tolist()
    at, found = first_trouble(before + loop * (200 // period + 4))
    assert found == REPETITION
    assert max(25, 2 * period) <= at + 1 - len(before) - period <= max(25, 2 * period) + 10


def test_a_loop_with_some_frames_unlike_is_one_and_varied_speech_is_none():
    rng = np.random.default_rng(3)
    loop = rng.permutation(500)[:8].tolist() * 40
    for i in range(0, len(loop), 17):
        loop[i] = 499
    assert first_trouble(loop) is not None
    assert first_trouble(rng.integers(0, 500, 2000).tolist()) is None
    assert first_trouble(np.repeat(rng.integers(0, 500, 400), rng.integers(1, 5, 400)).tolist()) is None
    assert first_trouble(rng.integers(0, N_VOCAB // 4, 1000).tolist()) is None, "few codes, in no order"


def test_twice_the_same_is_no_loop():
    rng = np.random.default_rng(4)
    phrase = rng.integers(0, 500, 20).tolist()
    assert (
        first_trouble(rng.integers(0, 500, 30).tolist() + phrase * 2 + rng.integers(0, 500, 30).tolist())
        is None
    )


def test_a_greedy_talker_and_an_unguarded_one_are_not_watched():
    defaults = {
        "max_new_tokens": 100, "min_new_tokens": 2, "do_sample": True, "predictor_do_sample": True,
        "temperature": 0.9, "top_k": 50, "top_p": 1.0, "repetition_penalty": 1.0,
        "predictor_temperature": 0.9, "predictor_top_k": 50, "predictor_top_p": 1.0,
    }  # fmt: skip

    def guard(options: SpeechOptions, most: int = 50) -> Guarding | None:
        return options.resolve(
            defaults, n_text=9, streaming_layout=True, most=most, least=7, frames_per_second=RATE
        ).guard

    assert guard(SpeechOptions()) == Guarding(RATE, 7, True)
    assert guard(SpeechOptions(max_frames=60)) == Guarding(RATE, 7, False)
    assert guard(SpeechOptions(), most=200) == Guarding(RATE, 7, False), "the model's own limit comes first"
    assert guard(SpeechOptions(greedy=True)) is guard(SpeechOptions(guard=False)) is None
