"""Our sampler against the probabilities recorded from Hugging Face ``generate()``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyomni.options import Draw
from pyomni.sampling import pick, restrict

RECORDED = np.load(Path(__file__).parent / "recorded" / "sampling.npz")
N = len(RECORDED["scores"])


def scores_and_draw(i: int) -> tuple[np.ndarray, Draw]:
    """Return case i's restricted scores, float32 [n_vocab], and its draw."""
    scores = restrict(
        RECORDED["scores"][i],
        seen=RECORDED["seen"][i],
        penalty=float(RECORDED["penalty"][i]),
        end_id=int(RECORDED["end_id"]),
        may_end=bool(RECORDED["n_new"][i] >= 2),
        suppress=(int(RECORDED["suppress"][0]), int(RECORDED["suppress"][1])),
    )
    draw = Draw(float(RECORDED["temperature"][i]), int(RECORDED["top_k"][i]), float(RECORDED["top_p"][i]))
    return scores, draw


def recorded(i: int) -> tuple[np.ndarray, bool]:
    """Return case i's probabilities, float64 [n_vocab], and whether equal scores lie across the cut.

    The top-p step sorts without promising an order for equal scores, so how many of them survive is defined
    and which is not (it differs between machines). Ours keeps the higher ids; the recorded are moved there.
    """
    scores, _ = scores_and_draw(i)
    probs = RECORDED["probs"][i].astype(np.float64)
    edge = np.flatnonzero(scores == scores[probs > 0].min())
    values = np.sort(probs[edge])
    moved = not np.array_equal(values, probs[edge])
    probs[edge] = values
    return probs / probs.sum(), moved


@pytest.mark.parametrize("i", range(N))
def test_kept_ids_and_probabilities(i: int) -> None:
    # `pick` answers with the id whose stretch of [0, 1) holds u, ids in order. So it keeps the same ids with
    # the same probabilities exactly when each stretch begins and ends where the recorded running sum does.
    scores, draw = scores_and_draw(i)
    probs, _ = recorded(i)  # [n_vocab]
    ends = np.cumsum(probs)
    starts = ends - probs
    slack = 2e-6  # float32 softmax and sums there, float64 here
    kept = np.flatnonzero(probs > 0)
    for id_ in kept[probs[kept] > 3 * slack]:
        assert pick(scores, draw, starts[id_] + slack) == id_
        assert pick(scores, draw, (starts[id_] + ends[id_]) / 2) == id_
        assert pick(scores, draw, ends[id_] - slack) == id_
    drawn = {pick(scores, draw, u) for u in np.linspace(0, 1, 997, endpoint=False)}
    assert drawn <= set(kept.tolist())


def test_ties_at_the_top_p_edge_are_among_the_cases() -> None:
    assert sum(recorded(i)[1] for i in range(N)) >= 3


@pytest.mark.parametrize("i", range(N))
def test_greedy_takes_the_first_of_the_largest(i: int) -> None:
    scores, _ = scores_and_draw(i)
    assert pick(scores, Draw(0.0), 0.7) == int(np.argmax(scores))
    assert recorded(i)[0].max() in recorded(i)[0][scores == scores.max()]
