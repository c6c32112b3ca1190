"""``precision="fast"``: near the exact samples, the same codes, and said where the CPU has no way to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import pyomni
from pyomni._binding import build_about

TEXT = "The harbour was quiet that morning, and the boats lay still."


def child(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, sys.path))
    full = {**os.environ, "PYTHONPATH": path, **env}
    return subprocess.run([sys.executable, *args], env=full, capture_output=True, text=True, check=True)


@pytest.mark.skipif(build_about()["fast"] == "none", reason="this CPU has no bfloat16 products")
def test_fast_speech_is_the_exact_one_within_40_db() -> None:
    spoken = []
    for precision in ("exact", "fast"):
        with pyomni.load(device="cpu", threads=2, precision=precision) as model:
            assert model.info["precision"] == precision
            spoken.append(model.speak(TEXT, options=pyomni.SpeechOptions(seed=3)))
    exact, fast = spoken
    np.testing.assert_array_equal(fast.codes, exact.codes)
    noise = fast.audio.astype(np.float64) - exact.audio
    ratio = 10 * np.log10((exact.audio.astype(np.float64) ** 2).sum() / (noise**2).sum())
    assert 40 < ratio < 100  # and it is not the exact way under another name


def test_a_cpu_without_says_so_once_and_runs_exact() -> None:
    program = (
        "import pyomni, warnings\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always', pyomni.PrecisionWarning)\n"
        "    model = pyomni.load(device='cpu', threads=1, precision='fast')\n"
        f"    speech = model.speak({TEXT!r}, options=pyomni.SpeechOptions(seed=3, max_frames=8))\n"
        "print([str(w.message) for w in caught], model.info['precision'])\n"
    )
    said = child("-c", program, PYOMNI_CPU_VARIANT="scalar").stdout
    assert (
        said
        == "[\"precision 'fast' was asked for, but cpu here multiplies no bfloat16: running exact\"] exact\n"
    )


def test_the_command_line_says_which_runs() -> None:
    run = (
        "-m",
        "pyomni",
        "bench",
        "--frames",
        "3",
        "-t",
        "1",
        "--device",
        "cpu",
        "--precision",
        "fast",
        "--json",
    )
    done = child(*run, PYOMNI_CPU_VARIANT="scalar")
    assert json.loads(done.stdout)["results"][0]["precision"] == "exact"
    assert done.stderr.count("multiplies no bfloat16") == 1
    assert "kernels" in child("-m", "pyomni", "doctor", "-t", "1", PYOMNI_CPU_VARIANT="scalar").stdout


def test_another_word_is_refused() -> None:
    with pytest.raises(pyomni.ArgumentError, match="precision is 'best', expected one of exact, fast"):
        pyomni.load(device="cpu", precision="best")
