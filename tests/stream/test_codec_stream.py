"""A stream of codec frames does not care how it is cut, what follows, or who is beside it."""

from __future__ import annotations

from pathlib import Path

import codec_toy as toy
import numpy as np
import pytest

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder

HP = toy.Codec()
N_FRAMES = 45  # several windows of 7
CODES = toy.codes(HP, N_FRAMES)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path: Path = tmp_path_factory.mktemp("codec") / "codec.gguf"
    return Model(Device("cpu", 2), toy.write(path, HP, toy.weights(HP)), "codec_decoder")


def in_pieces(codec: CodecDecoder, codes: np.ndarray, widths: list[int], lane: int = 0) -> np.ndarray:
    """Decode ``codes`` in calls of ``widths`` frames, the last width for ever."""
    out, at, i = [], 0, 0
    while at < len(codes):
        width = widths[min(i, len(widths) - 1)]
        out.append(codec.decode(codes[at : at + width], lane))
        at, i = at + width, i + 1
    return np.concatenate(out)


@pytest.fixture(scope="module")
def one_shot(model: Model) -> np.ndarray:
    pcm = CodecDecoder(model).decode(CODES)
    assert pcm.shape == (N_FRAMES * HP.hop,)
    assert np.abs(pcm).mean() > 0.05
    return pcm


@pytest.mark.parametrize(
    "widths", [[1], [2], [3], [7], [8], [9], [1, 2, 4, 8], [5, 1, 1, 6, 2, 11, 3], [30], [44, 1], [1, 44]]
)
def test_any_cut_gives_the_same_samples(model: Model, one_shot: np.ndarray, widths: list[int]) -> None:
    pcm = in_pieces(CodecDecoder(model), CODES, widths)
    np.testing.assert_allclose(pcm, one_shot, rtol=0, atol=1e-6)


def test_random_cuts(model: Model, one_shot: np.ndarray) -> None:
    rng = np.random.default_rng(7)
    codec = CodecDecoder(model)
    for _ in range(20):
        codec.rewind()
        pcm = in_pieces(codec, CODES, rng.integers(1, 13, N_FRAMES).tolist())
        np.testing.assert_allclose(pcm, one_shot, rtol=0, atol=1e-6)


def test_a_long_stream_is_the_numpy_decoder(model: Model) -> None:
    codes = toy.codes(HP, 300, seed=3)
    expected = np.clip(toy.Decoder(HP, toy.weights(HP)).decode(codes), -1, 1)
    pcm = in_pieces(CodecDecoder(model), codes, [1, 2, 4, 8])
    np.testing.assert_allclose(pcm, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("widths", [[1], [8], [3, 5, 2]])
def test_a_rewound_lane_is_a_fresh_one(model: Model, widths: list[int]) -> None:
    fresh = in_pieces(CodecDecoder(model), CODES, widths)
    codec = CodecDecoder(model)
    in_pieces(codec, toy.codes(HP, 20, seed=5), [6])
    codec.rewind()
    assert codec.session.n_past() == 0
    np.testing.assert_array_equal(in_pieces(codec, CODES, widths), fresh)


def test_the_lane_counts_its_frames(model: Model) -> None:
    codec = CodecDecoder(model, n_lanes=2)
    codec.decode(CODES[:11], lane=1)
    codec.decode(CODES[:2], lane=1)
    assert (codec.session.n_past(0), codec.session.n_past(1)) == (0, 13)


def test_a_stream_cannot_be_rewound_halfway(model: Model) -> None:
    codec = CodecDecoder(model)
    codec.decode(CODES[:4])
    with pytest.raises(errors.ArgumentError, match="can only be rewound to 0"):
        codec.session.rewind(0, 2)


def test_lanes_do_not_hear_each_other(model: Model) -> None:
    other = toy.codes(HP, N_FRAMES, seed=9)
    alone = [in_pieces(CodecDecoder(model), codes, [3]) for codes in (CODES, other)]
    both = CodecDecoder(model, n_lanes=2)
    parts: list[list[np.ndarray]] = [[], []]
    for at in range(0, N_FRAMES, 3):
        parts[1].append(both.decode(other[at : at + 3], lane=1))
        parts[0].append(both.decode(CODES[at : at + 3], lane=0))
        if at == 21:  # starting lane 1 afresh leaves lane 0 as it is
            both.rewind(1)
            parts[1] = [in_pieces(both, other[: at + 3], [3], lane=1)]
    for lane in range(2):
        np.testing.assert_array_equal(np.concatenate(parts[lane]), alone[lane])


@pytest.mark.parametrize("change_at", [1, 5, 8, 20, 44])
def test_what_follows_changes_nothing_before_it(model: Model, one_shot: np.ndarray, change_at: int) -> None:
    changed = CODES.copy()
    changed[change_at:] = (changed[change_at:] + 1) % HP.codebook_size
    pcm = CodecDecoder(model).decode(changed)
    np.testing.assert_array_equal(pcm[: change_at * HP.hop], one_shot[: change_at * HP.hop])
    assert np.abs(pcm[change_at * HP.hop :][: HP.hop] - one_shot[change_at * HP.hop :][: HP.hop]).max() > 1e-3
