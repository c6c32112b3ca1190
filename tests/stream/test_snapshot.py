"""A saved lane goes on as if nothing had happened, and what does not fit is refused with a reason."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_gguf

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder
from pyomni.components.lm import DecoderLM

HEADER = 48  # bytes: magic, version, states, model, positions, bytes, checksum


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with Device("cpu", 1) as d:
        yield d


@pytest.fixture(scope="module")
def talker(device: Device, tiny_path: Path) -> Model:
    return Model(device, tiny_path, "talker")


@pytest.fixture(scope="module")
def codec(device: Device, tiny_path: Path) -> Model:
    return Model(device, tiny_path, "codec_decoder")


def random_rows(model: Model, n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, model.info.n_embd)).astype(np.float32)


def test_several_ways_from_one_prefix(talker: Model) -> None:
    prompt, steps = random_rows(talker, 37), random_rows(talker, 6)
    lm = DecoderLM(talker, 64)
    lm.decode(prompt)
    saved = lm.session.save()
    first = [lm.decode(row[None]).logits for row in steps]
    other = [lm.decode(row[None]).logits for row in steps[::-1]]
    lm.session.load(saved)
    assert lm.n_past() == 37
    assert all(np.array_equal(a, lm.decode(row[None]).logits) for a, row in zip(first, steps, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_another_size_and_another_lane(talker: Model) -> None:
    prompt, step = random_rows(talker, 37), random_rows(talker, 1)
    lm = DecoderLM(talker, 64)
    lm.decode(prompt)
    saved = lm.session.save()
    expected = lm.decode(step).logits
    larger = DecoderLM(talker, 300, 3)
    larger.decode(random_rows(talker, 5), lanes=[1])
    larger.session.load(saved, lane=2)
    assert (larger.n_past(1), larger.n_past(2)) == (5, 37)
    assert np.array_equal(larger.decode(step, lanes=[2]).logits, expected)


def test_the_size_is_that_of_the_live_rows(talker: Model) -> None:
    lm = DecoderLM(talker, 64)
    empty = len(lm.session.save())
    assert empty == HEADER
    lm.decode(random_rows(talker, 10))
    ten = len(lm.session.save())
    lm.decode(random_rows(talker, 10))
    assert len(lm.session.save()) - ten == ten - empty > 0


def test_a_stream_goes_on(codec: Model) -> None:
    codes = np.random.default_rng(0).integers(0, codec.info.n_vocab, (40, codec.info.n_groups))
    whole = CodecDecoder(codec)
    whole.decode(codes[:20])
    saved = whole.session.save()
    rest = whole.decode(codes[20:])
    other = CodecDecoder(codec, 2)
    other.session.load(saved, lane=1)
    assert np.array_equal(other.decode(codes[20:], lane=1), rest)


def test_a_broken_lane_is_mended_by_loading(talker: Model) -> None:
    lm = DecoderLM(talker, 64)
    lm.decode(random_rows(talker, 9))
    saved = lm.session.save()
    lm.rewind()
    lm.session.load(saved)
    assert lm.n_past() == 9


@pytest.mark.parametrize("damage", ["short", "long", "flipped", "magic", "nothing"])
def test_damage_is_seen(talker: Model, damage: str) -> None:
    lm = DecoderLM(talker, 64)
    lm.decode(random_rows(talker, 9))
    saved = bytearray(lm.session.save())
    if damage == "short":
        saved = saved[:-1]
    elif damage == "long":
        saved += b"\0"
    elif damage == "flipped":
        saved[-100] ^= 1
    elif damage == "magic":
        saved[0] ^= 1
    else:
        saved = bytearray()
    with pytest.raises(errors.ModelFormatError, match=r"is damaged|are no saved session"):
        lm.session.load(bytes(saved))
    assert lm.n_past() == 9


def test_another_version(talker: Model) -> None:
    saved = bytearray(DecoderLM(talker, 64).session.save())
    saved[8:12] = struct.pack("<I", 9)
    with pytest.raises(errors.UnsupportedModel, match="of version 9"):
        DecoderLM(talker, 64).session.load(bytes(saved))


def test_other_weights(device: Device, talker: Model, tmp_path: Path) -> None:
    lm = DecoderLM(talker, 64)
    lm.decode(random_rows(talker, 4))
    other = Model(device, tiny_gguf(tmp_path / "other.gguf", seed=5), "talker")
    with pytest.raises(errors.ArgumentError, match="made with other weights"):
        DecoderLM(other, 64).session.load(lm.session.save())


def test_too_long(talker: Model) -> None:
    lm = DecoderLM(talker, 64)
    lm.decode(random_rows(talker, 40))
    small = DecoderLM(talker, 32)
    with pytest.raises(errors.ContextFull, match="holds 40 positions, expected at most 32"):
        small.session.load(lm.session.save())
    assert small.n_past() == 0
