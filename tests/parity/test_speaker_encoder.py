"""The mel front end and the speaker encoder against the official ones, as recorded by `record_speaker.py`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from parity import recordings

from pyomni.verify import toy_speaker as speaker

REAL = "speaker_real"


@functools.cache
def recorded(name: str) -> Mapping[str, NDArray]:
    recording = recordings.load(name)
    assert speaker.weights_hash(name) == str(recording["weights_sha256"]), "other weights from the seed"
    return recording


def of(recording: Mapping[str, NDArray], kind: str) -> dict[str, NDArray]:
    return {key.removeprefix(kind): value for key, value in recording.items() if key.startswith(kind)}


def embeddings(name: str) -> dict[str, NDArray[np.float32]]:
    """Ours, by length: from clips through our own front end, or from rows."""
    case, encoder = speaker.CASES[name], speaker.encoder(name)
    ours = {n: encoder.encode(speaker.front_end(name)(speaker.clip(n))) for n in case.clips}
    ours |= {n: encoder.encode(speaker.rows(name, n)) for n in case.rows}
    assert all(out.shape == (1, encoder.n_hidden) for out in ours.values())
    return {str(n): out[0] for n, out in ours.items()}


def check_mel(recording: Mapping[str, NDArray]) -> None:
    for n, official in of(recording, "mel.").items():
        ours = speaker.front_end(REAL)(speaker.clip(int(n)))
        assert ours.shape == official.shape == (int(n) // 256, 128)
        np.testing.assert_allclose(ours, official, rtol=0, atol=speaker.MEL, err_msg=f"{n} samples")
        assert np.ptp(official) > 4  # quiet and loud bands


def check_embeddings(name: str, recording: Mapping[str, NDArray]) -> None:
    official, ours = of(recording, "embedding."), embeddings(name)
    assert set(ours) == set(official)
    for n, embedding in official.items():
        np.testing.assert_allclose(ours[n], embedding, rtol=0, atol=speaker.EMBEDDING, err_msg=n)
    every = np.stack(list(official.values()))
    assert np.sqrt((every**2).mean()) > 0.1  # an ordinary magnitude
    assert every.std(0).mean() > 100 * speaker.EMBEDDING  # and another one for another clip


def test_mel() -> None:
    check_mel(recorded(REAL))


@pytest.mark.parametrize("name", speaker.CASES)
def test_embeddings(name: str) -> None:
    check_embeddings(name, recorded(name))


@pytest.mark.parametrize("name", speaker.CASES)
def test_every_stage(name: str) -> None:
    case, recording, encoder = speaker.CASES[name], recorded(name), speaker.encoder(name)
    stages = speaker.stages(name)
    for stage in stages:
        encoder.session.tap(stage)
    encoder.encode(recording[f"mel.{case.tapped}"] if case.clips else speaker.rows(name, case.tapped))
    for stage, width in stages.items():
        ours = encoder.session.read_tap(stage).reshape(-1, width)  # [T, C]
        np.testing.assert_allclose(
            ours, recording[f"tap.{stage}"], rtol=0, atol=speaker.EMBEDDING, err_msg=stage
        )
    assert set(stages) == set(of(recording, "tap."))


@pytest.mark.parametrize("name", speaker.CASES)
def test_the_shortest_input_is_recorded(name: str) -> None:
    case, encoder = speaker.CASES[name], speaker.encoder(name)
    shortest = speaker.front_end(name).n_samples(encoder.n_rows_min) if case.clips else encoder.n_rows_min
    assert min(case.clips or case.rows) == shortest


@pytest.mark.parametrize("name", speaker.CASES)
def test_a_call_leaves_nothing_behind(name: str) -> None:
    encoder = speaker.encoder(name)
    rows = np.random.default_rng(0).standard_normal((40, encoder.n_embd)).astype(np.float32)
    first = encoder.encode(rows)
    encoder.encode(rows[:9])
    np.testing.assert_array_equal(encoder.encode(rows), first)


@pytest.mark.reference
@pytest.mark.parametrize("name", speaker.CASES)
def test_the_official_encoder_still_does_this(name: str) -> None:
    from parity import record_speaker

    fresh, stored = record_speaker.record(name), recorded(name)
    assert set(fresh) == set(stored)
    for key, value in fresh.items():
        if key != "weights_sha256":
            # two machines' float noise in the official run: 0.38 of our own bound, AMX against EPYC
            atol = speaker.MEL / 2 if key.startswith("mel.") else speaker.EMBEDDING / 2
            np.testing.assert_allclose(value, stored[key], rtol=0, atol=atol, err_msg=key)
    check_embeddings(name, fresh)
    if name == REAL:
        check_mel(fresh)
