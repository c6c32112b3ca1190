"""The codec encoder against the official one: every code of every clip, hidden rows, and there and back."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy.typing import NDArray
from parity import figures, recordings

from pyomni.verify import toy_codec as encoder_cases
from pyomni.verify.tolerances import TOLERANCES
from pyomni.verify.toy_codec import OursEncoder

CLIPS = [(name, str(n)) for name, case in encoder_cases.ENCODERS.items() for n in case.lengths]
TAPPED = [(name, n) for name, case in encoder_cases.ENCODERS.items() for n in case.tapped]

engine = functools.cache(OursEncoder)


@functools.cache
def recording(name: str) -> dict[str, NDArray]:
    """Load what the official encoder did, and check that it did it with these weights."""
    arrays = recordings.load(f"encoder_{name}")
    assert str(arrays["weights_sha256"]) == encoder_cases.weights_hash(name), (
        "this machine makes other weights from the seed"
    )
    return arrays


@pytest.mark.parametrize(("name", "n"), CLIPS)
def test_every_code(name: str, n: str) -> None:
    codes = engine(name).encode(encoder_cases.clip(name, int(n)))
    assert codes.dtype == np.int32
    np.testing.assert_array_equal(codes, recording(name)[f"{n}.codes"])


@pytest.mark.parametrize(("name", "n"), TAPPED)
def test_hidden_rows(name: str, n: int) -> None:
    _, taps = engine(name).tapped(encoder_cases.clip(name, n))
    figures.check(
        [
            figures.figure(
                "codec encoder", f"{name}, {n} samples, {tap}", taps[tap], recording(name)[f"{n}.{tap}"]
            )
            for tap in encoder_cases.TAPS
        ]
    )


def test_speech_there_and_back() -> None:
    ours, official = engine(recordings.ROUND_TRIP), recording(recordings.ROUND_TRIP)
    codes = ours.encode(recordings.speech(24000))
    np.testing.assert_array_equal(codes, official["speech.codes"])
    pcm = ours.decode(codes)[:: recordings.PCM_STEP]
    figures.check(
        [figures.figure("codes to waveform", "speech, encoded and decoded", pcm, official["speech.pcm"])]
    )


@pytest.mark.parametrize("name", encoder_cases.ENCODERS)
def test_equal_codes_mean_something(name: str) -> None:
    # the closest choice is decided by more than rounding, and the choices are not all the same
    arrays = recording(name)
    assert arrays["margin"] > 10 * TOLERANCES["codec encoder"].value
    codes = np.concatenate([arrays[key] for key in arrays if key.endswith(".codes")])
    assert min(len(np.unique(group)) for group in codes.T) > 10


def test_more_rows_than_the_window_that_is_not_applied() -> None:
    from pyomni.convert.json_config import read_config

    config = read_config(encoder_cases.folder("odd") / "speech_tokenizer" / "config.json")
    window = config.sub("encoder_config").whole("sliding_window")
    assert max(encoder_cases.ENCODERS["odd"].lengths) // 6 > 2 * window
