"""Voices by the page: of a file, of the microphone, and what is not kept."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from pyomni.voices import library

RATE = 24000


@pytest.fixture(autouse=True)
def _voices_of_this_test(tmp_path, monkeypatch):
    monkeypatch.setenv("PYOMNI_VOICES", str(tmp_path / "voices"))


def tone() -> np.ndarray:
    t = np.arange(2 * RATE) / RATE
    return (0.3 * np.sin(2 * np.pi * 150 * t) * (1 + np.sin(2 * np.pi * 3 * t)) / 2).astype(np.float32)


def wav() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(), RATE, format="WAV")
    return buffer.getvalue()


def webm() -> bytes:
    """What browsers record, and libsndfile does not read."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.repeat(tone(), 2)[None], format="flt", layout="mono")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return buffer.getvalue()


def dialog(seen, name: str = "Ann"):
    expect(seen.page.locator("#status")).to_have_text("Ready.")
    seen.page.click("#new-voice")
    expect(seen.page.locator("#clone-name")).to_be_focused()
    seen.page.fill("#clone-name", name)
    return seen.page


@pytest.mark.parametrize(("name", "make"), [("ann.wav", wav), ("ann.webm", webm)])
def test_a_voice_of_a_file_is_kept_spoken_with_and_removed(visit, name, make):
    seen, _ = visit(kind="base", lanes=1)
    page = dialog(seen)
    page.set_input_files("#clone-file", {"name": name, "mimeType": "audio/x", "buffer": make()})
    expect(page.locator("#clone-heard")).to_be_visible()
    page.check("#consent")
    page.click("#keep")
    expect(page.locator("#status")).to_have_text("The voice ann is kept.")
    expect(page.locator("#cloning")).to_be_hidden()
    expect(page.locator("#voice")).to_have_value("ann")
    expect(page.locator("#voice")).to_be_focused()
    assert library.names() == ["ann"]
    page.click("#speak")
    seen.until("heard.blocks.length > 0")
    assert seen.bodies()[0]["voice"] == "ann"
    page.click("#stop")
    page.once("dialog", lambda asked: asked.dismiss())
    page.click("#drop-voice")
    assert library.names() == ["ann"]
    page.once("dialog", lambda asked: asked.accept())
    page.click("#drop-voice")
    expect(page.locator("#status")).to_have_text("The voice ann is removed.")
    assert library.names() == []
    expect(page.locator("#drop-voice")).to_be_hidden()


@pytest.mark.filterwarnings("ignore::pyomni.errors.ReferenceWarning")
def test_a_voice_of_the_microphone(visit):
    seen, _ = visit(kind="base", lanes=1, context={"permissions": ["microphone"]})
    page = dialog(seen, "mic")
    page.click("#record")
    expect(page.locator("#record")).to_have_text("Stop recording")
    expect(page.locator("#level")).to_be_visible()
    expect(page.locator("#clock")).to_have_text("2 s")  # the fake one beeps once a second
    page.click("#record")
    expect(page.locator("#record")).to_have_text("Record")
    seconds = page.evaluate(
        """async () => {
            const audio = document.getElementById("clone-heard");
            if (!(audio.duration > 0)) await new Promise((done) => { audio.onloadedmetadata = done; });
            return audio.duration;
        }"""
    )
    assert 2 <= seconds < 60
    page.check("#consent")
    page.click("#keep")
    expect(page.locator("#status")).to_have_text("The voice mic is kept.")  # silence would be refused
    assert library.names() == ["mic"]


def test_closing_lets_go_of_the_microphone(visit):
    seen, _ = visit(kind="base", context={"permissions": ["microphone"]})
    page = dialog(seen)
    page.evaluate(
        """() => {
            const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async (what) => (window.stream = await ask(what));
        }"""
    )
    page.click("#record")
    expect(page.locator("#record")).to_have_text("Stop recording")
    page.keyboard.press("Escape")
    expect(page.locator("#cloning")).to_be_hidden()
    expect(page.locator("#new-voice")).to_be_focused()
    assert page.evaluate("stream.getTracks().map(({ readyState }) => readyState)") == ["ended"]


def test_a_microphone_that_cannot_be_had(visit):
    seen, _ = visit(kind="base")
    page = dialog(seen)
    for name, words in (
        ("NotAllowedError", "The microphone was not allowed for this page."),
        ("NotFoundError", "No microphone was found."),
        ("Error", "The microphone cannot be used: no"),
    ):
        page.evaluate(
            """(name) => {
                navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("no", name); };
            }""",
            name,
        )
        page.click("#record")
        expect(page.locator("#clone-alert")).to_have_text(words)
        expect(page.locator("#record")).to_have_attribute("aria-disabled", "false")


def test_what_is_missing_or_wrong_is_told_and_nothing_is_kept(visit):
    seen, _ = visit(expected=("status of 400",), kind="base", max_upload=1 << 20)
    page = dialog(seen, "")
    told = page.locator("#clone-alert")
    page.click("#keep")
    expect(told).to_have_text("The voice has no name yet.")
    expect(page.locator("#clone-name")).to_be_focused()
    page.fill("#clone-name", "../x")
    page.click("#keep")
    expect(told).to_contain_text("There is no clip yet")
    page.set_input_files(
        "#clone-file", {"name": "x.wav", "mimeType": "audio/wav", "buffer": b"\0" * (2 << 20)}
    )
    page.click("#keep")
    expect(told).to_contain_text("only if its speaker agreed")
    expect(page.locator("#consent")).to_be_focused()
    page.check("#consent")
    page.click("#keep")
    expect(told).to_contain_text("The clip has 2097152 bytes, and this server takes 1048576.")
    page.set_input_files("#clone-file", {"name": "x.webm", "mimeType": "audio/webm", "buffer": b"noise"})
    page.click("#keep")
    expect(told).to_have_text("x.webm cannot be read as sound.")
    assert not [r for r in seen.requests if r.method == "POST"]
    page.set_input_files("#clone-file", {"name": "x.wav", "mimeType": "audio/wav", "buffer": wav()})
    page.click("#keep")
    expect(told).to_contain_text("Voice name '../x' cannot be used")
    page.fill("#clone-name", "x")
    page.set_input_files("#clone-file", {"name": "x.wav", "mimeType": "audio/wav", "buffer": b"noise"})
    page.click("#keep")
    expect(told).to_contain_text("is not an audio file")
    assert library.names() == []
