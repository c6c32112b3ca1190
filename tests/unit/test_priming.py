"""A codec that hears a reference goes on from there, recalled or not."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import HOP, N_GROUPS, FakeCodec

from pyomni.errors import ModelFormatError
from pyomni.pipelines.blocks import pcm_blocks
from pyomni.pipelines.keep import Kept
from pyomni.pipelines.priming import REFERENCE_WIDTH, Prefixes, Primed, hear

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
    codec, primed = Codec(), Primed(Kept(10**6))
    first = speak(codec, lambda: primed.hear(codec, reference(9)))
    n_calls = len(codec.widths)
    again = speak(codec, lambda: primed.hear(codec, reference(9)))
    assert np.array_equal(first, again)
    assert sum(codec.widths[n_calls:]) == len(FRAMES), "only the speech was decoded"
    other = speak(codec, lambda: primed.hear(codec, reference(9, seed=2)))
    assert not np.array_equal(first, other)
    assert np.array_equal(speak(codec), speak(Codec())), "a speech without reference forgets it"


def test_what_is_kept_is_bounded():
    kept = Kept(2 * N_STATE)
    codec, primed = Codec(), Primed(kept)
    for seed in (1, 2, 1, 3):
        codec.rewind()
        primed.hear(codec, reference(3, seed))
    assert kept.n_bytes == 2 * N_STATE
    codec.widths.clear()
    primed.hear(codec, reference(3, 1))
    assert codec.widths == [], "the one used last is kept"
    primed.hear(codec, reference(3, 2))
    assert codec.widths == [3]


class Talker:
    """One that sums the rows it read."""

    def __init__(self) -> None:
        self.total, self.n_rows = 0.0, 0

    def decode(self, rows: np.ndarray, *, lanes: list[int]) -> None:
        self.total += float(rows.sum())
        self.n_rows += rows.shape[1]

    def save(self, lane: int = 0) -> bytes:
        return np.float64(self.total).tobytes()

    def load(self, saved: bytes, lane: int = 0) -> None:
        if len(saved) != 8:
            raise ModelFormatError("damaged")
        self.total = float(np.frombuffer(saved, np.float64)[0])


def test_rows_are_read_once():
    kept, rows = Kept(10**6), RNG.standard_normal((20, 4)).astype(np.float32)
    first, second, other = Talker(), Talker(), Talker()
    Prefixes(kept, "a").fill(first, 0, rows)
    Prefixes(kept, "a").fill(second, 0, rows)
    Prefixes(kept, "b").fill(other, 0, rows)
    assert (first.n_rows, second.n_rows, other.n_rows) == (20, 0, 20)
    assert first.total == second.total


def test_a_state_that_does_not_fit_is_made_anew():
    kept, rows = Kept(10**6), RNG.standard_normal((20, 4)).astype(np.float32)
    Prefixes(kept).fill(Talker(), 0, rows)
    (key,) = kept._values
    kept.put(key, b"of an older version")
    talker = Talker()
    Prefixes(kept).fill(talker, 0, rows)
    assert talker.n_rows == 20
    assert kept.get(key) == talker.save()
