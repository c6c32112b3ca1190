"""The codec encoder fails well: each fault has its class and words, and the next clip is encoded as ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
from mutate import rewrite

from pyomni import errors
from pyomni._binding import Device, Model, Session
from pyomni._native import ffi, lib
from pyomni.components.codec import CodecDecoder, CodecEncoder

U32, F32 = gguf.GGUFValueType.UINT32, gguf.GGUFValueType.FLOAT32


@pytest.fixture(scope="module")
def model(device: Device, tiny_path: Path) -> Iterator[Model]:
    with Model(device, tiny_path, "codec_encoder") as m:
        yield m


@pytest.fixture
def encoder(model: Model) -> Iterator[CodecEncoder]:
    e = CodecEncoder(model)
    yield e
    e.close()


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.4, 0.4, n).astype(np.float32)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (np.zeros(0, np.float32), "0 samples, expected at least 1"),
        (np.zeros((2, 4000), np.float32), r"samples have shape \[2, 4000\], expected 1 axes"),
        (np.float32(0.5), r"samples have shape \[\], expected 1 axes"),
        (np.array([0.0] * 2000 + [np.nan], np.float32), "sample 2000 is nan, expected a finite number"),
        (np.array([0.0, -np.inf], np.float32), "sample 1 is -inf"),
        (np.full(3000, 3e38, np.float32), "the samples are too large"),
    ],
)
def test_clips_that_are_refused(encoder: CodecEncoder, clip: np.ndarray, words: str) -> None:
    before = encoder.encode(noise(5000))
    with pytest.raises(errors.ArgumentError, match=words):
        encoder.encode(clip)
    np.testing.assert_array_equal(encoder.encode(noise(5000)), before)


def test_longer_than_the_session(model: Model) -> None:
    with Session(model, n_ctx=3) as session:
        assert session.codec_encode(noise(3 * model.info.row_samples)).shape == (2, model.info.n_groups)
        with pytest.raises(errors.ContextFull, match="samples take 4 positions, the session holds 3"):
            session.codec_encode(noise(3 * model.info.row_samples + 1))


@pytest.mark.parametrize("n_ctx", [0, -1, 2**31 - 1])
def test_positions_out_of_range(model: Model, n_ctx: int) -> None:
    with pytest.raises(errors.ArgumentError, match=f"n_ctx is {n_ctx}, expected 1 to {model.info.n_ctx_max}"):
        Session(model, n_ctx)


def test_longer_than_any_session(encoder: CodecEncoder) -> None:
    # a view of one sample: the clip itself would take 4 GB
    clip = np.broadcast_to(np.float32(0), (encoder._model.info.n_ctx_max * 960 + 1,))
    with pytest.raises(errors.ContextFull, match="positions, expected at most"):
        encoder.encode(clip)


def test_room_for_too_few_frames(model: Model) -> None:
    clip, codes, err = noise(4000), np.full((3, model.info.n_groups), -7, np.int32), ffi.new("omni_error *")
    n_frames = ffi.new("int32_t *")
    with Session(model, 64) as session:
        given = ffi.cast("float *", clip.ctypes.data), clip.size, ffi.cast("int32_t *", codes.ctypes.data), 2
        status = lib.omni_codec_encode(session.pointer, *given, n_frames, err)
        assert status == lib.OMNI_ERROR_ARGUMENT
        assert b"room for 2 frames, 4000 samples make 3" in ffi.string(err.message)
        assert (codes == -7).all()
        assert lib.omni_codec_encode(session.pointer, ffi.NULL, *given[1:], n_frames, err) != lib.OMNI_OK
        assert ffi.string(err.message) == b"pcm is NULL"


def test_an_encoder_does_not_decode_and_the_other_way_round(
    encoder: CodecEncoder, device: Device, tiny_path: Path
) -> None:
    with pytest.raises(errors.ArgumentError, match="this component cannot decode codes"):
        encoder.session.codec_decode(np.zeros((1, encoder.n_groups), np.int32))
    for other, n_ctx in (("codec_decoder", 0), ("talker", 16)):
        with Model(device, tiny_path, other) as model, Session(model, n_ctx) as session:
            with pytest.raises(errors.ArgumentError, match="this component cannot encode samples"):
                session.codec_encode(noise(10))
            if other == "codec_decoder":
                assert CodecDecoder(model).decode(encoder.encode(noise(10))).shape == (1920,)


def test_clips_leave_no_trace(encoder: CodecEncoder) -> None:
    # after a longer clip, a louder one and a silent one, as on the first day
    clip = noise(100_000)
    first, prefix = encoder.encode(clip), encoder.encode(clip[:19_200])
    np.testing.assert_array_equal(first[:10], prefix)  # whole frames see nothing of what follows
    encoder.encode(np.zeros(1, np.float32))
    encoder.encode(100 * noise(70_000))
    np.testing.assert_array_equal(encoder.encode(clip), first)
    np.testing.assert_array_equal(encoder.encode(clip.astype(np.float64)), first)
    np.testing.assert_array_equal(encoder.encode(np.repeat(clip, 2)[::2]), first)


def test_no_memory_for_a_longer_session(encoder: CodecEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Session:
        raise errors.OutOfMemory("the state does not fit")

    before = encoder.encode(noise(4000))
    with monkeypatch.context() as patch:
        patch.setattr("pyomni.components.codec.Session", full)
        with pytest.raises(errors.OutOfMemory):
            encoder.encode(noise(400_000))
        np.testing.assert_array_equal(encoder.encode(noise(4000)), before)
    assert len(encoder.encode(noise(400_000))) == 209


def test_two_threads_with_clips_of_two_lengths(encoder: CodecEncoder) -> None:
    # the longer clip opens a session of its own while the shorter one is at work
    clips = [noise(60_000), noise(300_000)]
    expected = [encoder.encode(clip) for clip in clips]
    failures: list[str] = []

    def work(i: int, fresh: CodecEncoder) -> None:
        for _ in range(3):
            try:
                if not np.array_equal(fresh.encode(clips[i]), expected[i]):
                    failures.append(f"clip {i} has other codes")
            except errors.SessionBusy:
                continue

    for _ in range(3):
        fresh = CodecEncoder(encoder._model)
        threads = [threading.Thread(target=work, args=(i, fresh)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        fresh.close()
    assert failures == []


def test_silence_has_codes(encoder: CodecEncoder) -> None:
    codes = encoder.encode(np.zeros(48_000, np.float32))
    assert codes.shape == (25, encoder.n_groups)
    assert codes.min() >= 0
    assert codes.max() < encoder._model.info.n_vocab


def test_cancel_ends_a_long_clip_and_the_next_one_works(encoder: CodecEncoder) -> None:
    clip = noise(60 * 24_000)
    short = encoder.encode(clip[:4000])
    encoder.encode(clip[:24_000])
    encoder._session(len(clip) // 960 + 1)
    done = threading.Event()

    def cancel() -> None:
        while not done.wait(0.02):
            encoder.session.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with pytest.raises(errors.Cancelled):
            encoder.encode(clip)
    finally:
        done.set()
        thread.join()
    np.testing.assert_array_equal(encoder.encode(clip[:4000]), short)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"hop": (1919, U32)}, "hop is 1919, expected the product of strides"),
        ({"downsample_kernel": (1, U32)}, "downsample.weight"),
        ({"downsample_stride": (4, U32)}, "hop is 1920"),
        ({"n_semantic": (16, U32)}, "n_semantic is 16, expected less than n_groups, 16"),
        ({"compress": (3, U32)}, "n_filters is 4, expected a multiple of compress, 3"),
        ({"n_residual": (65, U32)}, "n_residual is 65"),
        ({"n_residual": (2, U32)}, "res.1"),
        ({"n_residual": (60, U32), "dilation_growth": (200_000_000, U32)}, "n_residual is 60"),
        ({"n_head_kv": (3, U32)}, "n_head is 2, expected a multiple of n_head_kv, 3"),
        ({"head_dim": (15, U32)}, "head_dim is 15, expected an even number"),
        ({"layer_norm_eps": (0.0, F32)}, "layer_norm_eps' is 0"),
        ({"n_embd": (0, U32)}, "n_embd"),
        ({"n_filters": (4_294_967_292, U32)}, "n_filters"),
        ({"n_filters": (200_000_000, U32)}, "conv_in"),
        ({"conv_kernel": (8, U32)}, "conv_in.weight"),
        ({"codebook_size": (65, U32)}, "book.0"),
        ({"strides": ([4, 5, 6, 7], gguf.GGUFValueType.ARRAY)}, "seanet.3.conv.weight"),
        ({"strides": ([2**31 - 1] * 4, gguf.GGUFValueType.ARRAY)}, "codec_encoder"),
        ({"strides": ([1] * 17, gguf.GGUFValueType.ARRAY)}, "17 strides, expected at most 16"),
    ],
)
def test_keys_that_cannot_be(
    device: Device, tiny_path: Path, tmp_path: Path, keys: dict[str, tuple[object, object]], words: str
) -> None:
    changed = {f"codec_encoder.{key}": change for key, change in keys.items()}
    path = rewrite(tiny_path, tmp_path / "bad.gguf", keys=changed)
    with pytest.raises(errors.ModelFormatError, match=words):
        Model(device, path, "codec_encoder")


@pytest.mark.parametrize(
    "leaf", ["downsample.weight", "book.3.sqlen", "blk.1.ffn_norm.bias", "seanet.2.res.0.conv1.bias"]
)
def test_a_missing_tensor_is_named(device: Device, tiny_path: Path, tmp_path: Path, leaf: str) -> None:
    path = rewrite(tiny_path, tmp_path / "m.gguf", tensors={f"codec_encoder.{leaf}": lambda _: None})
    with pytest.raises(errors.ModelFormatError, match=f"codec_encoder.{leaf}"):
        Model(device, path, "codec_encoder")
