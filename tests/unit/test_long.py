"""Parts in order, pauses, fades and seeds, on fake networks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from fakes import HOP, N_GROUPS, FakeCodec, FakePredictor, FakeTalker, small_metadata

from pyomni.errors import InternalError
from pyomni.options import Draw, GenerationOptions
from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.pipelines.fading import faded
from pyomni.pipelines.long import InOrder, perform, start
from pyomni.pipelines.prompt import PromptLayout
from pyomni.pipelines.script import Frames, Made, Part, Script, part_seed
from pyomni.pipelines.speech import Event


def engine(lanes: int = 1) -> SpeechEngine:
    meta = small_metadata()
    meta.sample_rate = 1000  # a fade of 5 samples, one frame

    def lm(name: str, n_ctx: int, n_lanes: int):
        return FakeTalker(n_lanes, n_ctx) if name == "talker" else FakePredictor(n_lanes)

    return SpeechEngine(meta, lm, FakeCodec, lanes)


def part(n_frames: int, seed: int, pause: float = 0.0) -> Part:
    layout = PromptLayout(tuple((i % 7, None) for i in range(4)), (), 3, 4)
    options = GenerationOptions(seed, Draw(1.0), Draw(1.0), 1.0, n_frames, 2, False)
    return Part(Plan(layout, options), f"part {seed}", pause)


def run(script: Script, lanes: int = 1) -> tuple[np.ndarray, Made, list[np.ndarray]]:
    made, e = Made(), engine(lanes)
    with e.use():
        blocks = list(perform(e, script, start(e, [script], made.timings), made))
    return np.concatenate(blocks), made, blocks


def test_one_part_is_what_it_is_without_parts():
    audio, made, _ = run(Script((part(9, 1),), 1))
    e = engine()
    with e.use():
        events = e.events([part(9, 1).plan])
        want = np.concatenate(list(e.pcm(ev.codes for ev in events if ev.codes is not None)))
    assert np.array_equal(audio, want)
    assert (made.pieces, made.finish_reason) == ([], "length")


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_parts_have_the_codes_they_have_alone_in_order_on_any_lanes(lanes: int):
    parts = tuple(part(n, seed, 0.02) for seed, n in enumerate([9, 3, 14, 2], 1))
    audio, made, _ = run(Script(parts, 1), lanes)
    codes = made.frames.array(N_GROUPS)
    assert len(codes) == 28
    assert [(p.first_frame, p.n_frames) for p in made.pieces] == [(0, 9), (9, 3), (12, 14), (26, 2)]
    for piece, one in zip(made.pieces, parts, strict=True):
        _, alone, _ = run(Script((one,), 1))
        mine = codes[piece.first_frame : piece.first_frame + piece.n_frames]
        assert np.array_equal(mine, alone.frames.array(N_GROUPS))
        assert (piece.text, piece.seed, piece.n_samples) == (
            one.text,
            one.plan.options.seed,
            piece.n_frames * HOP,
        )
    assert len(audio) == 28 * HOP + 3 * 20
    for before, after in zip(made.pieces, made.pieces[1:], strict=False):
        end = before.first_sample + before.n_samples
        assert after.first_sample == end + 20
        assert not audio[end : end + 20].any()
        assert abs(audio[end - 1]) < 0.1
        assert abs(audio[after.first_sample]) < 0.1
    assert np.array_equal(audio, run(Script(parts, 1), 1)[0])


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize(("most", "reason"), [(5, "length"), (9, "length"), (12, "length"), (30, "length")])
def test_the_limit_counts_all_parts(most: int, reason: str, lanes: int):
    parts = tuple(part(n, seed) for seed, n in enumerate([9, 3, 14], 1))
    whole = run(Script(parts, 1))[1].frames.array(N_GROUPS)
    _, made, _ = run(Script(parts, 1, most), lanes)
    assert np.array_equal(made.frames.array(N_GROUPS), whole[:most])
    assert made.finish_reason == reason


def ending(n_frames: list[int], reasons: list[str]) -> Iterator[Event]:
    for i, (n, reason) in enumerate(zip(n_frames, reasons, strict=True)):
        for k in range(n):
            yield Event(i, np.full(N_GROUPS, k, np.int32), None)
        yield Event(i, None, reason)


@pytest.mark.parametrize(
    ("reasons", "most", "want"),
    [
        (["stop", "stop"], None, "stop"),
        (["length", "stop"], None, "length"),
        (["stop", "length"], None, "length"),
        (["stop", "stop"], 6, "stop"),
        (["stop", "stop"], 5, "length"),
        (["stop", "stop"], 4, "length"),
    ],
)
def test_it_stopped_only_if_every_part_did(reasons: list[str], most: int | None, want: str):
    made, e = Made(), engine()
    script = Script((part(9, 1), part(9, 2)), 1, most)
    with e.use():
        list(perform(e, script, InOrder(ending([4, 2], reasons)), made))
    assert made.finish_reason == want


def test_a_request_without_an_end_is_noticed():
    events = InOrder(iter([Event(1, None, "stop")]))
    with pytest.raises(InternalError, match="request 0 has no events left"):
        events.next(0)


def test_what_is_dropped_is_not_kept():
    events = InOrder(iter([Event(i, np.zeros(N_GROUPS, np.int32), None) for i in (1, 0, 1, 2, 0, 1, 2)]))
    assert events.next(0).request == 0
    events.drop(1)
    assert events.next(2).request == events.next(2).request == 2
    assert not any(events._waiting.values())


def test_seeds_of_parts():
    assert part_seed(7, 0) == 7
    seeds = {part_seed(seed, i) for seed in (0, 7, 2**64 - 1) for i in range(100)}
    assert len(seeds) == 300
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert part_seed(7, 1) == 14818979533484651488, "what was reported once stays true"


@pytest.mark.parametrize("sizes", [[100], [3, 50, 1, 46], [1] * 100, [99, 1], [4], []])
def test_fades_touch_only_the_edges(sizes: list[int]):
    blocks = [np.ones(n, np.float32) for n in sizes]
    total = sum(sizes)
    out = np.concatenate([np.zeros(0, np.float32), *faded(blocks, 10, 20)])
    assert len(out) == total
    assert all((block == 1).all() for block in blocks), "what was given is not changed"
    assert np.array_equal(np.concatenate([np.zeros(0, np.float32), *faded(blocks, 0, 0)]), np.ones(total))
    if total == 100:
        assert (out[10:80] == 1).all()
        assert (np.diff(out[:10]) > 0).all()
        assert (np.diff(out[80:]) < 0).all()
        assert out[0] < 0.01
        assert out[-1] < 0.01
    assert (np.abs(np.diff(out)) < 0.2).all()


def test_a_fade_holds_back_no_more_than_itself():
    given = []

    def blocks() -> Iterator[np.ndarray]:
        for i in range(5):
            given.append(i)
            yield np.ones(50, np.float32)

    out = faded(blocks(), 10, 20)
    assert len(next(out)) == 30
    assert given == [0]


def test_frames_are_kept_as_they_came():
    frames = Frames()
    assert frames.array(3).shape == (0, 3)
    for i in range(5):
        frames.append(np.arange(3, dtype=np.int64) + i)
    assert frames.array(3).tolist() == [[i, i + 1, i + 2] for i in range(5)]
    assert frames.array(3).dtype == np.int32
    assert Made().timings == Timings()
