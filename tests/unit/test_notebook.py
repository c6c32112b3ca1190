"""What a notebook shows of speech and replies."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import soundfile

from pyomni.api.reply import Reply
from pyomni.api.result import Speech
from pyomni.audio.wav import to_int16
from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.thinking import ThinkTimings


def speech(seconds: float, reason: str = "stop") -> Speech:
    pcm = 0.1 * np.sin(np.arange(round(24000 * seconds)) / 20).astype(np.float32)
    return Speech(pcm, 24000, np.zeros((1, 16), np.int32), 7, reason, Timings())


class Tags(HTMLParser):
    """The tags of a text, and what is between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_player_has_the_samples():
    one = speech(0.5)
    html = one._repr_html_()
    assert Tags(html).tags == ["div", "audio", "br", "small"]
    assert Tags(html).text == "0.50 s at 24000 Hz, seed 7, stop"
    [data] = re.findall(r'src="data:audio/flac;base64,([A-Za-z0-9+/=]+)"', html)
    pcm, rate = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="int16")
    assert rate == 24000
    assert np.array_equal(pcm, to_int16(one.audio))


def test_of_long_speech_there_is_the_beginning():
    html = speech(61)._repr_html_()
    assert "the first 60 s of 61.0 s" in html
    [data] = re.findall(r"base64,([^\"]+)", html)
    assert soundfile.info(io.BytesIO(base64.b64decode(data))).frames == 60 * 24000


def test_without_sound_there_is_no_player():
    assert "audio" not in Tags(speech(0)._repr_html_()).tags


def test_a_reply_shows_its_text_as_text():
    text = "<script>alert('&')</script>\n & so on"
    reply = Reply(text, np.zeros(3, np.int32), speech(0.1), 1, "stop", 3, 0, ThinkTimings())
    shown = Tags(reply._repr_html_())
    assert shown.tags == ["p", "div", "audio", "br", "small"]
    assert shown.text.startswith(text)
    alone = Reply(text, np.zeros(3, np.int32), None, 1, "stop", 3, 0, ThinkTimings())
    assert Tags(alone._repr_html_()).tags == ["p"]
