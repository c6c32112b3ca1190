"""A code predictor's frame in fewer passes: groups are proposed, and one pass over several rows judges them.

The pass that decides on group g has a normed hidden row for it. The draft puts that row through the heads of
groups g + 1 and on as well, which takes no weights of its own and costs a few products, and proposes a code
for each. The next pass takes them as input rows behind the code that was decided: it reads the weights once
and gives the scores that each of these groups would have had, if the proposals before it are right.

A proposal x, drawn from the draft's chances q, is accepted with probability ``min(1, p(x) / q(x))``, where p
are the chances that the model's own scores give. The first that is not ends the pass: its group is drawn from
``max(p - q, 0)`` instead. Where all are accepted the last row's group is drawn from p. So each group has the
distribution p, whatever the draft (Leviathan et al. 2023, Chen et al. 2023). With temperature 0 both have one
id, and the codes are those of a frame without proposals.

The numbers of a frame are float64 [3, n_groups]: one for each group that is drawn from p or from what is left
of it, one for each proposal, and one for each decision about a proposal. A proposal that no decision was made
about, since one before it was refused, is drawn again with the same number in the next pass: nothing that was
kept depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pyomni.options import Draw
from pyomni.sampling import Chances, chances, choose

if TYPE_CHECKING:
    from pyomni.components.lm import DecoderLM

__all__ = ["Frame", "settle", "speculated"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]


class Frame(NamedTuple):
    """One frame, and what became of its proposals.

    Attributes
    ----------
    codes : int32 [n_groups]
    row_sum : float32 [n_embd]
        Sum of the embeddings of the codes.
    n_proposed, n_accepted : int
        Proposals that were decided on, and those of them that were accepted.
    n_passes : int
    """

    codes: I32
    row_sum: F32
    n_proposed: int
    n_accepted: int
    n_passes: int


def settle(target: Chances, draft: Chances, proposed: int, decide: float, redraw: float) -> tuple[int, bool]:
    """Decide on a proposal that was drawn from `draft`, so that what comes out is distributed as `target`.

    Parameters
    ----------
    target, draft : Chances
    proposed : int
        One of the draft's ids.
    decide, redraw : float
        Uniform numbers in [0, 1), independent of each other and of `proposed`.

    Returns
    -------
    id : int
    accepted : bool
        Else it was drawn anew, from what the target has more of than the draft.
    """
    p = target.weights / target.weights.sum()
    q = _shares(draft, target.ids)
    at = int(np.searchsorted(target.ids, proposed))
    if at < target.ids.size and target.ids[at] == proposed and decide * q[at] < p[at]:
        return proposed, True
    more = p > q
    if not more.any():  # equal but for a rounding, and the decision fell into it
        return choose(target, redraw), False
    return choose(Chances(target.ids[more], (p - q)[more]), redraw), False


def _shares(given: Chances, ids: npt.NDArray[np.int64]) -> F64:
    """Return the probabilities of ascending `ids`, float64 [n]; 0 where it has none."""
    at = np.minimum(np.searchsorted(given.ids, ids), given.ids.size - 1)
    return np.where(given.ids[at] == ids, given.weights[at], 0.0) / given.weights.sum()


def speculated(
    predictor: DecoderLM,
    hidden: F32,
    row: F32,
    code0: int,
    *,
    draw: Draw,
    numbers: F64,
    most: int,
) -> Frame:
    """Fill in code groups 1..n-1 of one frame; lane 0 of the predictor is rewound.

    Parameters
    ----------
    predictor : DecoderLM
    hidden : float32 [n_embd]
        The talker's, of the position that produced `code0`.
    row : float32 [n_embd]
        Embedding of `code0`.
    code0 : int
        Group 0.
    draw : Draw
        How to draw, of both the model and the draft; temperature 0 is greedy.
    numbers : float64 [3, n_groups]
        Uniform numbers, see above; those of group 0 are not looked at.
    most : int
        Proposals of a pass, at least 1; the model decides on them one by one.

    Returns
    -------
    Frame
    """
    n_groups, codes, total = numbers.shape[1], [code0], row.copy()
    rows, proposals = [hidden, row], list[tuple[int, Chances]]()
    n_proposed = n_accepted = n_passes = 0
    predictor.rewind()
    while len(codes) < n_groups:
        # the first judging row is for group `first`, and head i of this pass for group first + i; the last
        # group is never proposed, since nothing comes behind it in the same pass
        first, n_judging = len(codes), len(proposals) + 1
        n_heads = max(n_judging, min(n_judging + most, n_groups - 1 - first))
        scores = predictor.each(np.stack(rows), head=first - 1, n_heads=n_heads)[-n_judging:]
        n_passes += 1
        new, n_taken = _decide(scores, proposals, draw, numbers[:, first:])
        n_proposed += min(n_taken + 1, len(proposals))
        n_accepted += n_taken
        codes += new
        for i, (group, code) in enumerate(zip(range(first, len(codes)), new, strict=True)):
            # the rows of accepted proposals are there already
            at = len(rows) - len(proposals) + i
            known = rows[at] if i < n_taken else predictor.embed(group - 1, [code])[0]
            total += known
        rows, proposals = [known], []
        predictor.rewind(0, len(codes))  # the hidden row and all codes but the newest
        for i in range(n_taken + 1, min(n_taken + 1 + most, n_groups - 1 - first)):
            likely = chances(scores[n_taken, i], draw)
            code = choose(likely, float(numbers[1, first + i]))
            proposals.append((code, likely))
            rows.append(predictor.embed(first + i - 1, [code])[0])
    return Frame(np.array(codes, np.int32), total, n_proposed, n_accepted, n_passes)


def _decide(
    scores: F32, proposals: Sequence[tuple[int, Chances]], draw: Draw, numbers: F64
) -> tuple[list[int], int]:
    """Return the codes of one pass, and how many of them were proposed: all, or all but the last.

    Parameters
    ----------
    scores : float32 [n_proposals + 1, n_heads, n_vocab]
        Row i judges the group of head i.
    proposals : sequence of (code, the draft's Chances)
    draw : Draw
    numbers : float64 [3, n]
        Of the pass's groups.
    """
    codes: list[int] = []
    for i, (proposed, likely) in enumerate(proposals):
        target = chances(scores[i, i], draw)
        code, accepted = settle(target, likely, proposed, float(numbers[2, i]), float(numbers[0, i]))
        codes.append(code)
        if not accepted:
            return codes, i
    n = len(proposals)
    return [*codes, choose(chances(scores[n, n], draw), float(numbers[0, n]))], n
