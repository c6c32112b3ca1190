"""A codec that hears a reference goes on from there, recalled or not."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import HOP, N_GROUPS, FakeCodec

from pyomni.pipelines.priming import REFERENCE_WIDTH, Primed, hear
from pyomni.pipelines.speech import pcm_blocks

RNG = np.random.default_rng(0)
FRAMES = list(RNG.integers(0, 9, (20, N_GROUPS)).astype(np.int32))
N_STATE = 100


class Codec(FakeCodec):
    """A `FakeCodec` whose state can be saved."""

    def save(self, lane: int = 0) -> bytes:
        return self.state.to_bytes(N_STATE, "little")

    def load(self, saved: bytes, lane: int = 0) -> None:
        self.state = int.from_bytes(saved, "little")


def reference(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 9, (n, N_GROUPS)).astype(np.int32)


def speak(codec: FakeCodec, prime=None) -> np.ndarray:
    return np.concatenate(list(pcm_blocks(codec, FRAMES, prime=prime)))


@pytest.mark.parametrize("n", [1, 8, 19])
def test_a_reference_is_heard_and_left_out(n: int):
    codec = FakeCodec()
    got = speak(codec, lambda: hear(codec, reference(n)))
    assert max(codec.widths) <= REFERENCE_WIDTH
    whole = np.concatenate(list(pcm_blocks(FakeCodec(), [*reference(n), *FRAMES])))
    assert np.array_equal(got, whole[n * HOP :])
    assert not np.array_equal(got, speak(FakeCodec()))


def test_what_was_heard_is_recalled():
    codec, primed = Codec(), Primed()
    first = speak(codec, lambda: primed.hear(codec, reference(9)))
    n_calls = len(codec.widths)
    again = speak(codec, lambda: primed.hear(codec, reference(9)))
    assert np.array_equal(first, again)
    assert sum(codec.widths[n_calls:]) == len(FRAMES), "only the speech was decoded"
    other = speak(codec, lambda: primed.hear(codec, reference(9, seed=2)))
    assert not np.array_equal(first, other)
    assert np.array_equal(speak(codec), speak(Codec())), "a speech without reference forgets it"


def test_what_is_kept_is_bounded():
    codec, primed = Codec(), Primed(2 * N_STATE)
    for seed in (1, 2, 1, 3):
        codec.rewind()
        primed.hear(codec, reference(3, seed))
    assert primed.n_bytes == 2 * N_STATE
    codec.widths.clear()
    primed.hear(codec, reference(3, 1))
    assert codec.widths == [], "the one used last is kept"
    primed.hear(codec, reference(3, 2))
    assert codec.widths == [3]
    none = Primed(0)
    none.hear(codec, reference(3))
    assert none.n_bytes == 0
