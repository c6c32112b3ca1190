"""A real server on a model that converses: clients that leave, a full queue, deadlines, how it stops."""

from __future__ import annotations

import json
import signal
import threading
from typing import Any

import pytest
from clients import command, fill_the_queue, hang_up, post_to
from toys import omni

from pyomni.api import OmniModel
from pyomni.chat_options import ChatOptions

URL = "/v1/chat/completions"
ENDLESS = {"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 60_000}
ALOUD = {**ENDLESS, "modalities": ["text", "audio"]}
SHORT = {**ENDLESS, "max_tokens": 3}


def post(host: str, port: int, body: dict[str, Any]):
    return post_to(host, port, body, URL)


def tokens_of(response: Any) -> str:
    """Return the text of what is left of a stream, which has to be whole."""
    lines = [line.removeprefix("data: ") for line in response.read().decode().split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines[:-1]]
    return "".join(delta.get("content", "") for delta in deltas)


@pytest.mark.parametrize("body", [ENDLESS, ALOUD])
def test_text_comes_before_the_end_and_who_hangs_up_frees_the_lane(running, body):
    host, port, state = running(kind="omni", lanes=1)
    first = post(host, port, {**body, "stream": True})
    response = first.getresponse()
    assert response.status == 200
    assert len(response.read(100)) == 100
    assert state.scheduler.load()[0] == 1
    hang_up(first, response)
    second = post(host, port, SHORT)
    assert json.loads(second.getresponse().read())["usage"]["completion_tokens"] == 3
    second.close()
    assert state.scheduler.cancelled == 1
    assert state.scheduler.tokens < 60_000


def test_who_hangs_up_before_a_whole_answer(running):
    host, port, state = running(kind="omni", lanes=1)
    first = post(host, port, ENDLESS)
    while state.scheduler.load()[0] == 0:
        threading.Event().wait(0.01)
    hang_up(first)
    second = post(host, port, SHORT)
    assert second.getresponse().status == 200
    second.close()
    assert state.scheduler.cancelled == 1


def test_a_full_queue_says_when_to_try_again(running):
    host, port, state = running(kind="omni", lanes=1, queue=1)
    assert fill_the_queue(host, port, state, URL, {**ENDLESS, "stream": True}, SHORT)


def test_a_deadline_before_the_answer_is_504_and_on_the_way_an_event(running):
    host, port, _state = running(kind="omni", lanes=1, deadline=2.0)
    late = post(host, port, ENDLESS)
    answer = late.getresponse()
    assert answer.status == 504
    assert json.loads(answer.read())["error"]["code"] == "deadline_exceeded"
    late.close()
    late = post(host, port, {**ENDLESS, "stream": True})
    response = late.getresponse()
    assert response.status == 200
    last = [line for line in response.read().decode().split("\n\n") if line][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "deadline_exceeded"
    late.close()


def test_the_command_serves_it_and_finishes_what_runs():
    process = command("-m", str(omni()), "--port", "0", "--json", "--lanes", "2")
    try:
        about = json.loads(process.stdout.readline())
        body = {**ENDLESS, "max_tokens": 600, "seed": 5, "temperature": 0.9, "stream": True}
        connection = post(about["host"], about["port"], body)
        response = connection.getresponse()
        assert response.status == 200
        process.send_signal(signal.SIGTERM)
        text = tokens_of(response)
        connection.close()
        with OmniModel(omni(), device="cpu", threads=1) as model:
            options = ChatOptions(seed=5, temperature=0.9, max_tokens=600)
            assert text == model.reply(body["messages"], options=options).text
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
    finally:
        process.kill()
        process.communicate()
