"""Memory stays where it is: over many requests, and over a long text."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import tiny_gguf

import pyomni
from pyomni import SpeechModel, SpeechOptions

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

GROWTH = 1.02


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpeechModel]:
    """A model that never ends, with little to compute per frame of 80 ms."""
    path = tmp_path_factory.mktemp("memory") / "small.gguf"
    hops = {"upsample_rates": (4, 3), "upsampling_ratios": (2, 2), "enc_ratios": (2, 2, 2, 3)}
    tiny_gguf(path, **hops, sample_rate=600, layers=1, cp_layers=1)
    with pyomni.load(path, device="cpu", threads=1) as m:
        assert m.hop / m.sample_rate == 0.08
        yield m


def resident() -> float:
    """Return the memory this process holds, in MB."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


def test_a_thousand_requests(model: SpeechModel):
    def speak(n: int) -> None:
        for i in range(n):
            options = SpeechOptions(seed=i, max_frames=3)
            assert len(model.speak(f"Hello {i}.", voice="ryan", options=options).codes) == 3
            if i % 10 == 0:
                model.speak(iter(["Hel", "lo."]), voice="ryan", options=options)
                with model.stream("Left early.", voice="ryan", options=options) as stream:
                    next(stream)

    speak(100)
    before = resident()
    speak(1000)
    assert resident() < before * GROWTH


def test_half_an_hour_of_speech(model: SpeechModel):
    text = "A toy says it. " * 200 + "\n\n" + "It says more. " * 200
    seconds, before = 0.0, None
    with model.stream(text, voice="ryan", options=SpeechOptions(seed=1, split="sentences")) as stream:
        for pcm in stream:
            seconds += len(pcm) / model.sample_rate
            if seconds > 60 and before is None:
                before = resident()
            if seconds > 60 + 1800:
                break
    assert before is not None
    assert len(stream.pieces) > 50
    assert resident() < before * GROWTH
