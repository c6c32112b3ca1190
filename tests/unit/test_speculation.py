"""Proposals leave the distribution as it is: enumerated for one group, counted for whole frames."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from fakes import N_GROUPS, WIDTH, FakePredictor, FakeTalker, prompt_rows, small_metadata

from pyomni.components.lm import CODEC
from pyomni.errors import ArgumentError, Cancelled, InternalError
from pyomni.options import Draw, GenerationOptions, SpeechOptions
from pyomni.pipelines import speculation
from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.prompt import TalkerPrompt
from pyomni.pipelines.speculation import Frame, settle, speculated
from pyomni.pipelines.speech import Request, generate
from pyomni.sampling import Chances, chances, choose

GRID = 840  # a multiple of every denominator below; its midpoints lie on no border

# Of eighths: alike, overlapping, with other ids, with nothing in common, one id against many.
PAIRS = [
    ({0: 1, 1: 3, 2: 4}, {0: 1, 1: 3, 2: 4}),
    ({0: 1, 1: 3, 2: 4}, {0: 4, 1: 3, 2: 1}),
    ({0: 2, 3: 6}, {0: 1, 1: 2, 3: 5}),
    ({1: 5, 2: 2, 4: 1}, {0: 2, 2: 3, 3: 3}),
    ({0: 8}, {1: 8}),
    ({0: 8}, {0: 3, 1: 5}),
    ({0: 3, 1: 5}, {1: 8}),
]


def chances_of(eighths: dict[int, int]) -> Chances:
    return Chances(np.array(sorted(eighths)), np.array([float(eighths[i]) for i in sorted(eighths)]))


@pytest.mark.parametrize(("target", "draft"), PAIRS, ids=str)
def test_one_group_is_exact(target: dict[int, int], draft: dict[int, int]) -> None:
    p, q = chances_of(target), chances_of(draft)
    middles = (np.arange(GRID) + 0.5) / GRID
    found: dict[int, float] = dict.fromkeys(target, 0.0)
    n_accepted = 0.0
    for x, eighths in draft.items():
        accepted = sum(settle(p, q, x, u, 0.5)[1] for u in middles)
        n_accepted += eighths * accepted / GRID
        if accepted:
            assert settle(p, q, x, 0.0, 0.5) == (x, True)
            found[x] += eighths * accepted / GRID
        if accepted < GRID:  # what is drawn then does not depend on the decision, nor on the proposal
            for u in middles:
                found[settle(p, q, x, 1 - 1e-12, u)[0]] += eighths * (1 - accepted / GRID) / GRID
    assert found == pytest.approx(target, abs=1e-9)
    # and no other way would accept more
    assert n_accepted == pytest.approx(sum(min(target.get(i, 0), n) for i, n in draft.items()))


class Toy:
    """A code predictor of three codes, whose scores depend on every code before, and its draft's as well."""

    n_vocab, n_groups = 3, 4

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []
        self.kept: dict[tuple[object, ...], np.ndarray] = {}

    def rewind(self, lane: int = 0, n_past: int = 0) -> None:
        assert n_past <= len(self.rows)
        self.rows = self.rows[:n_past]

    def embed(self, table: int, ids: list[int]) -> np.ndarray:
        return np.array([[10.0 * (table + 1) + i, 1.0] for i in ids], np.float32)

    def each(self, rows: np.ndarray, *, lane: int = 0, head: int = 0, n_heads: int = 1) -> np.ndarray:
        assert len(rows) <= 4
        assert head + n_heads <= self.n_groups - 1
        out = []
        for row in rows:
            self.rows.append(tuple(row))
            out.append([self.scores(tuple(self.rows), h) for h in range(head, head + n_heads)])
        return np.array(out)

    def scores(self, rows: tuple[tuple[float, ...], ...], head: int) -> np.ndarray:
        if (rows, head) not in self.kept:
            rng = np.random.default_rng([head, *(int(10 * x) for row in rows for x in row)])
            self.kept[rows, head] = (1.5 * rng.standard_normal(self.n_vocab)).astype(np.float32)
        return self.kept[rows, head]

    def probabilities(self, draw: Draw) -> dict[tuple[int, ...], float]:
        """The chance of every frame, by the product of its groups' chances."""
        found = {}
        for codes in itertools.product(range(self.n_vocab), repeat=self.n_groups - 1):
            rows, p = [tuple(HIDDEN), tuple(ROW)], 1.0
            for group, code in enumerate(codes, 1):
                given = chances(self.scores(tuple(rows), group - 1), draw)
                p *= float(given.weights[given.ids == code].sum() / given.weights.sum())
                rows.append(tuple(self.embed(group - 1, [code])[0]))
            found[codes] = p
        return found


HIDDEN, ROW = np.array([1.0, 0.0], np.float32), np.array([2.0, 0.0], np.float32)
N_FRAMES = 5000


def drawn(draw: Draw, most: int) -> tuple[Toy, list[Frame]]:
    toy, rng = Toy(), np.random.default_rng(11)
    numbers = rng.random((N_FRAMES, 3, toy.n_groups))
    return toy, [speculated(toy, HIDDEN, ROW, 0, draw=draw, numbers=u, most=most) for u in numbers]


def chi_square(toy: Toy, frames: list[Frame], draw: Draw) -> float:
    """Return how far the counts of whole frames are from expected, in standard deviations of chi-square."""
    expected = {codes: p * len(frames) for codes, p in toy.probabilities(draw).items() if p > 0}
    assert sum(expected.values()) == pytest.approx(len(frames))
    counts = dict.fromkeys(expected, 0)
    for frame in frames:
        counts[tuple(frame.codes[1:].tolist())] += 1  # a frame that cannot be is a KeyError
    common = [codes for codes, n in expected.items() if n >= 5]
    rare = len(frames) - sum(expected[c] for c in common), len(frames) - sum(counts[c] for c in common)
    total = sum((counts[c] - expected[c]) ** 2 / expected[c] for c in common)
    freedom = len(common) - 1
    if rare[0] >= 5:
        total, freedom = total + (rare[1] - rare[0]) ** 2 / rare[0], freedom + 1
    return float((total - freedom) / np.sqrt(2 * freedom))


DRAWS = [Draw(0.9), Draw(0.4), Draw(1.5, top_k=2), Draw(1.0, top_p=0.8)]


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("draw", DRAWS, ids=str)
def test_whole_frames_have_the_models_distribution(draw: Draw, most: int) -> None:
    toy, frames = drawn(draw, most)
    assert chi_square(toy, frames, draw) < 3.5
    accepted, proposed = (sum(getattr(f, name) for f in frames) for name in ("n_accepted", "n_proposed"))
    assert 0.2 * proposed < accepted < 0.95 * proposed, "both ways out were taken"
    assert np.mean([f.n_passes for f in frames]) < toy.n_groups - 1


def test_the_count_would_show_a_redraw_from_the_wrong_chances(monkeypatch: pytest.MonkeyPatch) -> None:
    def naive(target: Chances, draft: Chances, x: int, decide: float, redraw: float) -> tuple[int, bool]:
        code, accepted = settle(target, draft, x, decide, redraw)
        return (code, True) if accepted else (choose(target, redraw), False)

    monkeypatch.setattr(speculation, "settle", naive)
    toy, frames = drawn(DRAWS[0], 1)
    assert chi_square(toy, frames, DRAWS[0]) > 10


def test_greedy_frames_are_the_models() -> None:
    talker, rng = FakeTalker(), np.random.default_rng(2)
    for most in (1, 2, 3):
        for code0 in range(8):
            hidden, numbers = talker.embed(CODEC, [code0 + 1])[0], rng.random((3, N_GROUPS))
            codes, sums = FakePredictor().groups(
                hidden[None], np.array([code0]), temperature=0.0, top_k=0, top_p=1.0, uniforms=numbers[:1, 1:]
            )
            row = talker.embed(CODEC, [code0])[0]
            frame = speculated(
                FakePredictor(), hidden, row, code0, draw=Draw(0.0), numbers=numbers, most=most
            )
            assert np.array_equal(frame.codes, codes[0])
            assert np.array_equal(frame.row_sum, sums[0])


def request(key: int, speculate: int, temperature: float = 1.0) -> Request:
    options = GenerationOptions(
        seed=key, talker=Draw(1.0), predictor=Draw(temperature), repetition_penalty=1.0, max_frames=20,
        min_frames=2, streaming_layout=False, speculate=speculate,
    )  # fmt: skip
    prompt = TalkerPrompt(prompt_rows(key), np.zeros((0, WIDTH), np.float32), np.ones(WIDTH, np.float32))
    return Request(prompt, options)


def run(
    requests: list[Request], lanes: int = 1, end_after: dict[int, int] | None = None
) -> tuple[list[list[list[int]]], Timings]:
    """Return the codes of each request, and what was counted."""
    clock, codes = Timings(), [list[list[int]]() for _ in requests]
    talker, predictor = FakeTalker(lanes, end_after=end_after), FakePredictor(lanes)
    for event in generate(talker, predictor, requests, small_metadata(), clock):
        if event.codes is not None:
            codes[event.request].append(event.codes.tolist())
    return codes, clock


def test_a_group_that_nothing_was_proposed_for_draws_its_usual_number() -> None:
    # group 1 comes before any proposal: with the same seed it is what it is without
    plain, other = (run([request(9, n)])[0][0] for n in (0, 2))
    assert plain[0][:2] == other[0][:2]
    assert plain != other


@pytest.mark.parametrize("lanes", [2, 3])
def test_a_lane_gives_what_the_request_gets_alone(lanes: int) -> None:
    end_after = {1: 3, 2: 9, 3: 6, 4: 5}
    mixed = [request(key, key % 3) for key in end_after]  # with and without, together
    alone = [run([one], end_after=end_after)[0][0] for one in mixed]
    assert run(mixed, lanes, end_after)[0] == alone
    assert [len(codes) for codes in alone] == list(end_after.values())


def test_what_was_proposed_is_counted() -> None:
    [codes], clock = run([request(1, 1, 0.3)])
    # groups 2 and on but the last have one, unless the one before was accepted
    assert len(codes) * (N_GROUPS - 2) / 2 <= clock.n_proposed <= len(codes) * (N_GROUPS - 2)
    assert 0 < clock.n_accepted < clock.n_proposed
    _, clock = run([request(1, 0)])
    assert (clock.n_proposed, clock.n_accepted) == (0, 0)


def test_a_frame_that_was_cancelled_half_way_leaves_nothing_behind() -> None:
    class Interrupted(FakePredictor):
        n_left = 20

        def each(self, rows: np.ndarray, **given: int) -> np.ndarray:
            scores = super().each(rows, **given)
            self.n_left -= 1
            if not self.n_left:
                raise Cancelled("the call was cancelled")
            return scores

    talker, predictor = FakeTalker(), Interrupted()

    def speak() -> list[list[int]]:
        events = generate(talker, predictor, [request(1, 2)], small_metadata())
        return [event.codes.tolist() for event in events if event.codes is not None]

    with pytest.raises(Cancelled):
        speak()
    assert predictor.rows, "it was half way"
    assert speak() == run([request(1, 2)])[0][0]


def test_scores_that_are_no_numbers_are_an_error() -> None:
    class Broken(FakePredictor):
        def _scores(self, total: np.ndarray, head: int) -> np.ndarray:
            return np.full(4, np.nan, np.float32)

    with pytest.raises(InternalError, match="the largest of 4 scores is nan"):
        list(generate(FakeTalker(), Broken(), [request(1, 1)], small_metadata()))


@pytest.mark.parametrize("value", [-1, 4, 1.0, True, "auto", None])
def test_other_numbers_of_proposals_are_refused(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"speculate is .*, expected a whole number from 0 to 3"):
        SpeechOptions(speculate=value)
    assert SpeechOptions(speculate=3).speculate == 3
