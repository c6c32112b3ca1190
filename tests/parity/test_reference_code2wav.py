"""Record code2wav again with the official class; see `test_reference`.

``pytest -m reference tests/parity/test_reference_code2wav.py``; needs torch and transformers.
"""

from __future__ import annotations

import numpy as np
import pytest
from parity import figures, recordings
from parity.test_code2wav import model, streamed

from pyomni.components.codec import CodecDecoder
from pyomni.verify import toy_code2wav as code2wav_cases

pytestmark = [pytest.mark.reference, pytest.mark.parametrize("name", sorted(code2wav_cases.CASES))]

NOISE = 1e-6  # two machines' float noise in the official run: a third of the tolerance


def test_committed_files_are_what_the_official_code2wav_does(name: str) -> None:
    from parity.record_code2wav import record

    committed = recordings.load(f"code2wav_{name}")
    fresh = record(name)
    assert set(fresh) == set(committed)
    for key, value in fresh.items():
        assert value.dtype == committed[key].dtype, key
        if value.dtype.kind == "f":
            atol = 4 * NOISE if key.startswith("tap.") else NOISE
            np.testing.assert_allclose(value, committed[key], rtol=0, atol=atol, err_msg=key)
        else:
            np.testing.assert_array_equal(value, committed[key], err_msg=key)


def test_every_sample_of_every_length(name: str) -> None:
    from parity.record_code2wav import OfficialCode2Wav

    official = OfficialCode2Wav(code2wav_cases.folder(name))
    rng = np.random.default_rng(6)
    lengths = [*code2wav_cases.LENGTHS, *rng.integers(3, code2wav_cases.N_FRAMES, 2).tolist()]
    held = []
    for n in lengths:
        codes = code2wav_cases.codes(name, n)
        pcm = official.pcm(codes)
        for widths in ([n], [1], [4], [25], rng.integers(1, 40, n).tolist()):
            ours = streamed(CodecDecoder(model(name)), codes, widths)
            held.append(figures.figure("code2wav", f"{n} frames in {widths[:4]}", ours, pcm))
    figures.check(held)
