"""A stream of code2wav: late at its start, once, then one hop a frame, however it is cut or moved."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder
from pyomni.verify import toy_code2wav as code2wav_cases

NAME = "odd"
N_FRAMES = 45  # several windows of 7
CODES = code2wav_cases.codes(NAME, N_FRAMES)
HOP = 36
LEAD = (
    0 + 3
) * 2 + 2  # each wave block drops a stride of its own, and what was dropped before is larger there

F32 = NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Device("cpu", 2) as device, Model(device, code2wav_cases.gguf(NAME), "code2wav") as m:
        yield m


@pytest.fixture(scope="module")
def one_call(model: Model) -> F32:
    return CodecDecoder(model).decode(CODES)


def in_pieces(codec: CodecDecoder, codes: NDArray, widths: list[int], lane: int = 0) -> F32:
    """Decode ``codes`` in calls of ``widths`` frames, the last width for ever."""
    out, at, i = [], 0, 0
    while at < len(codes):
        width = widths[min(i, len(widths) - 1)]
        out.append(codec.decode(codes[at : at + width], lane))
        at, i = at + width, i + 1
    return np.concatenate(out)


def test_how_many_samples(model: Model) -> None:
    codec = CodecDecoder(model, n_lanes=2)
    assert (codec.hop, codec.lead) == (HOP, LEAD)
    assert codec.n_samples(0) == 0
    assert [codec.n_samples(n) for n in (1, 2, 45)] == [HOP - LEAD, 2 * HOP - LEAD, 45 * HOP - LEAD]
    assert codec.decode(CODES[:0]).size == 0  # which starts nothing
    assert codec.decode(CODES[:1], lane=1).shape == (HOP - LEAD,)
    assert (codec.n_samples(3, lane=0), codec.n_samples(3, lane=1)) == (3 * HOP - LEAD, 3 * HOP)
    assert codec.n_samples(50_000_000, lane=1) == 50_000_000 * HOP  # more than 31 bits hold
    codec.rewind(1)
    assert codec.n_samples(1, lane=1) == HOP - LEAD


@pytest.mark.parametrize(
    "widths", [[1], [2], [7], [8], [9], [1, 2, 4, 8], [5, 1, 1, 6, 2, 11, 3], [44, 1], [1, 44]]
)
def test_any_cut_gives_the_same_samples(model: Model, one_call: F32, widths: list[int]) -> None:
    pcm = in_pieces(CodecDecoder(model), CODES, widths)
    np.testing.assert_allclose(pcm, one_call, rtol=0, atol=1e-6)


def test_more_frames_than_a_graph_takes(model: Model) -> None:
    codes = code2wav_cases.codes(NAME, 200)
    whole = CodecDecoder(model).decode(codes)  # graphs of 64 frames inside
    assert whole.size == 200 * HOP - LEAD
    np.testing.assert_allclose(in_pieces(CodecDecoder(model), codes, [1]), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("change_at", [1, 5, 8, 20, 44])
def test_what_follows_changes_nothing_before_it(model: Model, one_call: F32, change_at: int) -> None:
    changed = CODES.copy()
    changed[change_at:] = (changed[change_at:] + 1) % model.info.n_vocab
    pcm, at = CodecDecoder(model).decode(changed), change_at * HOP - LEAD
    np.testing.assert_array_equal(pcm[:at], one_call[:at])
    assert np.abs(pcm[at : at + HOP] - one_call[at : at + HOP]).max() > 1e-3


def test_a_late_frame_is_as_exact_as_an_early_one(model: Model) -> None:
    # Nothing reaches further back than three layers of 6 frames and the convolutions' 15: where the same
    # codes come again thousands of frames later, so do the samples, bit for bit. Positions that grow would
    # have lost bits by then.
    period = 40
    codes = np.tile(CODES[:period], (100, 1))
    codec = CodecDecoder(model)
    early = in_pieces(codec, codes[: 3 * period], [20])[-period * HOP :]
    in_pieces(codec, codes[3 * period : -period], [20])
    late = in_pieces(codec, codes[-period:], [20])
    assert codec.session.n_past() == len(codes)
    np.testing.assert_array_equal(late, early)


def test_nothing_is_dropped_later(model: Model, one_call: F32) -> None:
    # zeros for what a block dropped are in the first samples alone: there a stream that began earlier differs
    before = CODES[::-1][:30]
    codec = CodecDecoder(model)
    codec.decode(before)
    later = codec.decode(CODES)
    assert later.size == N_FRAMES * HOP
    settled = 35  # frames until what was before is out of reach
    np.testing.assert_allclose(later[settled * HOP :], one_call[settled * HOP - LEAD :], rtol=0, atol=1e-6)
    assert np.abs(later[LEAD:HOP] - one_call[: HOP - LEAD]).max() > 1e-3


@pytest.mark.parametrize("widths", [[1], [8], [3, 5, 2]])
def test_a_rewound_lane_is_a_fresh_one(model: Model, widths: list[int]) -> None:
    fresh = in_pieces(CodecDecoder(model), CODES, widths)
    codec = CodecDecoder(model)
    in_pieces(codec, code2wav_cases.codes(NAME, 20)[::-1], [6])
    codec.rewind()
    assert codec.session.n_past() == 0
    np.testing.assert_array_equal(in_pieces(codec, CODES, widths), fresh)


def test_lanes_do_not_hear_each_other(model: Model) -> None:
    # they start at different times, so that a call of one has the shape of a start while the other runs
    other = code2wav_cases.codes(NAME, 2 * N_FRAMES)[N_FRAMES:]
    alone = [in_pieces(CodecDecoder(model), codes, [3]) for codes in (CODES, other)]
    both = CodecDecoder(model, n_lanes=2)
    parts: list[list[F32]] = [[], []]
    for at in range(0, N_FRAMES + 6, 3):
        if at < N_FRAMES:
            parts[0].append(both.decode(CODES[at : at + 3], lane=0))
        if at >= 6:
            parts[1].append(both.decode(other[at - 6 : at - 3], lane=1))
        if at == 21:  # starting lane 1 afresh leaves lane 0 as it is
            both.rewind(1)
            parts[1] = [in_pieces(both, other[: at - 3], [3], lane=1)]
    for lane in range(2):
        np.testing.assert_array_equal(np.concatenate(parts[lane]), alone[lane])


@pytest.mark.parametrize("n_before", [0, 1, 2, 20])
def test_a_saved_lane_goes_on(model: Model, n_before: int) -> None:
    codec = CodecDecoder(model)
    codec.decode(CODES[:n_before])
    saved = codec.save()
    rest = codec.decode(CODES[n_before:])
    assert rest.size == (N_FRAMES - n_before) * HOP - (0 if n_before else LEAD)
    other = CodecDecoder(model, 2)
    other.decode(CODES[::-1][:9], lane=1)
    other.load(saved, lane=1)
    assert other.n_samples(1, lane=1) == HOP - (0 if n_before else LEAD)
    np.testing.assert_array_equal(other.decode(CODES[n_before:], lane=1), rest)
    codec.load(saved)  # and as another take, on the lane that went on
    np.testing.assert_array_equal(codec.decode(CODES[n_before:]), rest)


def again_and_again(codec: CodecDecoder, codes: NDArray) -> None:
    for _ in range(50):
        codec.decode(codes)
        codec.rewind()


def test_a_lane_that_failed_is_not_said_to_go_on(model: Model, one_call: F32) -> None:
    codec = CodecDecoder(model)
    long = np.tile(CODES, (60, 1))
    done = threading.Event()

    def cancel() -> None:
        while not done.wait(0.002):
            codec.session.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with pytest.raises(errors.Cancelled):
            again_and_again(codec, long)
    finally:
        done.set()
        thread.join()
    with pytest.raises(errors.SessionBroken, match="failed half way"):
        codec.n_samples(1)
    codec.rewind()
    np.testing.assert_array_equal(codec.decode(CODES), one_call)


def test_the_lead_is_the_sum_of_the_trims() -> None:
    # a block's stride, times what one of its samples becomes: 8 * 60 + 5 * 12 + 4 * 3 + 3 at the real rates
    for name in code2wav_cases.CASES:
        c = code2wav_cases.sizes(name)
        rates = c.trunk.upsample_rates
        assert c.lead == sum(math.prod(rates[i:]) for i in range(len(rates)))
