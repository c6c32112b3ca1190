"""Drawing one id from scores: penalties, temperature, top-k, top-p, and a draw that depends on its key alone.

The order of the steps is that of Hugging Face ``generate()`` for Qwen3-TTS: repetition penalty, end id gate,
suppressed ids, temperature, top-k, top-p, softmax, draw. The talker's scores go through `restrict` and then
`pick`; the code predictor's scores go through `pick` alone, on the host here and inside the graph in
``csrc/blocks/draw.cpp``, which repeats the arithmetic of `pick` step by step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyomni.errors import InternalError
from pyomni.options import Draw

__all__ = [
    "TEXT_STREAM",
    "Chances",
    "Uniforms",
    "chances",
    "choose",
    "penalised",
    "pick",
    "restrict",
    "uniform",
    "uniforms",
]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

#: `Uniforms` of text: one seed gives text and speech numbers that have nothing to do with each other.
TEXT_STREAM = 1


def restrict(
    logits: F32,
    *,
    seen: npt.NDArray[np.bool_],
    penalty: float,
    end_id: int,
    may_end: bool,
    suppress: tuple[int, int],
) -> F32:
    """Apply the talker's score rules: repetition penalty, end id gate, suppressed range.

    Parameters
    ----------
    logits : float32 [n_vocab]
        The talker's scores for code group 0; not changed.
    seen : bool [n_vocab]
        True where an id of code group 0 was generated before in this request. The prompt, reference codes and
        the other groups do not count, and an id counts once however often it occurred.
    penalty : float
        Positive scores of seen ids are divided by it, negative ones multiplied (in float32); 1 is none.
    end_id : int
        The id that ends the speech.
    may_end : bool
        False while fewer than min_new_tokens ids were sampled: the end id gets -inf.
    suppress : (int, int)
        Half-open range of ids that get -inf, the end id excepted.

    Returns
    -------
    float32 [n_vocab]
    """
    scores = logits.astype(np.float32, copy=True)
    _penalise_repeats(scores, seen, penalty)
    end = scores[end_id]
    scores[suppress[0] : suppress[1]] = -np.inf
    scores[end_id] = end if may_end else -np.inf
    return scores


def penalised(
    logits: F32,
    *,
    seen: npt.NDArray[np.bool_],
    written: npt.NDArray[np.bool_],
    repetition: float,
    presence: float,
    silent: npt.NDArray[np.bool_],
) -> F32:
    """Apply the score rules of text: repetition penalty, presence penalty, tokens that stand for nothing.

    Parameters
    ----------
    logits : float32 [n_vocab]
        Scores of the next token; not changed.
    seen : bool [n_vocab]
        True for tokens of the prompt and of the answer so far.
    written : bool [n_vocab]
        True for tokens of the answer so far.
    repetition : float
        Positive scores of `seen` are divided by it, negative ones multiplied (in float32); 1 is none.
    presence : float
        Taken off the scores of `written`; 0 is none.
    silent : bool [n_vocab]
        True for tokens that are never drawn.

    Returns
    -------
    float32 [n_vocab]
    """
    scores = logits.astype(np.float32, copy=True)
    _penalise_repeats(scores, seen, repetition)
    if presence != 0.0:
        scores[written] -= np.float32(presence)
    scores[silent] = -np.inf
    return scores


def _penalise_repeats(scores: F32, seen: npt.NDArray[np.bool_], penalty: float) -> None:
    if penalty != 1.0:
        factor = np.float32(penalty)
        old = scores[seen]
        scores[seen] = np.where(old < 0, old * factor, old / factor)


def pick(scores: F32, draw: Draw, u: float) -> int:
    """Draw one id.

    With temperature 0: the largest score, the first of equals. Otherwise, in double precision:

    1. ``z[i] = double(scores[i]) / temperature``.
    2. If ``0 < top_k < n``: with t the k-th largest z, keep ``z[i] >= t``, so ties at the edge survive.
    3. If ``top_p < 1``: order the kept ids ascending by (z, id). With m the largest kept z, let ``s[j]`` be
       the running sum of ``exp(z - m)`` in that order and S the last one. Drop every j but the last with
       ``s[j] / S <= 1 - top_p``.
    4. If ``min_p > 0``: drop what has ``exp(z - m) < min_p``, with m the largest kept z.
    5. With m the largest kept z, let ``c`` be the running sum of ``exp(z[i] - m)`` over the kept ids in id
       order and C the last one. The answer is the first kept id with ``c > u * C``.

    Sums run one term after the other. `exp` may differ from C's in the last bit, which moves a draw only when
    ``u * C`` falls into that bit.

    Parameters
    ----------
    scores : float32 [n_vocab]
        Raw scores, -inf where an id is not allowed.
    draw : Draw
        Temperature, top-k, top-p, min-p.
    u : float
        Uniform number in [0, 1); see `uniforms`.

    Returns
    -------
    int

    Raises
    ------
    InternalError
        No score is a finite number, or one is not a number.
    """
    return choose(chances(scores, draw), u)


class Chances(NamedTuple):
    """What `pick` chooses from.

    Attributes
    ----------
    ids : int64 [n]
        Ascending, at least one.
    weights : float64 [n]
        How likely each is, in no particular unit.
    """

    ids: npt.NDArray[np.int64]
    weights: F64


def chances(scores: F32, draw: Draw) -> Chances:
    """Return the ids that steps 1 to 4 of `pick` leave, with their weights; with temperature 0 only one.

    Raises
    ------
    InternalError
        As `pick`.
    """
    largest = scores.max()  # nan if any is nan
    if not np.isfinite(largest):
        raise InternalError(f"the largest of {scores.size} scores is {largest}, expected a finite number")
    if draw.temperature == 0:
        return Chances(np.array([scores.argmax()]), np.ones(1))
    z: F64 = scores.astype(np.float64) / draw.temperature  # [n_vocab]
    if 0 < draw.top_k < z.size:
        kept = np.flatnonzero(z >= np.partition(z, z.size - draw.top_k)[z.size - draw.top_k])
    else:
        kept = np.arange(z.size)
    if draw.top_p < 1:
        order = kept[np.argsort(z[kept], kind="stable")]  # ascending, equal scores in id order
        s = np.cumsum(np.exp(z[order] - z[order[-1]]))
        keep = s / s[-1] > 1.0 - draw.top_p
        keep[-1] = True
        kept = np.sort(order[keep])
    values = z[kept]
    if draw.min_p > 0:
        likely = np.exp(values - values.max()) >= draw.min_p
        kept, values = kept[likely], values[likely]
    return Chances(kept, np.exp(values - values.max()))


def choose(given: Chances, u: float) -> int:
    """Return the first id whose running sum of weights exceeds `u`, in [0, 1), of their total."""
    c = np.cumsum(given.weights)
    # u < 1, so u * C < C and the index is in range; min() guards the last bit.
    return int(given.ids[min(int(np.searchsorted(c, u * c[-1], side="right")), c.size - 1)])


class Uniforms:
    """Uniform numbers of one request, keyed by (seed, attempt, frame, group) and so free of history.

    They are numpy's Philox 4x64-10 with key ``seed`` and counter ``[0, attempt, stream, frame]``: frames are
    2**192 counter steps apart, attempts at one 2**64, and group g takes the g-th double ``(next64 >> 11) *
    2**-53`` of its frame.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**64.
    stream : int
        0 for speech, `TEXT_STREAM` for text, whose frames are tokens.
    """

    def __init__(self, seed: int, stream: int = 0) -> None:
        self._stream = stream
        self._philox = np.random.Philox(key=seed)
        self._generator = np.random.Generator(self._philox)
        self._state: Any = dict(self._philox.state)
        self._key = np.array(self._state["state"]["key"], np.uint64)

    def frame(self, frame: int, n: int, attempt: int = 0) -> F64:
        """Return the numbers of groups 0..n-1 of one frame, float64 [n] in [0, 1).

        The attempt is how often the guard has rolled the request back; see docs/guard.md.
        """
        # setting the state costs a few microseconds; a new Philox would ask the system for entropy first
        counter = np.array([0, attempt, self._stream, frame], np.uint64)
        self._state["state"] = {"counter": counter, "key": self._key}
        self._state["buffer_pos"] = 4  # nothing left over from another frame
        self._philox.state = self._state
        return self._generator.random(n)


def uniforms(seed: int, frame: int, n: int) -> F64:
    """Return `Uniforms(seed).frame(frame, n)`, float64 [n]."""
    return Uniforms(seed).frame(frame, n)


def uniform(seed: int, frame: int, group: int) -> float:
    """Return the number of one (seed, frame, group), the same as ``uniforms(seed, frame, n)[group]``."""
    return float(uniforms(seed, frame, group + 1)[group])
