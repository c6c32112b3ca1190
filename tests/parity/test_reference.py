"""Record again with the official package; hold the committed files and our engine to the fresh recording.

``pytest -m reference tests/parity/test_reference.py``; needs torch and qwen-tts (see docs/parity.md).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from parity import figures, recordings

from pyomni.verify import recording
from pyomni.verify import toy_speech as cases
from pyomni.verify.speech_engine import Ours

if TYPE_CHECKING:
    from parity.official import Official

pytestmark = pytest.mark.reference

#: Two machines' float noise in the official run: a quarter of the tightest tolerance of its kind.
NOISE = {"talker": 1e-5, "predictor": 1e-5, "prompt": 1e-6, "codec": 2.5e-6, "wave": 1e-6}


@functools.cache
def fresh(name: str) -> tuple[figures.Recording, dict]:
    """Record a case, once."""
    from parity import record

    return record.record(name)


@functools.cache
def official(name: str) -> Official:
    """Load the official model of a case, once."""
    from parity.official import Official

    return Official(cases.folder(name))


def test_committed_files_are_what_the_official_model_does(name: str, recording: figures.Recording) -> None:
    arrays, about = fresh(name)
    assert set(arrays) == set(recording)
    assert about["weights_sha256"] == cases.recorded_hash(name)
    for key, value in arrays.items():
        assert value.dtype == recording[key].dtype, key
        if value.dtype.kind in "iu":
            np.testing.assert_array_equal(value, recording[key], err_msg=key)
        else:
            np.testing.assert_allclose(
                value, recording[key], rtol=0, atol=NOISE[key.split(".")[0]], err_msg=key
            )


def test_ours_against_the_fresh_recording(name: str, ours: Ours) -> None:
    arrays, _ = fresh(name)
    figures.check(list(figures.all_figures(ours, name, arrays)))
    for p, prompt in enumerate(cases.CASES[name].prompts):
        np.testing.assert_array_equal(ours.greedy(prompt, cases.N_FRAMES), arrays[f"greedy.{p}"])


def test_every_stage_on_the_same_input(name: str, ours: Ours, recording: figures.Recording) -> None:
    figures.check(list(same_input(ours, official(name), recording["codec.codes"])))


def same_input(ours: Ours, model: Official, codes: np.ndarray) -> Iterator[figures.Figure]:
    """Give each official module the input ours had: no earlier stage's rounding is in the difference."""
    _, shapes = model.decode_tapped(codes)  # every stage, also those too large to commit
    _, taps = ours.decode_tapped(codes, {stage: len(tap) for stage, tap in shapes.items()})
    yield figures.figure("quantizer decode", "rvq", taps["rvq"], shapes["rvq"])
    last = "rvq"
    for stage, module in list(model.stages().items())[1:]:
        if stage == "pcm_raw":
            out = run(model.decoder.decoder[-1], run(model.decoder.decoder[-2], taps[last]))
            yield figures.figure("causal conv", "snake and conv before the PCM", taps[stage], out)
            continue
        whole_block = stage.startswith("wave.") and stage.endswith(".out")
        source = block_input(stage) if whole_block else last
        out = run(module, taps[source])
        yield figures.figure(figures.stage_quantity(stage), f"{stage}, same input", taps[stage], out)
        last = stage


def block_input(stage: str) -> str:
    """Return the stage whose output a whole wave block begins with."""
    i = int(stage.split(".")[1])
    return "conv_in" if i == 0 else f"wave.{i - 1}.out"


def run(module: object, x: np.ndarray) -> np.ndarray:
    """Run an official module on [C, T]."""
    import torch

    with torch.no_grad():
        value = torch.from_numpy(np.ascontiguousarray(x))[None]
        if type(module).__name__ == "Qwen3TTSTokenizerV2DecoderTransformerModel":
            return module(inputs_embeds=value.transpose(1, 2)).last_hidden_state[0].T.numpy()
        return module(value)[0].numpy()


def test_recorded_sampling() -> None:
    from parity import record_sampling

    stored = np.load(recordings.FOLDER / "sampling.npz")
    for i, case in enumerate(record_sampling.cases()):
        probs = record_sampling.probabilities(case)
        assert (np.sort(probs) > 0).sum() == (stored["probs"][i] > 0).sum()
        np.testing.assert_allclose(np.sort(probs), np.sort(stored["probs"][i]), atol=1e-6)


def test_smallest_margins(name: str) -> None:
    about = json.loads((recording.FOLDER / "cases.json").read_text())[name]
    for part, gap in fresh(name)[1]["smallest_margin"].items():
        assert gap == pytest.approx(about["smallest_margin"][part], abs=5e-5)
