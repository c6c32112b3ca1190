"""The generation loop on fake networks: ends, limits, lanes, seeds, and the schedule of codec widths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import pytest
from fakes import (
    END,
    HOP,
    N_GROUPS,
    N_VOCAB,
    WIDTH,
    FakeCodec,
    FakePredictor,
    FakeTalker,
    prompt_rows,
    small_metadata,
)

from pyomni.options import Draw, GenerationOptions
from pyomni.pipelines.blocks import Timings, pcm_blocks
from pyomni.pipelines.prompt import TalkerPrompt
from pyomni.pipelines.speech import Request, generate, predict_groups
from pyomni.sampling import uniforms

META = small_metadata()


def options(seed: int = 1, **changes) -> GenerationOptions:
    values = {
        "seed": seed,
        "talker": Draw(1.0),
        "predictor": Draw(1.0),
        "repetition_penalty": 1.0,
        "max_frames": 20,
        "min_frames": 2,
        "streaming_layout": False,
    }
    values.update(changes)
    return GenerationOptions(**values)


def request(key: int, n_trailing: int = 0, **changes) -> Request:
    trailing = np.random.default_rng(key + 99).standard_normal((n_trailing, WIDTH)).astype(np.float32)
    pad = np.full(WIDTH, 0.25, np.float32)
    return Request(TalkerPrompt(prompt_rows(key), trailing, pad), options(**changes))


def run(
    requests: Iterable[Request],
    lanes: int = 1,
    end_after: dict[int, int] | None = None,
    timings: Timings | None = None,
):
    """Return for each request its codes [n_frames, n_groups] and its finish reason."""
    frames: dict[int, list[np.ndarray]] = {}
    reasons: dict[int, str] = {}
    talker, predictor = FakeTalker(lanes, end_after=end_after), FakePredictor(lanes)
    for event in generate(talker, predictor, requests, META, timings):
        assert event.request not in reasons, "nothing comes after the end"
        if event.codes is None:
            reasons[event.request] = event.finish_reason
        else:
            assert event.codes.shape == (N_GROUPS,)
            assert event.codes.dtype == np.int32
            frames.setdefault(event.request, []).append(event.codes)
    return [(np.stack(frames[i]), reasons[i]) for i in sorted(reasons)], talker, predictor


def test_the_end_id_stops_and_makes_no_frame():
    [(codes, reason)], talker, _ = run([request(1)], end_after={1: 7})
    assert (len(codes), reason) == (7, "stop")
    assert END not in codes[:, 0]
    assert talker.calls == [((0,), 3)] + [((0,), 1)] * 7


def test_the_limit_counts_frames_returned():
    [(codes, reason)], _, _ = run([request(1, max_frames=5)])
    assert (len(codes), reason) == (5, "length")


def test_an_end_drawn_right_at_the_limit_is_a_stop():
    [(codes, reason)], _, _ = run([request(1, max_frames=5)], end_after={1: 5})
    assert (len(codes), reason) == (5, "stop")


def test_no_end_before_the_least_number_of_frames():
    [(codes, reason)], _, _ = run([request(1)], end_after={1: 0})
    assert (len(codes), reason) == (2, "stop")
    [(codes, _)], _, _ = run([request(1, min_frames=6)], end_after={1: 0})
    assert len(codes) == 6


def test_suppressed_ids_never_appear():
    [(codes, _)], _, _ = run([request(1, max_frames=200)])
    assert codes[:, 0].max() < META.suppress[0]


def test_repetition_penalty_acts_on_what_was_generated():
    talker = FakeTalker()
    best = {
        int(e.codes[0])
        for e in generate(talker, FakePredictor(), [request(1, talker=Draw(0.0))], META)
        if e.codes is not None
    }
    # an overwhelming penalty: no id can lead twice, so 20 frames have 20 ids
    [(codes, _)], _, _ = run([request(1, talker=Draw(0.0), repetition_penalty=1e6)])
    assert len(set(codes[:, 0].tolist())) == len(codes) == 20
    assert len(best) < 20


def test_equal_seeds_give_equal_codes_and_others_do_not():
    same = [run([request(1, seed=5)])[0][0][0] for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], run([request(1, seed=6)])[0][0][0])


@pytest.mark.parametrize("lanes", [1, 2, 3, 5])
def test_a_lane_gives_what_the_request_gets_alone(lanes: int):
    end_after = {1: 3, 2: 9, 3: 2, 4: 30, 5: 6}
    requests = [request(key, seed=key * 10, n_trailing=key) for key in end_after]
    alone = [run([one], end_after=end_after)[0][0] for one in requests]
    together, _talker, predictor = run(requests, lanes, end_after)
    assert [reason for _, reason in together] == ["stop", "stop", "stop", "length", "stop"]
    for (codes, reason), (want, want_reason) in zip(together, alone, strict=True):
        assert np.array_equal(codes, want)
        assert reason == want_reason
    assert max(predictor.batches) == min(lanes, 5)


def test_a_lane_that_ends_takes_the_next_request():
    end_after = {1: 2, 2: 12, 3: 2, 4: 2}
    taken = []

    def requests():
        for key in end_after:
            taken.append(key)
            yield request(key)

    events = generate(FakeTalker(2, end_after=end_after), FakePredictor(2), requests(), META)
    order = []
    for event in events:
        if event.codes is None:
            order.append(event.request)
        if not order:
            assert taken == [1, 2], "a prompt is made only when a lane is free for it"
    assert order == [0, 2, 3, 1]


def test_prompts_are_prefilled_alone_and_steps_are_shared():
    _, talker, _ = run([request(1), request(2)], 2, {1: 4, 2: 4})
    assert talker.calls[:3] == [((0,), 3), ((1,), 3), ((0, 1), 1)]
    assert len(talker.calls) == 2 + 4


def test_requests_that_draw_differently_share_a_step():
    mixed = [
        request(1, predictor=Draw(0.0)),
        request(2, predictor=Draw(1.0)),
        request(3, predictor=Draw(0.0)),
    ]
    alone = [run([one])[0][0][0] for one in mixed]
    together, _, predictor = run(mixed, 3)
    assert all(np.array_equal(codes, want) for (codes, _), want in zip(together, alone, strict=True))
    assert predictor.batches[:2] == [2, 1]


def test_trailing_text_goes_in_one_row_a_frame_and_then_the_pad():
    one = request(1, n_trailing=3, max_frames=6)
    talker, predictor = FakeTalker(), FakePredictor()
    frames = [e.codes for e in generate(talker, predictor, [one], META) if e.codes is not None]
    for g, codes in enumerate(frames):
        row = talker.embed(1, codes[:1])[0]
        for k in range(1, N_GROUPS):
            row = row + predictor.tables[k - 1][codes[k]]
        text = one.prompt.trailing[g] if g < 3 else one.prompt.pad_row
        assert np.allclose(talker.seen[0][3 + g], row + text, atol=1e-6)


def test_no_requests_no_events():
    assert run([])[0] == []


def test_closing_early_leaves_the_networks_usable():
    talker, predictor = FakeTalker(), FakePredictor()
    want = [e.codes for e in generate(talker, predictor, [request(1)], META) if e.codes is not None]
    half = generate(talker, predictor, [request(2)], META)
    next(half)
    half.close()
    again = [e.codes for e in generate(talker, predictor, [request(1)], META) if e.codes is not None]
    assert np.array_equal(np.stack(want), np.stack(again))


def test_timings_count_lanes_and_steps():
    timings = Timings()
    run([request(1, max_frames=4), request(2, max_frames=4)], 2, timings=timings)
    assert (timings.n_prefill, timings.n_frames, timings.n_steps) == (6, 8, 4)
    assert timings.talker_s > 0
    assert timings.predictor_s > 0
    assert timings.prefill_s > 0


@pytest.mark.parametrize("draw", [Draw(0.0), Draw(0.9, 5, 0.9)])
def test_the_step_loop_feeds_each_group_to_the_next(draw: Draw):
    talker, predictor = FakeTalker(), FakePredictor()
    hidden = np.arange(WIDTH, dtype=np.float32)
    codes = predict_groups(talker, predictor, hidden, 3, draw=draw, uniforms=uniforms(1, 0, N_GROUPS)[1:])
    assert codes[0] == 3
    assert codes.shape == (N_GROUPS,)
    assert (codes < N_VOCAB).all()
    fed = [
        hidden,
        talker.embed(1, [3])[0],
        *(predictor.tables[g - 1][codes[g]] for g in range(1, N_GROUPS - 1)),
    ]
    assert np.array_equal(np.stack(predictor.rows), np.stack(fed))


def widths(n: int) -> list[int]:
    codec = FakeCodec()
    frames = np.arange(n * N_GROUPS, dtype=np.int32).reshape(n, N_GROUPS)
    pcm = list(pcm_blocks(codec, frames))
    assert [len(block) for block in pcm] == [w * HOP for w in codec.widths]
    assert sum(codec.widths) == n
    return codec.widths


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, []),
        (1, [1]),
        (2, [1, 1]),
        (3, [1, 2]),
        (7, [1, 2, 4]),
        (8, [1, 2, 4, 1]),
        (31, [1, 2, 4, 8, 8, 8]),
        (33, [1, 2, 4, 8, 8, 8, 2]),
    ],
)
def test_widths_of_codec_calls(n: int, expected: list[int]):
    assert widths(n) == expected


def test_the_first_block_comes_after_one_frame():
    pulled = []

    def frames():
        for i in range(40):
            pulled.append(i)
            yield np.full(N_GROUPS, i, np.int32)

    blocks = pcm_blocks(FakeCodec(), frames())
    next(blocks)
    assert len(pulled) == 1
    next(blocks)
    assert len(pulled) == 3


def test_each_stream_starts_from_silence():
    codec = FakeCodec()
    frames = np.ones((5, N_GROUPS), np.int32)
    first, second = (np.concatenate(list(pcm_blocks(codec, frames))) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_request_that_nobody_wants_leaves_its_lane_before_the_next_frame():
    wanted = {1: True}
    first = Request(request(1).prompt, options(max_frames=50), gone=lambda: not wanted[1])
    seen, ended = {0: 0, 1: 0}, {}
    for event in generate(FakeTalker(1), FakePredictor(1), [first, request(2, max_frames=4)], META):
        if event.codes is None:
            ended[event.request] = event.finish_reason
        else:
            seen[event.request] += 1
            wanted[1] = seen[0] < 3
    assert seen == {0: 3, 1: 4}
    assert ended == {0: "cancelled", 1: "length"}


def test_requests_that_come_later_get_a_free_lane():
    class Later:
        """None at first, and one once a frame was made."""

        waiting: ClassVar[list[Request]] = [request(1, max_frames=5)]

        def __iter__(self):
            return self

        def __next__(self):
            if not self.waiting:
                raise StopIteration
            return self.waiting.pop()

    later, order = Later(), []
    for event in generate(FakeTalker(2), FakePredictor(2), later, META):
        if event.codes is not None:
            order.append(event.request)
            if len(order) == 2:
                later.waiting.append(request(2, max_frames=2))
    assert order == [0, 0, 0, 1, 0, 1, 0]
