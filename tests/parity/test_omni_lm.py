"""Qwen3-Omni's language models against the official ones, as recorded by `record_omni_lm.py`."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from parity import recordings

from pyomni.components.lm import CODEC, HIDDEN_ROWS, TEXT_ROWS, TOKENS, DecoderLM, Step
from pyomni.verify import toy_omni as omni_lm
from pyomni.verify.toy_omni import HIDDEN, LOGIT_ROWS, LOGITS, N_ROWS, Recording

pytestmark = pytest.mark.parametrize("name", omni_lm.CASES)

PIECES = ([N_ROWS], [1] * N_ROWS, [7, 5, 11, 1, 16], [3, 2] * 8)  # whole, step by step, and cut within a film


@functools.cache
def load(name: str) -> Recording:
    recording = recordings.load(name)
    assert omni_lm.weights_hash(name) == str(recording["weights_sha256"]), "other weights from the seed"
    return recording


def close(ours: NDArray[Any], official: NDArray[Any], atol: float) -> None:
    assert np.sqrt((official**2).mean()) > 0.3  # an ordinary magnitude
    np.testing.assert_allclose(ours, official, rtol=0, atol=atol)


def check_step(step: Step, n_past: int, hidden: NDArray[Any], logits: NDArray[Any]) -> None:
    close(step.hidden[0], hidden[n_past - 1], HIDDEN)
    if n_past - 1 in LOGIT_ROWS:
        close(step.logits[0], logits[LOGIT_ROWS.index(n_past - 1)], LOGITS)


def decoded(lm: DecoderLM, rows: NDArray[Any], pieces: list[int], **given: Any) -> Iterator[tuple[int, Step]]:
    """Yield how many rows the lane holds after each piece, and what the piece left."""
    at = 0
    for n in pieces:
        part = {
            key: value if value is None or key == "accepted" else value[..., at : at + n, :]
            for key, value in given.items()
        }
        step, at = lm.decode(rows[at : at + n], **part), at + n
        yield at, step


def check_thinker(name: str, official: Recording) -> None:
    lm = omni_lm.lm(name, "thinker")
    rows = lm.embed(TOKENS, omni_lm.ids(name))
    film = {"positions": omni_lm.positions(), "deepstack": omni_lm.added_to_all(name)}
    for prompt, given in {"text": {"positions": None, "deepstack": None}, "film": film}.items():
        right = {key: official[f"thinker.{prompt}.{key}"] for key in ("accepted", "hidden", "logits")}
        for pieces in PIECES:
            lm.rewind()
            accepted = []
            for n_past, step in decoded(lm, rows, pieces, **given, accepted=True):
                check_step(step, n_past, right["hidden"], right["logits"])
                assert step.accepted is not None
                accepted.append(step.accepted[0])
            n = lm.n_past()
            close(np.concatenate(accepted), right["accepted"][:n], HIDDEN)


def check_talker(name: str, official: Recording) -> None:
    lm, given = omni_lm.lm(name, "talker"), omni_lm.thinker_rows(name)
    rows = lm.project(TEXT_ROWS, given)
    close(rows, official["talker.text_rows"], HIDDEN / 10)
    close(lm.project(HIDDEN_ROWS, given), official["talker.hidden_rows"], HIDDEN / 10)
    for prompt, positions in {"text": None, "film": omni_lm.positions()}.items():
        for pieces in PIECES:
            lm.rewind()
            for n_past, step in decoded(lm, official["talker.text_rows"], pieces, positions=positions):
                check_step(
                    step, n_past, official[f"talker.{prompt}.hidden"], official[f"talker.{prompt}.logits"]
                )


def check_predictor(name: str, official: Recording) -> None:
    lm, codes = omni_lm.lm(name, "code_predictor"), omni_lm.frame(name)
    first = omni_lm.lm(name, "talker").embed(CODEC, codes[:1])[0]
    rows = np.stack([official["talker.text.hidden"][-1], first])
    assert len(official["predictor.logits"]) == len(codes) - 1
    for group, logits in enumerate(official["predictor.logits"], 1):
        close(lm.decode(rows, head=group - 1).logits[0], logits, LOGITS)
        rows = lm.embed(group - 1, codes[group : group + 1])


@pytest.mark.parametrize("check", [check_thinker, check_talker, check_predictor])
def test_recorded(name: str, check: Any) -> None:
    check(name, load(name))


def test_each_input_counts(name: str) -> None:
    """Each axis, the fraction of a position, each level and each added row changes what comes out."""
    lm = omni_lm.lm(name, "thinker")
    rows, places, added = lm.embed(TOKENS, omni_lm.ids(name)), omni_lm.positions(), omni_lm.added_to_all(name)

    def last(positions: NDArray[Any] | None, deepstack: NDArray[Any] | None) -> NDArray[Any]:
        lm.rewind()
        return lm.decode(rows, positions=positions, deepstack=deepstack).hidden[0]

    right, others = (
        last(places, added),
        [last(None, added), last(places, None), last(np.round(places), added)],
    )
    for axis in range(3):
        moved = places.copy()
        moved[omni_lm.SEEN.start + 3 :, axis] += 1
        others.append(last(moved, added))
    for level in range(len(added)):
        less = added.copy()
        less[level, omni_lm.SEEN.stop - 1] = 0
        others.append(last(places, less))
    assert min(np.abs(other - right).max() for other in others) > 10 * HIDDEN


@pytest.mark.reference
def test_the_official_models_still_do_this(name: str) -> None:
    from parity import record_omni_lm

    fresh, stored = record_omni_lm.record(name), load(name)
    assert set(fresh) == set(stored)
    for key, value in fresh.items():
        if key != "weights_sha256":
            # two machines' float noise in the official run: 0.38 of our own bound, AMX against EPYC
            np.testing.assert_allclose(value, stored[key], rtol=0, atol=HIDDEN / 2, err_msg=key)
    for check in (check_thinker, check_talker, check_predictor):
        check(name, fresh)
