"""Clones, clones in context, design and instruction against the official wrapper: prompt rows, greedy codes.

Recordings come from ``record_modes.py``; the official code was given the speaker vector and the codes of the
reference that ours is given here.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from parity import figures, mode_cases
from parity.mode_cases import ModePrompt
from parity.recordings import FOLDER as RECORDED

from pyomni.options import SpeechOptions
from pyomni.pipelines import prompt as prompts
from pyomni.pipelines.speech import Request, generate
from pyomni.verify.folders import converted
from pyomni.verify.speech_engine import Ours
from pyomni.verify.tolerances import TOLERANCES


@functools.cache
def engine(name: str) -> Ours:
    """Open our engine on the case's weights, which must be those that were recorded."""
    assert mode_cases.weights_hash(name) == mode_cases.recorded(name)["weights_sha256"], (
        "this machine makes other weights from the seed"
    )
    return Ours(converted(mode_cases.folder(name)))


@functools.cache
def recording(name: str) -> figures.Recording:
    with np.load(RECORDED / f"modes_{name}.npz") as stored:
        return dict(stored)


@pytest.fixture(params=sorted(mode_cases.CASES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def rows(name: str, prompt: ModePrompt) -> prompts.TalkerPrompt:
    ours = engine(name)
    meta, tokenizer = ours.meta, ours.tokenizer
    speaker = prompt.speaker.lower() or None
    preset = None if speaker is None else meta.speakers[speaker]
    reference, reference_rows = None, None
    if prompt.n_reference:
        reference = prompts.Reference(
            tuple(prompts.text_ids(tokenizer, prompt.transcript)), prompt.n_reference
        )
        codes = mode_cases.reference_codes(name, prompt.n_reference)
        reference_rows = prompts.reference_rows(codes, ours.talker.embed, ours.predictor.embed)
    plan = prompts.layout(
        meta,
        tokenizer,
        prompts.text_ids(tokenizer, prompt.text),
        language=prompts.language_id(meta, prompt.language, speaker),
        speaker=prompts.SPEAKER_ROW if prompt.cloned else preset,
        instruct=prompts.instruct_ids(tokenizer, meta, prompt.instruct),
        reference=reference,
        streaming=prompt.streaming,
    )
    vector = mode_cases.speaker_vector(name) if prompt.cloned else None
    return prompts.build(plan, ours.talker.embed, vector, reference_rows)


def test_rows(name: str) -> None:
    official, found = recording(name), []
    for p, prompt in enumerate(mode_cases.CASES[name].prompts):
        made = rows(name, prompt)
        found.append(figures.figure("prompt rows", f"prompt {p}", made.rows, official[f"{p}.rows"]))
        trailing, pad = official[f"{p}.trailing"], official["pad"]
        ours = np.stack([made.text_row(frame) for frame in range(len(trailing) + 2)])
        want = np.concatenate([trailing, [pad, pad]])
        found.append(figures.figure("prompt rows", f"prompt {p}, trailing", ours, want))
    figures.check(found)


def test_greedy_codes(name: str) -> None:
    ours, official = engine(name), recording(name)
    for p, prompt in enumerate(mode_cases.CASES[name].prompts):
        if not prompt.greedy:
            continue
        options = SpeechOptions(seed=0, greedy=True, max_frames=mode_cases.N_FRAMES).resolve(
            ours.meta.defaults, n_text=1, streaming_layout=prompt.streaming
        )
        events = generate(ours.talker, ours.predictor, [Request(rows(name, prompt), options)], ours.meta)
        codes = np.stack([event.codes for event in events if event.codes is not None])
        assert len(codes) == mode_cases.N_FRAMES
        np.testing.assert_array_equal(codes, official[f"{p}.greedy"], err_msg=f"{name}, {prompt}")


def test_no_choice_was_a_toss_up(name: str) -> None:
    for part, gap in mode_cases.recorded(name)["smallest_margin"].items():
        assert gap > 2 * TOLERANCES[f"{part} logits"].value, part


def test_the_prompts_cover_every_mode() -> None:
    base, custom = mode_cases.BASE_PROMPTS, mode_cases.CUSTOM_PROMPTS
    assert {(p.n_reference, p.streaming) for p in base if p.greedy} == {
        (n, s) for n in (0, mode_cases.FEW, mode_cases.MANY) for s in (True, False)
    }
    assert {(p.speaker, p.streaming) for p in custom if p.greedy} == {
        (s, layout) for s in ("Ryan", "eric") for layout in (True, False)
    }
    assert {p.streaming for p in mode_cases.DESIGN_PROMPTS if p.greedy} == {True, False}
    # both sides of T1 > T2
    tokenizer = engine("base_1b7").tokenizer
    n_text = len(tokenizer.encode(mode_cases.TRANSCRIPT)) + len(tokenizer.encode(mode_cases.TEXT)) + 1
    assert mode_cases.FEW + 1 < n_text <= mode_cases.MANY + 1


@pytest.mark.reference
def test_committed_files_are_what_the_official_model_does(name: str) -> None:
    from parity import record_modes

    arrays, about = record_modes.record(name)
    stored = recording(name)
    assert set(arrays) == set(stored)
    assert about["weights_sha256"] == mode_cases.recorded(name)["weights_sha256"]
    for key, value in arrays.items():
        np.testing.assert_allclose(value, stored[key], rtol=0, atol=1e-6, err_msg=key)
