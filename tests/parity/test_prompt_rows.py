"""Prompts against those the official `generate` builds: ids, and rows position by position."""

from __future__ import annotations

from parity import figures

from pyomni.pipelines import prompt as prompts
from pyomni.verify import toy_speech as cases
from pyomni.verify.speech_engine import Ours


def test_ids(ours: Ours, name: str, recording: figures.Recording) -> None:
    for p, prompt in enumerate(cases.CASES[name].prompts):
        wrapped = prompts.wrapped_ids(ours.tokenizer, ours.meta, prompt.text)
        assert wrapped == recording[f"prompt.{p}.ids"].tolist()
        instruct = prompts.instruct_ids(ours.tokenizer, ours.meta, prompt.instruct)
        assert instruct == recording[f"prompt.{p}.instruct_ids"].tolist()


def test_rows(ours: Ours, name: str, recording: figures.Recording) -> None:
    figures.check(list(figures.prompt_rows(ours, name, recording)))


def test_prompts_cover_the_layouts() -> None:
    asked = [prompt for case in cases.CASES.values() for prompt in case.prompts]
    assert {(p.streaming, bool(p.instruct)) for p in asked} == {
        (s, i) for s in (True, False) for i in (True, False)
    }
    assert {"auto", "english", "chinese"} <= {p.language.lower() for p in asked}
    assert {p.speaker for p in asked if p.language in ("auto", "Chinese")} >= {"eric", "dylan"}  # dialects
