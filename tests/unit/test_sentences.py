"""Sentences of a text that arrives are those of the whole text, however it is cut."""

from __future__ import annotations

import random

import pytest

from pyomni.text.sentences import Sentences
from pyomni.text.split import sentences

TEXTS = (
    "Hello there. The U.S. Army came, e.g. on foot. Dr. Smith (who said: no. Never.) left!\n\nWho? No. 3.",
    "你好。今天天气很好！我们去公园吧？“好。”他说。\n\n第二段。",
    'Wait... what? "Yes." She said 3.5 times. J. Irving went.\n\n\nOn. * And on.',
    "no end of it",
    "",
)


@pytest.mark.parametrize("text", TEXTS)
def test_any_cut_gives_the_same_sentences(text: str) -> None:
    for seed in range(100):
        draw, arriving, found, at = random.Random(seed), Sentences(), [], 0
        while at < len(text):
            n = draw.randint(1, 7)
            found += arriving.feed(text[at : at + n])
            at += n
        assert found + arriving.finish() == sentences(text)


def test_a_sentence_is_out_once_the_next_has_a_word() -> None:
    arriving = Sentences()
    assert arriving.feed("One is said. Tw") == []
    assert [piece.text for piece in arriving.feed("o ")] == ["One is said."]
    assert [piece.text for piece in arriving.finish()] == ["Two"]
    assert [piece.text for piece in arriving.feed("你好。今")] == ["你好。"]
