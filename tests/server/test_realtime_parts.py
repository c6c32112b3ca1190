"""Parts of a realtime session: what was heard, in time and in words; turns; the conversation as messages."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soxr
from PIL import Image
from realtime_client import encoded, loud, loudness, silent

import pyomni
from pyomni import SpeechOptions
from pyomni.audio.wav import to_int16
from pyomni.server.failures import TooLarge
from pyomni.server.realtime.config import Offered
from pyomni.server.realtime.events import Refused
from pyomni.server.realtime.heard import Playing, said
from pyomni.server.realtime.hearing import Listener, Turns, read_turns, silero
from pyomni.server.realtime.history import History, prompt_of
from pyomni.server.realtime.items import Item, Spoken
from pyomni.server.realtime.reading import read_item
from pyomni.server.realtime.sound import RATE, InputBuffer, OutputSound, pcm_of
from pyomni.server.settings import Settings

TEXT = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Return the packaged voice, int16 [n] at 24 kHz."""
    with pyomni.load(device="cpu", threads=1) as model:
        spoken = model.speak("Good morning to you.", options=SpeechOptions(seed=1))
        return to_int16(soxr.resample(spoken.audio, model.sample_rate, RATE))


# -- what was heard ----------------------------------------------------------------------------------------


def test_what_was_heard_grows_word_by_word_and_in_proportion():
    cuts = [said(TEXT, ms, 4000, True) for ms in range(0, 4001, 20)]
    assert cuts[0] == ""
    assert cuts[-1] == TEXT
    assert all(later.startswith(before) for before, later in pairwise(cuts))
    words = TEXT.split()
    assert set(cuts[:-1]) <= {" ".join(words[:n]) for n in range(len(words))} | {TEXT, TEXT[:-1]}
    assert len(set(cuts)) >= len(words)
    half = said(TEXT, 2000, 4000, True)
    assert 0.3 < len(half) / len(TEXT) < 0.6
    assert said(TEXT, 4000, 8000, True) == half


def test_of_an_unfinished_answer_no_more_counts_than_the_sound_can_have_said():
    assert said(TEXT * 20, 1000, 1000, False) in TEXT
    assert said(TEXT * 20, 1000, 1000, False) == said(TEXT * 20, 1000, 5000, False)
    assert said("Hi.", 60_000, 60_000, False) == "Hi."


def test_scripts_without_spaces_are_cut_between_letters():
    assert said("今天天气很好我们去公园", 1000, 2000, True) == "今天天气很"
    assert 10 < len(said("ก" * 80, 1000, 2000, True)) < 70


def test_a_client_plays_as_it_is_sent_and_stops_where_there_is_a_gap():
    now = 0.0
    playing = Playing(lambda: now)
    assert (playing.heard_ms, playing.goes_on) == (0, False)
    playing.sent(RATE)
    playing.sent(RATE)
    now = 0.5
    assert (playing.heard_ms, playing.goes_on) == (500, True)
    now = 5.0
    assert (playing.heard_ms, playing.goes_on) == (2000, False)
    playing.sent(RATE)
    now = 5.25
    assert (playing.heard_ms, playing.goes_on) == (2250, True)


# -- the conversation --------------------------------------------------------------------------------------


def answer(text: str, heard_ms: int | None = None) -> Item:
    spoken = Spoken(n_made=2 * RATE, heard_ms=heard_ms, whole=True)
    return Item("assistant", [("output_audio", text)], spoken=spoken)


def user(text: str) -> Item:
    return Item("user", [("input_text", text)])


def test_messages_hold_what_was_heard():
    items = [user("Hi"), answer("One two three four.", 1000), user("Wait"), answer("Never heard.", 0)]
    assert [(m["role"], m["content"]) for m in prompt_of([*items, user("Go on")], "Be brief.").messages] == [
        ("system", "Be brief."),
        ("user", [{"type": "text", "text": "Hi"}]),
        ("assistant", said("One two three four.", 1000, 2000, True)),
        ("user", [{"type": "text", "text": "Wait"}]),
        ("user", [{"type": "text", "text": "Go on"}]),
    ]


def test_an_assistant_that_speaks_unasked_answers_an_empty_turn():
    system = Item("system", [("input_text", "More.")])
    assert [(m["role"], m["content"]) for m in prompt_of([answer("Hello!"), system], "Greet.").messages] == [
        ("system", "Greet.\n\nMore."),
        ("user", ""),
        ("assistant", "Hello!"),
        ("user", ""),
    ]
    assert prompt_of([], "").messages == [{"role": "user", "content": ""}]


def test_items_have_an_order_and_a_bound():
    history, (one, two, three) = History(), (user("1"), user("2"), user("3"))
    history.add(one)
    history.add(two, "root")
    history.add(three, two.id)
    assert history.items == [two, three, one]
    with pytest.raises(Refused, match="taken"):
        history.add(one)
    with pytest.raises(Refused, match="previous_item_id"):
        history.add(user("4"), "nobody")
    history.add(Item("user", [("input_audio", np.zeros(63 << 20, np.int16))]))
    with pytest.raises(Refused, match="expected at most"):
        history.add(Item("user", [("input_audio", np.zeros(1 << 20, np.int16))]))


def test_a_users_item_becomes_parts_of_a_message():
    pcm = loud(0.2)
    png = io.BytesIO()
    Image.new("RGB", (8, 6)).save(png, "PNG")
    picture = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    content = [
        {"type": "input_audio", "audio": encoded(pcm)},
        {"type": "input_text", "text": "What?"},
        {"type": "input_image", "image_url": picture},
    ]
    offered = Offered("toy", RATE, [], ("audio", "image"), Settings(max_pixels=100))
    item = read_item({"type": "message", "role": "user", "content": content}, offered)
    sound, text, image = item.message()["content"]
    assert np.array_equal(sound["audio"][0], pcm.astype(np.float32) / 32768)
    assert sound["audio"][1] == RATE
    assert text == {"type": "text", "text": "What?"}
    assert image == {"type": "image", "image": png.getvalue()}
    assert item.to_dict()["content"][0] == {"type": "input_audio", "transcript": None}
    with pytest.raises(TooLarge, match="pixels"):
        read_item(
            {"type": "message", "role": "user", "content": content},
            replace(offered, settings=Settings(max_pixels=10)),
        )


# -- sound ---------------------------------------------------------------------------------------------------


def test_the_buffer_forgets_and_gives_by_place():
    buffer, pcm = InputBuffer(), np.arange(100, dtype=np.int16)
    for begin in range(0, 100, 10):
        buffer.append(pcm[begin : begin + 10])
    buffer.drop_before(15)
    assert (buffer.start, buffer.end, len(buffer)) == (15, 100, 85)
    assert np.array_equal(buffer.take(23, 61), pcm[23:61])
    assert (buffer.start, len(buffer)) == (61, 39)
    buffer.clear()
    assert (buffer.start, buffer.end, len(buffer)) == (100, 100, 0)


@pytest.mark.parametrize("bad", [None, 3, "?", "AAA", "AA==", "äöü"])
def test_what_is_no_sound_is_refused(bad):
    with pytest.raises(Refused, match="audio"):
        pcm_of(bad, "audio")


def test_a_model_at_another_rate_is_resampled_to_24_khz():
    sound, tone = OutputSound(16000), np.sin(np.arange(16000) * 0.05).astype(np.float32)
    made = [sound.push(tone[i : i + 1600], last=i == 14400) for i in range(0, 16000, 1600)]
    whole = np.concatenate(made)
    assert len(whole) == 24000
    assert np.abs(whole[2000:-2000] / 32767 - np.sin(np.arange(2000, 22000) * 0.05 / 1.5)).max() < 0.01


# -- turns ---------------------------------------------------------------------------------------------------


def heard(listener: Listener, *parts: np.ndarray, step: int = 700) -> list[tuple[bool, int]]:
    pcm = np.concatenate(parts)
    turns = [turn for i in range(0, len(pcm), step) for turn in listener.push(pcm[i : i + step])]
    return [(turn.began, round(turn.place * 1000 / RATE)) for turn in turns]


def test_a_turn_begins_with_sound_and_ends_after_silence():
    turns = Turns(silence_duration_ms=320)
    parts = silent(0.48), loud(0.64), silent(0.2), loud(0.4), silent(1)
    (began, start), (ended, end) = heard(Listener(loudness(), turns), *parts)
    assert (began, ended) == (True, False)
    assert abs(start - 480) <= 32
    assert abs(end - (480 + 640 + 200 + 400 + 320)) <= 64
    assert heard(Listener(loudness(), turns), *parts, step=24000) == [(True, start), (False, end)]
    assert heard(Listener(loudness(), turns, place=RATE), *parts)[0] == (True, start + 1000)


def test_a_click_is_no_turn():
    assert heard(Listener(loudness(), Turns()), silent(0.5), loud(0.01), silent(1)) == []


def test_speech_of_the_packaged_voice_is_a_turn_and_silence_and_noise_are_none(speech):
    network = silero()
    seconds = len(speech) / RATE
    (began, start), (ended, end) = heard(Listener(network, Turns()), silent(1), speech, silent(1.2))
    assert (began, ended) == (True, False)
    assert start >= 900
    assert start < 1000 + seconds * 500
    assert 1000 + seconds * 500 < end < 1000 + seconds * 1000 + 700
    assert heard(Listener(silero(), Turns()), silent(2)) == []
    assert heard(Listener(silero(), Turns()), loud(2) // 20) == []


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"type": "semantic_vad"}, "td.type"),
        ({"threshold": 1.5}, "td.threshold"),
        ({"threshold": float("nan")}, "td.threshold"),
        ({"silence_duration_ms": -1}, "td.silence_duration_ms"),
        ({"prefix_padding_ms": True}, "td.prefix_padding_ms"),
        ({"create_response": 1}, "td.create_response"),
        ([], "td"),
    ],
)
def test_turn_detection_is_checked(given, param):
    with pytest.raises(ValueError, match="expected") as caught:
        read_turns(given, None, "td")
    assert caught.value.param == param


def test_turn_detection_keeps_what_is_not_given():
    first = read_turns({"type": "server_vad", "threshold": 0.7, "interrupt_response": False}, None, "td")
    assert read_turns({"silence_duration_ms": 200}, first, "td") == Turns(0.7, 300, 200, True, False)
    assert read_turns(None, first, "td") is None
