"""The sampler on scores small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pyomni.errors import InternalError
from pyomni.options import Draw
from pyomni.sampling import TEXT_STREAM, Uniforms, penalised, pick, restrict, uniform, uniforms


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def drawn(logits: np.ndarray, draw: Draw, n: int = 400) -> set[int]:
    """Return every id some uniform number leads to."""
    return {pick(logits, draw, u) for u in np.linspace(0, 1, n, endpoint=False)}


def restricted(
    logits: np.ndarray, *, seen: list[int] | None = None, penalty: float = 1.0, may_end: bool = True
) -> np.ndarray:
    mask = np.zeros(logits.size, bool)
    mask[seen or []] = True
    return restrict(logits, seen=mask, penalty=penalty, end_id=4, may_end=may_end, suppress=(3, 6))


def test_penalty_divides_positive_and_multiplies_negative_scores_once():
    got = restricted(scores(2, -2, 1, 0, 0, 0), seen=[0, 1], penalty=1.25)
    assert got[:3].tolist() == [np.float32(2) / np.float32(1.25), -2 * np.float32(1.25), 1]


def test_suppressed_range_spares_the_end_id_and_the_end_id_waits():
    assert restricted(scores(1, 1, 1, 9, 8, 9)).tolist() == [1, 1, 1, -np.inf, 8, -np.inf]
    assert restricted(scores(1, 1, 1, 9, 8, 9), may_end=False)[4] == -np.inf


def test_restrict_leaves_its_input_alone():
    given = scores(1, 2, 3, 4, 5, 6)
    restricted(given, seen=[0], penalty=2)
    assert given.tolist() == [1, 2, 3, 4, 5, 6]


def test_greedy_is_the_first_of_equals():
    assert pick(scores(1, 3, 3, 0), Draw(0.0), 0.99) == 1


def test_draw_follows_the_probabilities_in_id_order():
    # probabilities 1/4, 1/2, 1/4
    logits = np.log(np.array([1, 2, 1], np.float32))
    assert [pick(logits, Draw(1.0), u) for u in (0, 0.24, 0.26, 0.74, 0.76, 1 - 2**-53)] == [0, 0, 1, 1, 2, 2]


def test_temperature_sharpens_and_flattens():
    logits = scores(0, 1)
    assert pick(logits, Draw(0.1), 0.001) == 1  # p(0) = 4.5e-5
    assert pick(logits, Draw(100.0), 0.49) == 0  # p(0) = 0.4975


def test_top_k_keeps_ties_at_its_edge():
    assert drawn(scores(2, 1, 1, 0), Draw(1.0, top_k=2)) == {0, 1, 2}
    assert drawn(scores(2, 1, 0.5, 0), Draw(1.0, top_k=2)) == {0, 1}
    assert drawn(scores(2, 1, 0.5, 0), Draw(1.0, top_k=9)) == {0, 1, 2, 3}


def test_top_p_drops_the_tail_and_keeps_one():
    logits = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    assert drawn(logits, Draw(1.0, top_p=0.95)) == {0, 1, 2, 3}  # 0.1 > 0.05
    assert drawn(logits, Draw(1.0, top_p=0.85)) == {1, 2, 3}
    assert drawn(logits, Draw(1.0, top_p=0.5)) == {2, 3}
    assert drawn(logits, Draw(1.0, top_p=1e-6)) == {3}


def test_top_p_sorts_equal_scores_by_id():
    # four of 0.25 each: 1 - 0.5 drops the two that sort first, which are the lower ids
    assert drawn(scores(1, 1, 1, 1), Draw(1.0, top_p=0.5)) == {2, 3}


def test_ids_ruled_out_are_never_drawn():
    logits = scores(-np.inf, 1, -np.inf, 1, -np.inf)
    assert drawn(logits, Draw(1.0)) == {1, 3}
    assert drawn(logits, Draw(1.0, top_k=4)) == {1, 3}
    assert drawn(logits, Draw(1.0, top_k=4, top_p=0.999)) == {1, 3}


@pytest.mark.parametrize("bad", [scores(1, np.nan), scores(-np.inf, -np.inf), scores(1, np.inf)])
@pytest.mark.parametrize("draw", [Draw(0.0), Draw(1.0, top_k=5)])
def test_scores_that_are_not_finite_are_an_error(bad: np.ndarray, draw: Draw):
    with pytest.raises(InternalError, match="finite"):
        pick(bad, draw, 0.5)


def test_frequencies_match_the_probabilities():
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    counts = np.zeros(3)
    draws = Uniforms(11)
    for frame in range(4000):
        counts[pick(logits, Draw(1.0), draws.frame(frame, 1)[0])] += 1
    assert np.abs(counts / 4000 - [0.5, 0.3, 0.2]).max() < 0.03


def test_uniforms_depend_on_their_key_alone():
    one = Uniforms(7)
    late_first = one.frame(9, 4), one.frame(0, 16)
    again = Uniforms(7)
    assert np.array_equal(again.frame(0, 16), late_first[1])
    assert np.array_equal(again.frame(9, 16)[:4], late_first[0])
    assert np.array_equal(uniforms(7, 9, 4), late_first[0])
    assert uniform(7, 9, 3) == late_first[0][3]
    assert not np.array_equal(uniforms(8, 9, 4), late_first[0])
    # numpy's own Philox, addressed directly
    direct = np.random.Generator(np.random.Philox(key=7, counter=[0, 0, 0, 9])).random(4)
    assert np.array_equal(direct, late_first[0])


def test_uniforms_lie_in_range_and_take_any_seed():
    for seed in (0, 1, 2**63 - 1, 2**64 - 1):
        values = uniforms(seed, 10**6, 64)
        assert values.dtype == np.float64
        assert (values >= 0).all()
        assert (values < 1).all()


def test_min_p_keeps_what_is_likely_enough():
    # chances 0.5, 0.3, 0.15, 0.05
    scores = np.log(np.array([0.15, 0.5, 0.05, 0.3], np.float32))
    for min_p, kept in ((0.0, {0, 1, 2, 3}), (0.2, {0, 1, 3}), (0.5, {1, 3}), (0.7, {1}), (1.0, {1})):
        found = {pick(scores, Draw(1.0, min_p=min_p), u) for u in np.linspace(0, 0.999, 200)}
        assert found == kept, min_p
    # after top-k, and by the chances at the temperature
    assert {pick(scores, Draw(1.0, 2, 1.0, 0.1), u) for u in np.linspace(0, 0.999, 200)} == {1, 3}
    assert {pick(scores, Draw(3.0, min_p=0.5), u) for u in np.linspace(0, 0.999, 200)} == {0, 1, 3}


def test_the_rules_of_text():
    logits = np.array([2.0, -2.0, 3.0, 4.0, 1.0], np.float32)
    seen = np.array([True, True, False, True, False])
    written = np.array([False, False, False, True, True])
    silent = np.array([False, False, True, False, False])
    found = penalised(logits, seen=seen, written=written, repetition=2.0, presence=0.5, silent=silent)
    assert found.tolist() == [1.0, -4.0, -np.inf, 1.5, 0.5]
    assert logits.tolist() == [2.0, -2.0, 3.0, 4.0, 1.0]


def test_text_draws_other_numbers_than_speech():
    speech, text = Uniforms(7), Uniforms(7, TEXT_STREAM)
    assert not np.isin(text.frame(3, 4), speech.frame(3, 4)).any()
    assert np.array_equal(text.frame(3, 4), Uniforms(7, TEXT_STREAM).frame(3, 4))
