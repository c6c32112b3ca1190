"""Fixtures of the parity tests: one engine and one recording per toy model."""

from __future__ import annotations

import functools

import pytest
from parity import figures

from pyomni.verify import toy_speech as cases
from pyomni.verify.speech_engine import Ours, gguf

_engine = functools.cache(lambda name: Ours(gguf(name)))


@pytest.fixture(params=sorted(cases.CASES))
def name(request: pytest.FixtureRequest) -> str:
    """Name of a toy model."""
    return str(request.param)


@pytest.fixture
def recording(name: str) -> figures.Recording:
    """Load what the official model did with it."""
    return figures.load(name)


@pytest.fixture
def ours(name: str) -> Ours:
    """Open our engine on the same weights."""
    # told apart from a wrong network: these weights are not the ones that were recorded
    assert cases.weights_hash(name) == cases.recorded_hash(name), (
        "this machine makes other weights from the seed"
    )
    return _engine(name)
