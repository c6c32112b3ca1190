"""Sessions fail well: each fault has its class and its words, and what follows still works."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pyomni import errors
from pyomni._binding import Device, Model, Session
from pyomni.components.codec import CodecDecoder
from pyomni.components.lm import CODEC, TEXT, DecoderLM


@pytest.fixture(scope="module")
def talker(device: Device, tiny_path: Path) -> Iterator[Model]:
    with Model(device, tiny_path, "talker") as m:
        yield m


@pytest.fixture(scope="module")
def predictor(device: Device, tiny_path: Path) -> Iterator[Model]:
    with Model(device, tiny_path, "code_predictor") as m:
        yield m


@pytest.fixture(scope="module")
def codec(device: Device, tiny_path: Path) -> Iterator[Model]:
    with Model(device, tiny_path, "codec_decoder") as m:
        yield m


def test_context_full_changes_nothing(talker: Model) -> None:
    lm = DecoderLM(talker, n_ctx=8)
    rows = np.random.default_rng(0).standard_normal((6, talker.info.n_embd)).astype(np.float32)
    lm.decode(rows)
    with pytest.raises(errors.ContextFull, match="lane 0 holds 6 positions and 3 more were asked for, of 8"):
        lm.decode(rows[:3])
    assert lm.n_past() == 6
    after = lm.decode(rows[:2])
    fresh = DecoderLM(talker, n_ctx=8)
    fresh.decode(rows)
    assert np.array_equal(fresh.decode(rows[:2]).logits, after.logits)


@pytest.mark.parametrize("n_ctx", [0, -5, 10**7])
def test_impossible_context(talker: Model, n_ctx: int) -> None:
    with pytest.raises(errors.ArgumentError, match=f"n_ctx is {n_ctx}, expected 1 to"):
        DecoderLM(talker, n_ctx)


@pytest.mark.parametrize("n_lanes", [0, -1, 5000])
def test_impossible_lanes(talker: Model, n_lanes: int) -> None:
    with pytest.raises(errors.ArgumentError, match=f"n_lanes is {n_lanes}, expected 1 to"):
        DecoderLM(talker, 16, n_lanes)


def test_ids_out_of_range(talker: Model, predictor: Model, codec: Model) -> None:
    lm = DecoderLM(talker, 16)
    with pytest.raises(errors.ArgumentError, match=r"id 1 is -1, expected 0 to"):
        lm.embed(TEXT, [3, -1])
    with pytest.raises(errors.ArgumentError, match=rf"expected 0 to {talker.info.n_vocab - 1}"):
        lm.embed(CODEC, [talker.info.n_vocab])
    with pytest.raises(errors.ArgumentError, match="embedding table 2, expected 0 to 1"):
        lm.embed(2, [0])
    with pytest.raises(errors.ArgumentError, match="ids are float64, expected integers"):
        lm.embed(TEXT, [0.5])
    with pytest.raises(errors.ArgumentError, match="expected 32-bit integers"):
        lm.embed(TEXT, [2**40])
    p = DecoderLM(predictor, predictor.info.n_groups)
    with pytest.raises(errors.ArgumentError, match="code of group 0 in lane 0 is -7"):
        p.groups(np.zeros((1, predictor.info.n_embd)), [-7], temperature=0, top_k=0, top_p=1)
    decoder = CodecDecoder(codec)
    codes = np.zeros((3, decoder.n_groups), np.int32)
    codes[2, 1] = codec.info.n_vocab
    with pytest.raises(
        errors.ArgumentError, match=rf"{codec.info.n_vocab}, expected 0 to {codec.info.n_vocab - 1}"
    ):
        decoder.decode(codes)


def test_shapes_are_checked(talker: Model, predictor: Model, codec: Model) -> None:
    lm = DecoderLM(talker, 16, 2)
    with pytest.raises(errors.ArgumentError, match=r"rows have shape \[1, 2, 5\], expected \[1, n, 64\]"):
        lm.decode(np.zeros((2, 5)))
    with pytest.raises(errors.ArgumentError, match="0 rows for each of 1 lanes"):
        lm.decode(np.zeros((1, 0, talker.info.n_embd)))
    with pytest.raises(errors.ArgumentError, match="lane 0 after lane 1, expected ascending lanes"):
        lm.decode(np.zeros((2, 1, talker.info.n_embd)), lanes=[1, 0])
    with pytest.raises(errors.ArgumentError, match="lane 2, expected 0 to 1"):
        lm.decode(np.zeros((1, 1, talker.info.n_embd)), lanes=[2])
    with pytest.raises(errors.ArgumentError, match="output head 1, expected 0 to 0"):
        lm.decode(np.zeros((1, talker.info.n_embd)), head=1)
    p = DecoderLM(predictor, predictor.info.n_groups)
    with pytest.raises(errors.ArgumentError, match="uniform numbers are missing"):
        p.groups(np.zeros((1, predictor.info.n_embd)), [0], temperature=1.0, top_k=0, top_p=1)
    with pytest.raises(errors.ArgumentError, match=r"uniforms have shape \[1, 2\]"):
        p.groups(
            np.zeros((1, predictor.info.n_embd)),
            [0],
            temperature=1,
            top_k=0,
            top_p=1,
            uniforms=np.zeros((1, 2)),
        )
    with pytest.raises(errors.ArgumentError, match=r"top_p 1\.5"):
        p.groups(np.zeros((1, predictor.info.n_embd)), [0], temperature=0, top_k=0, top_p=1.5)
    with pytest.raises(errors.ArgumentError, match=r"codes have shape \[3, 2\]"):
        CodecDecoder(codec).decode(np.zeros((3, 2), np.int32))


def test_a_frame_needs_a_code_predictor(talker: Model) -> None:
    with pytest.raises(errors.ArgumentError, match="this component fills no frames"):
        DecoderLM(talker, 32).groups(np.zeros((1, talker.info.n_embd)), [0], temperature=0, top_k=0, top_p=1)


def test_logits_of_every_row_need_a_code_predictor_and_heads_it_has(talker: Model, predictor: Model) -> None:
    with pytest.raises(errors.ArgumentError, match="logits of every row were asked of"):
        DecoderLM(talker, 16).each(np.zeros((1, talker.info.n_embd)))
    p, n = DecoderLM(predictor, predictor.info.n_groups), predictor.info.n_heads_out
    for head, n_heads in ((0, 0), (0, -1), (0, n + 1), (n - 1, 2)):
        with pytest.raises(errors.ArgumentError, match=f"{n_heads} heads from head {head} on, expected"):
            p.each(np.zeros((1, predictor.info.n_embd)), head=head, n_heads=n_heads)
    assert p.n_past() == 0


def test_verbs_of_another_kind(talker: Model, codec: Model) -> None:
    with pytest.raises(errors.ArgumentError, match="this component cannot decode codes"):
        Session(talker, 16).codec_decode(np.zeros((1, talker.info.n_groups), np.int32))
    with pytest.raises(errors.ArgumentError, match="this component cannot embed ids"):
        Session(codec).lm_embed(0, [1])


def test_rewind_out_of_range(talker: Model, codec: Model) -> None:
    lm = DecoderLM(talker, 16)
    with pytest.raises(errors.ArgumentError, match="rewind to 3, expected 0 to 0 positions"):
        lm.rewind(0, 3)
    with pytest.raises(errors.ArgumentError, match="lane 1, expected 0 to 0"):
        lm.rewind(1)
    decoder = CodecDecoder(codec)
    decoder.decode(np.zeros((4, decoder.n_groups), np.int32))
    with pytest.raises(errors.ArgumentError, match="can only be rewound to 0, not to 2"):
        decoder.session.rewind(0, 2)


def test_use_after_close(device: Device, tiny_path: Path) -> None:
    model = Model(device, tiny_path, "talker")
    lm = DecoderLM(model, 16)
    model.close()
    model.close()
    lm.embed(TEXT, [1])  # the session keeps its weights
    with pytest.raises(errors.ArgumentError, match="this Model is closed"):
        DecoderLM(model, 16)
    lm.close()
    with pytest.raises(errors.ArgumentError, match="this Session is closed"):
        lm.embed(TEXT, [1])


def test_unknown_tap(talker: Model) -> None:
    session = Session(talker, 16)
    session.tap("no.such.node")
    session.lm_decode(np.zeros((1, 2, talker.info.n_embd), np.float32), [0])
    with pytest.raises(errors.ArgumentError, match=r"the last run kept no node named 'no\.such\.node'"):
        session.read_tap("no.such.node")


def test_not_finite_rows_stay_in_their_lane(talker: Model, predictor: Model) -> None:
    lm = DecoderLM(talker, 16, 2)
    rows = np.ones((2, 1, talker.info.n_embd), np.float32)
    rows[1] = np.nan
    step = lm.decode(rows)
    assert np.isfinite(step.logits[0]).all()
    p = DecoderLM(predictor, predictor.info.n_groups)
    hidden = np.full((1, predictor.info.n_embd), np.nan)
    uniforms = np.full((1, predictor.info.n_groups - 1), 0.5)
    codes, _ = p.groups(hidden, [0], temperature=1.0, top_k=5, top_p=0.5, uniforms=uniforms)
    assert (codes >= 0).all()
    assert (codes < predictor.info.n_vocab).all()


def _long_prefill(talker: Model) -> tuple[DecoderLM, np.ndarray]:
    n = min(talker.info.n_ctx_max, 1024)
    return DecoderLM(talker, n), np.ones((n, talker.info.n_embd), np.float32)


def _decode_again_and_again(lm: DecoderLM, rows: np.ndarray) -> None:
    for _ in range(50):
        lm.decode(rows)
        lm.rewind()


def test_cancel_then_rewind(talker: Model) -> None:
    lm, rows = _long_prefill(talker)
    done = threading.Event()

    def cancel() -> None:
        while not done.is_set():
            lm.session.cancel()
            time.sleep(0.001)

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with pytest.raises(errors.Cancelled, match="cancelled"):
            _decode_again_and_again(lm, rows)
    finally:
        done.set()
        thread.join()
    with pytest.raises(errors.SessionBroken, match="failed half way; rewind its lanes to 0 first"):
        lm.decode(rows[:1])
    lm.rewind()
    again = lm.decode(rows[:3])
    assert np.array_equal(again.logits, DecoderLM(talker, 16).decode(rows[:3]).logits)


def test_second_thread_is_told_so(talker: Model) -> None:
    lm, rows = _long_prefill(talker)
    failures: list[BaseException] = []
    started = threading.Event()

    def work() -> None:
        started.set()
        for _ in range(5):
            try:
                lm.rewind()
                lm.decode(rows)
            except errors.PyOmniError as e:
                failures.append(e)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures
    assert {type(e) for e in failures} <= {errors.SessionBusy, errors.ContextFull}
    assert any("another thread is using this 'talker' session" in str(e) for e in failures)


def test_two_sessions_in_two_threads_agree(talker: Model) -> None:
    rows = np.random.default_rng(3).standard_normal((40, talker.info.n_embd)).astype(np.float32)
    results: list[np.ndarray] = []

    def work() -> None:
        lm = DecoderLM(talker, 64)
        for _ in range(4):
            lm.rewind()
            results.append(lm.decode(rows).logits)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 8
    assert all(np.array_equal(r, results[0]) for r in results)
