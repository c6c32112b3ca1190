"""Record the codec encoder again with the official package; see `test_reference`.

``pytest -m reference tests/parity/test_reference_encoder.py``; needs torch and qwen-tts (see docs/parity.md).
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy.typing import NDArray
from parity import figures, recordings

from pyomni.verify import toy_codec as encoder_cases
from pyomni.verify.toy_codec import OursEncoder

pytestmark = [pytest.mark.reference, pytest.mark.parametrize("name", encoder_cases.ENCODERS)]

NOISE = 2.5e-6  # two machines' float noise in the official run: a quarter of the tolerance


@functools.cache
def fresh(name: str) -> dict[str, NDArray]:
    """Record a case, once."""
    from parity import record_encoder

    return record_encoder.record(name)


def test_committed_files_are_what_the_official_encoder_does(name: str) -> None:
    committed = recordings.load(f"encoder_{name}")
    assert set(fresh(name)) == set(committed)
    for key, value in fresh(name).items():
        assert value.dtype == committed[key].dtype, key
        if key == "margin":
            assert float(value) == pytest.approx(float(committed[key]), abs=5e-5)
        elif value.dtype.kind == "f":
            np.testing.assert_allclose(value, committed[key], rtol=0, atol=NOISE, err_msg=key)
        else:
            np.testing.assert_array_equal(value, committed[key], err_msg=key)


def test_other_clips_of_any_length(name: str) -> None:
    # lengths nobody chose, and every sample of what is decoded
    from parity.official import Official
    from parity.record_encoder import tapped

    official, ours = Official(encoder_cases.folder(name)), OursEncoder(name)
    row = {"real_strides": 960, "odd": 6}[name]
    for n in np.random.default_rng(5).integers(1, 90 * row, 12).tolist():
        samples = encoder_cases.clip(name, n)
        codes, rows = tapped(official, samples)
        mine, my_rows = ours.tapped(samples)
        np.testing.assert_array_equal(mine, codes, err_msg=f"{n} samples")
        figures.check(
            [figures.figure("codec encoder", f"{n} samples, {tap}", my_rows[tap], rows[tap]) for tap in rows]
        )
        if name == recordings.ROUND_TRIP:
            pcm = official.pcm(codes)
            figures.check([figures.figure("codes to waveform", f"{n} samples", ours.decode(mine), pcm)])
