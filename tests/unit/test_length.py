"""How long a text takes to say: bounds that ordinary speech lies well within, and that add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyomni.text.length import spoken_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("The market sells fresh fruit every day.", 2.6),
        ("NASA and the BBC", 2.2),
        ("In 1984 it cost $12.50.", 4.0),
        ("\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002", 1.6),
        ("\u304a\u306f\u3088\u3046\u3054\u3056\u3044\u307e\u3059", 1.5),
        ("\u041f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430?", 1.3),
    ],
)
def test_speech_lies_within(text: str, seconds: float):
    time = spoken_time(text)
    assert 2 * time.least / 1000 <= 2.2 * seconds <= 2.2 * time.most / 1000
    assert time.most >= 1.5 * 1000 * seconds


def test_what_is_not_said_takes_no_time_at_least():
    assert spoken_time("") == (0, 0)
    assert spoken_time("... \u2014 \U0001f389!\n").least == 0
    assert spoken_time("... \u2014 \U0001f389!\n").most > 3000


@given(st.text(), st.text())
def test_pieces_add_up(one: str, other: str):
    assert spoken_time(one).plus(spoken_time(other)) == spoken_time(one + other)


@given(st.text())
def test_a_frame_for_each_byte_of_a_letter(text: str):
    # what the cap of a text that is still arriving rests on: a character is at least a token, 80 ms
    assert spoken_time(text).most >= 80 * len(text)
