"""The page in a real browser: spoken to, listened to, stopped, downloaded from, and told errors."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from chromium import Visit
from playwright.sync_api import expect
from toys import toy

from pyomni.api import SpeechModel
from pyomni.audio.wav import to_int16
from pyomni.options import SpeechOptions
from pyomni.server import front

TEXT = "Hello there."
#: No machine says it before it is stopped.
LONG = "Hello there. " * 1500


@pytest.fixture(scope="module")
def alone() -> np.ndarray:
    """What the toy says with seed 7, int16 [n]."""
    with SpeechModel(toy(), device="cpu", threads=1) as model:
        return to_int16(model.speak(TEXT, options=SpeechOptions(seed=7)).audio)


def begin(seen: Visit, text: str = TEXT, seed: str = "7") -> None:
    expect(seen.page.locator("#status")).to_have_text("Ready.")
    seen.page.fill("#text", text)
    seen.page.fill("#seed", seed)
    seen.page.click("#speak")


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what only the server knows."""
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to that")


def played(seen: Visit) -> np.ndarray:
    """What was handed to the sound card, as int16 [n]."""
    blocks = seen.page.evaluate("heard.blocks.map(({ samples }) => samples)")
    return np.rint(np.concatenate(blocks) * 32768).astype(np.int16)


# --- speaking ---------------------------------------------------------------------------------------------


def test_it_speaks_and_is_heard_and_drawn_and_timed(visit, alone):
    seen, state = visit()
    page = seen.page
    begin(seen, seed="7")
    expect(page.locator("#status")).to_contain_text(f"{len(alone) / 24000:.2f} s of speech, made in")
    assert np.array_equal(played(seen), alone)
    assert page.evaluate("heard.contexts.length") == 1
    assert page.evaluate("heard.contexts[0].sampleRate") == state.model.sample_rate
    ends = 0.0
    for at, n in page.evaluate("heard.blocks.map(({ at, samples }) => [at, samples.length])"):
        assert at >= ends - 1e-9  # no block over another
        ends = at + n / 24000
    seen.until(f"heard.contexts[0].currentTime >= {ends}")
    expect(page.locator("#stop")).to_have_attribute("aria-disabled", "true")
    assert seen.painted("spectrogram") > 1000
    label = f"Waveform, {len(alone) / 24000:.1f} seconds"
    expect(page.locator("#wave")).to_have_attribute("aria-label", label)
    assert page.text_content("#t-speech") == f"{len(alone) / 24000:.2f} s"
    assert page.text_content("#t-seed") == "7"
    first, made = (float(page.text_content(f"#t-{name}").split()[0]) for name in ("first", "made"))
    assert 0 <= first <= made
    factor = made / (len(alone) / 24000)
    assert float(page.text_content("#t-factor")) == pytest.approx(factor, abs=0.02)
    assert seen.bodies() == [
        {"input": TEXT, "seed": 7, "voice": "serena", "response_format": "pcm", "stream": True}
    ]
    assert (state.scheduler.done, state.scheduler.cancelled) == (1, 0)


def test_again_plays_the_same_and_asks_for_nothing(visit, alone):
    seen, _ = visit()
    begin(seen)
    expect(seen.page.locator("#status")).to_contain_text("made in")
    seen.page.evaluate("heard.blocks.length = 0")
    seen.page.click("#again")
    assert np.array_equal(played(seen), alone)
    seen.page.keyboard.press("Escape")
    expect(seen.page.locator("#stop")).to_have_attribute("aria-disabled", "true")
    assert len(seen.bodies()) == 1


def test_stopping_midway_frees_the_lane_and_keeps_what_there_is(visit):
    seen, state = visit(kind="custom_voice", lanes=1)
    page = seen.page
    empty = seen.painted("wave")
    begin(seen, LONG)
    seen.until("heard.blocks.length > 2")  # it is heard while it is being made
    wait_for(lambda: state.scheduler.load() == (1, 0))
    assert seen.painted("wave") > empty
    expect(page.locator("#status")).to_have_text("Speaking…")
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text("Stopped after")
    wait_for(lambda: state.scheduler.load() == (0, 0))
    assert (state.scheduler.done, state.scheduler.cancelled) == (0, 1)
    with page.expect_download() as waiting:
        page.click("#download")
    sound, rate = soundfile.read(waiting.value.path(), dtype="int16")
    assert (
        page.text_content("#status")
        == f"Stopped after {len(sound) / rate:.{2 if len(sound) < 240000 else 1}f} s."
    )
    page.select_option("#format", "flac")
    page.click("#download")
    expect(page.locator("#alert")).to_contain_text("It was stopped early")


def test_speaking_again_ends_what_was_spoken_before(visit):
    seen, state = visit(kind="custom_voice", lanes=1)
    begin(seen, LONG)
    seen.until("heard.blocks.length > 0")
    seen.page.evaluate("heard.blocks.length = 0")
    seen.page.click("#speak")
    seen.until("heard.blocks.length > 0")
    wait_for(lambda: state.scheduler.cancelled == 1)
    wait_for(lambda: state.scheduler.load() == (1, 0))
    expect(seen.page.locator("#status")).to_have_text("Speaking…")
    assert seen.page.text_content("#alert") == ""


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_download_is_the_servers_sound(visit, alone, kind):
    seen, _ = visit()
    begin(seen)
    expect(seen.page.locator("#status")).to_contain_text("made in")
    seen.page.select_option("#format", kind)
    with seen.page.expect_download() as waiting:
        seen.page.click("#download")
    assert waiting.value.suggested_filename == f"speech-7.{kind}"
    sound, rate = soundfile.read(waiting.value.path(), dtype="int16")
    assert rate == 24000
    assert np.array_equal(sound, alone)
    # WAV is made here; for another format the same speech is asked for again
    assert len(seen.bodies()) == (1 if kind == "wav" else 2)


# --- what the model takes ---------------------------------------------------------------------------------


def test_fields_reach_the_server(visit):
    seen, state = visit()
    page = seen.page
    expect(page.locator("#status")).to_have_text("Ready.")
    voices = page.locator("#voice option").evaluate_all("all => all.map(({ value }) => value)")
    assert voices == state.model.speakers
    languages = page.locator("#language option").evaluate_all("all => all.map(({ value }) => value)")
    assert languages == ["", *state.model.languages]
    for hidden in ("#manner-field", "#new-voice", "#drop-voice", "#door", "#forget"):
        expect(page.locator(hidden)).to_be_hidden()
    page.select_option("#voice", "ryan")
    page.select_option("#language", "english")
    begin(seen, seed="")
    expect(page.locator("#status")).to_contain_text("made in")
    [body] = seen.bodies()
    assert (body["voice"], body["language"]) == ("ryan", "english")
    assert page.text_content("#t-seed") == str(body["seed"])  # drawn, and told


def test_speed_is_offered_where_speech_can_be_stretched(visit, alone, monkeypatch):
    page = None
    with monkeypatch.context() as patch:
        patch.setattr(front.tempo, "why_not", lambda: "it is not installed")
        seen, _ = visit()
        page = seen.page
        expect(page.locator("#status")).to_have_text("Ready.")
        expect(page.locator("#speed")).to_be_hidden()
    page.reload()
    expect(page.locator("#status")).to_have_text("Ready.")
    page.focus("#speed")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.text_content("#speed-said") == "1.25×"
    begin(seen)
    expect(page.locator("#status")).to_contain_text("made in")
    assert seen.bodies()[0]["speed"] == 1.25
    assert len(played(seen)) == pytest.approx(len(alone) / 1.25, rel=0.05)


def test_a_voice_is_described(visit):
    seen, _ = visit(kind="voice_design", lanes=1)
    page = seen.page
    begin(seen, LONG)
    assert page.text_content("#alert") == "The voice is not described yet."
    assert page.locator("#manner").get_attribute("required") is not None
    expect(page.locator("#manner")).to_be_focused()
    expect(page.locator("#voice")).to_be_hidden()
    page.keyboard.type("A deep, slow voice.")
    page.keyboard.press("Enter")
    seen.until("heard.blocks.length > 0")
    assert [body["instructions"] for body in seen.bodies()] == ["A deep, slow voice."]
    page.keyboard.press("Escape")


# --- errors, in words -------------------------------------------------------------------------------------


def test_what_is_none_is_not_asked_for(visit):
    seen, _ = visit()
    begin(seen, text="  ")
    assert seen.page.text_content("#alert") == "There is nothing to say yet."
    expect(seen.page.locator("#text")).to_be_focused()
    seen.page.fill("#text", TEXT)
    for seed in ("-1", "1.5", "seven", "9" * 20):
        seen.page.fill("#seed", seed)
        seen.page.click("#speak")
        assert seen.page.text_content("#alert").startswith(f"The seed is {seed}, expected a whole number")
        expect(seen.page.locator("#seed")).to_be_focused()
    assert seen.bodies() == []


def test_a_full_queue_is_told_and_left_behind(visit):
    seen, state = visit(expected=("status of 429",), kind="custom_voice", lanes=1, queue=1)
    host = seen.address.removeprefix("http://")
    held = []
    for load in ((1, 0), (1, 1)):
        held.append(http.client.HTTPConnection(host, timeout=120))
        held[-1].request("POST", "/v1/audio/speech", json.dumps({"input": LONG, "response_format": "wav"}))
        wait_for(lambda load=load: state.scheduler.load() == load)
    begin(seen, LONG)
    alert = seen.page.locator("#alert")
    expect(alert).to_contain_text("try again in 2 s.")
    expect(alert).to_have_attribute("role", "alert")
    assert seen.page.text_content("#status") == ""
    expect(seen.page.locator("#stop")).to_have_attribute("aria-disabled", "true")
    for connection in held:
        connection.close()
    wait_for(lambda: state.scheduler.load() == (0, 0))
    seen.page.click("#speak")
    seen.until("heard.blocks.length > 0")
    expect(alert).to_have_text("")


def test_a_server_that_is_gone(visit):
    seen, _ = visit(expected=("net::ERR_",))
    expect(seen.page.locator("#status")).to_have_text("Ready.")
    seen.page.route("**/v1/audio/speech", lambda route: route.abort("connectionrefused"))
    begin(seen)
    expect(seen.page.locator("#alert")).to_have_text("The server cannot be reached. Is it still running?")
    seen.page.unroute("**/v1/audio/speech")
    seen.page.click("#speak")
    expect(seen.page.locator("#status")).to_contain_text("made in")
    expect(seen.page.locator("#alert")).to_have_text("")


def test_a_model_that_converses_is_told(visit):
    seen, _ = visit(expected=("status of 400",), kind="omni")
    alert = seen.page.locator("#alert")
    expect(alert).to_contain_text("The model converses, expected one that speaks texts")
    seen.page.click("#speak")
    expect(alert).to_contain_text("The model converses")
    assert seen.bodies() == []


def test_a_speech_that_breaks_off(visit):
    seen, _ = visit(expected=("net::ERR_",), kind="custom_voice", lanes=1, deadline=3.0)
    begin(seen, LONG)
    expect(seen.page.locator("#alert")).to_contain_text("The sound broke off before its end")
    seen.page.keyboard.press("Escape")
    with seen.page.expect_download() as waiting:
        seen.page.click("#download")
    assert len(soundfile.read(waiting.value.path())[0]) > 0
