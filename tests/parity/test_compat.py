"""One program, run on the official package and on `pyomni.compat.qwen_tts`: the same waveforms.

The recording is ``record_compat.py``'s. Codes are greedy, so a waveform differs by rounding or by everything.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from parity import compat_program
from parity.recordings import FOLDER as RECORDED

from pyomni.compat.qwen_tts import Qwen3TTSModel
from pyomni.verify.folders import converted
from pyomni.verify.tolerances import TOLERANCES


@functools.cache
def recorded() -> dict[str, np.ndarray]:
    with np.load(RECORDED / "compat.npz") as stored:
        return dict(stored)


@pytest.mark.parametrize("kind", compat_program.KINDS)
def test_the_program_gives_the_same_waveforms(kind: str) -> None:
    official = recorded()
    assert compat_program.weights_hash(kind) == str(official[f"{kind}.weights_sha256"]), (
        "this machine makes other weights from the seed"
    )
    tts = Qwen3TTSModel.from_pretrained(converted(compat_program.folder(kind)), device_map="cpu")
    n_waves = 0
    with tts.model:
        for call, (wavs, rate) in compat_program.waves(tts, kind):
            assert rate == official[f"{kind}.{call}.rate"]
            for i, wav in enumerate(wavs):
                want = official[f"{kind}.{call}.{i}"]
                assert len(wav) == official[f"{kind}.{call}.{i}.n"], (call, i)
                reached = float(np.abs(wav[:: compat_program.EVERY] - want).max())
                print(f"{kind}, {call}, {i}: {reached:.2e}, peak {np.abs(want).max():.2g}")
                assert reached <= TOLERANCES["codes to waveform"].value, (call, i)
                n_waves += 1
    assert n_waves == sum(key.endswith(".n") and key.startswith(f"{kind}.") for key in official)
    assert n_waves > 0


@pytest.mark.reference
def test_the_committed_file_is_what_the_official_package_does() -> None:
    from parity import record_compat

    fresh, stored = record_compat.record(), recorded()
    assert set(fresh) == set(stored)
    for key, value in fresh.items():
        if value.dtype.kind == "U":
            assert str(value) == str(stored[key])
        else:
            # two machines' float noise in the official run: up to 1.1e-6, AMX against EPYC
            atol = TOLERANCES["codes to waveform"].value
            np.testing.assert_allclose(value, stored[key], rtol=0, atol=atol, err_msg=key)
