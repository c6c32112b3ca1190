"""A real server: sound before the end, clients that leave, two at once, and how it stops."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import threading

import pytest
from clients import command, fill_the_queue, hang_up, post_to
from toys import toy

from pyomni.api import SpeechModel
from pyomni.errors import Cancelled
from pyomni.options import SpeechOptions
from pyomni.server.answers import unless_gone
from pyomni.server.running import listen
from pyomni.server.settings import Settings, is_loopback

URL = "/v1/audio/speech"
ENDLESS = {"input": "Hello.", "max_new_tokens": 1900, "response_format": "pcm"}
#: No machine says it within the deadline of a test.
HOURS = {"input": "Hello there. " * 1500, "response_format": "pcm"}
SHORT = {"input": "Hello.", "max_new_tokens": 3, "response_format": "pcm"}


def post(host: str, port: int, body: dict) -> http.client.HTTPConnection:
    return post_to(host, port, body, URL)


def test_sound_comes_before_the_end_and_who_hangs_up_frees_the_lane(running):
    host, port, state = running(kind="custom_voice", lanes=1)
    first = post(host, port, ENDLESS)
    response = first.getresponse()
    assert response.status == 200
    assert len(response.read(100)) == 100
    assert state.scheduler.load()[0] == 1
    hang_up(first, response)
    second = post(host, port, SHORT)
    assert len(second.getresponse().read()) == 2 * 3 * state.model.hop
    second.close()
    assert state.scheduler.cancelled == 1
    assert state.scheduler.frames < 1900


def test_who_hangs_up_before_the_first_sound_of_a_whole_answer(running):
    host, port, state = running(kind="custom_voice", lanes=1)
    first = post(host, port, {**ENDLESS, "response_format": "wav"})
    while state.scheduler.load()[0] == 0:
        threading.Event().wait(0.01)
    hang_up(first)
    second = post(host, port, SHORT)
    assert len(second.getresponse().read()) == 2 * 3 * state.model.hop
    second.close()
    assert state.scheduler.cancelled == 1


def test_work_that_swallows_a_cancellation_is_cancelled_again():
    class Gone:
        async def receive(self) -> dict[str, str]:
            return {"type": "http.disconnect"}

    swallowed = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            swallowed.append(True)
        await asyncio.sleep(3600)

    with pytest.raises(Cancelled, match="the client is gone"):
        asyncio.run(unless_gone(Gone(), work))
    assert swallowed == [True]


def test_two_at_once(running):
    host, port, _state = running(kind="custom_voice", lanes=2)
    long = post(host, port, ENDLESS)
    response = long.getresponse()
    assert response.read(100)
    short = post(host, port, SHORT)
    assert short.getresponse().read()
    short.close()
    assert response.read(100)
    hang_up(long, response)


def test_a_full_queue_says_when_to_try_again(running):
    host, port, state = running(kind="custom_voice", lanes=1, queue=1)
    assert fill_the_queue(host, port, state, URL, ENDLESS, SHORT)


def test_a_deadline_before_the_sound_is_504_and_after_it_breaks_the_stream(running):
    host, port, _state = running(kind="custom_voice", lanes=1, deadline=3.0)
    late = post(host, port, {**HOURS, "response_format": "wav"})
    answer = late.getresponse()
    assert answer.status == 504
    assert json.loads(answer.read())["error"]["code"] == "deadline_exceeded"
    late.close()
    late = post(host, port, HOURS)
    response = late.getresponse()
    assert response.status == 200
    with pytest.raises(http.client.HTTPException):
        response.read()
    hang_up(late, response)


# --- the command ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_finishes_what_runs_and_ends_with_0(number):
    process = command("-m", str(toy()), "--port", "0", "--json")
    try:
        about = json.loads(process.stdout.readline())
        body = {"input": "One. Two. Three. Four. " * 8, "seed": 1, "response_format": "pcm"}
        connection = post(about["host"], about["port"], body)
        response = connection.getresponse()
        sound = response.read(1000)
        process.send_signal(number)
        sound += response.read()  # raises if it breaks off
        with SpeechModel(toy(), device="cpu", threads=1) as model:
            alone = model.speak(body["input"], options=SpeechOptions(seed=1))
        assert len(sound) == 2 * len(alone.audio) > 50_000
        connection.close()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


def test_the_packaged_voice_is_served():
    process = command("--port", "0")
    try:
        line = process.stdout.readline()
        assert "demo.gguf: listening on http://127.0.0.1:" in line
        connection = post("127.0.0.1", int(line.rsplit(":", 1)[1]), {"input": "Hello there."})
        answer = connection.getresponse()
        assert answer.status == 200
        assert json.loads(answer.headers["X-Pyomni-Receipt"])["model"] == "demo.gguf"
        assert len(answer.read()) > 2000
        connection.close()
    finally:
        process.kill()
        process.communicate()


def test_a_host_for_others_needs_a_key():
    process = command("-m", str(toy()), "--host", "0.0.0.0", "--port", "0")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert "expected --api-key" in err.splitlines()[-1]


def test_a_port_that_is_taken():
    with listen("127.0.0.1", 0) as sock:
        sock.listen()
        process = command("-m", str(toy()), "--port", str(sock.getsockname()[1]))
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert "cannot be listened on" in err


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.example.org", False),
        ("192.168.1.2", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, here: bool):
    assert is_loopback(host) is here
    assert Settings(api_key="k").check_host(host) is None
