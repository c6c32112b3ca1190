"""Messages as callers write them: shapes, media in order, roles."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pyomni.errors import ArgumentError
from pyomni.text.messages import MediaPart, parse_messages


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def media_of(*content: Any) -> list[tuple[str, Any]]:
    [message] = parse_messages([user(*content)])
    return [(part.kind, part.source) for part in message.media]


def test_text_and_media_keep_their_order() -> None:
    found = parse_messages(
        [
            {"role": "system", "content": "Be brief."},
            user({"type": "audio", "audio": "a.wav"}, {"type": "text", "text": "and"}, {"image": "b.png"}),
            {"role": "assistant", "content": "Yes."},
            user("more", {"type": "video", "video": "c.mp4", "fps": 2.0}),
        ]
    )
    assert [m.role for m in found] == ["system", "user", "assistant", "user"]
    kinds = [[p if isinstance(p, str) else p.kind for p in m.parts] for m in found]
    assert kinds == [["Be brief."], ["audio", "and", "image"], ["Yes."], ["more", "video"]]
    assert found[0].plain
    assert not found[1].plain
    assert found[1].text == "and"
    [video] = found[3].media
    assert (video.source, video.extra, video.where) == ("c.mp4", {"fps": 2.0}, "messages[3], part 1")


def test_the_shapes_of_the_openai_api() -> None:
    data = base64.b64encode(b"sound").decode()
    assert media_of(
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + data}},
        {"type": "image_url", "image_url": "file:///tmp/a%20b.png"},
        {"type": "video_url", "video_url": {"url": "clip.mp4"}},
        {"audio": b"bytes"},
        {"type": "audio", "audio": ([0.0], 16000)},
    ) == [
        ("audio", b"sound"),
        ("image", b"sound"),
        ("image", "/tmp/a b.png"),
        ("video", "clip.mp4"),
        ("audio", b"bytes"),
        ("audio", ([0.0], 16000)),
    ]


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ("assistant", "messages[0] of role 'assistant' is the first, expected the assistant to answer"),
        ("system", "the last message has role 'system'"),
        ("user system user", "messages[1] of role 'system' follows a message of role 'user'"),
        ("user assistant assistant user", "messages[2] of role 'assistant' follows"),
        ("system assistant user", "messages[1] of role 'assistant' follows a message of role 'system'"),
        ("user tool", "messages[1] of role 'tool' follows a message of role 'user'"),
        ("user assistant", "the last message has role 'assistant', expected a message of a user"),
        ("user robot", "messages[1] has role 'robot', expected one of: system, user, assistant, tool"),
    ],
)
def test_roles_in_another_order(roles: str, words: str) -> None:
    with pytest.raises(ArgumentError) as error:
        parse_messages([{"role": role, "content": "x"} for role in roles.split()])
    assert words in str(error.value)


def test_roles_in_order() -> None:
    for roles in ("user", "system user", "user user", "user assistant user", "user assistant tool tool",
                  "developer user assistant tool assistant user"):  # fmt: skip
        parse_messages([{"role": role, "content": "x"} for role in roles.split()])


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ("hello", "messages is str, expected a list"),
        ([], "messages is empty"),
        (["hello"], "messages[0] is str, expected a mapping"),
        ([{"role": "user"}], "content of type NoneType"),
        ([{"role": "user", "content": []}], "has no content"),
        ([user(3)], "messages[0], part 0 is int"),
        (
            [user({"type": "smell", "smell": 1})],
            "has type 'smell', expected one of: text, audio, image, video",
        ),
        ([user({"type": "text", "text": 3})], "has text of type int"),
        ([user({"type": "audio"})], "of type 'audio' has nothing to open"),
        ([user({"type": "image", "image": None})], "has no image"),
        ([user({"type": "image_url", "image_url": {"url": "https://x.org/a.png"}})], "nothing is fetched"),
        ([user({"type": "input_audio", "input_audio": {"data": "!"}})], "damaged base64"),
    ],
)
def test_other_shapes_are_refused(messages: Any, words: str) -> None:
    with pytest.raises(ArgumentError) as error:
        parse_messages(messages)
    assert words in str(error.value)


def test_a_tool_call_needs_no_content() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
    found = parse_messages([user("x"), call, {"role": "tool", "content": "y"}])
    assert found[1].text == ""
    assert found[1].extra["tool_calls"][0]["function"]["name"] == "f"


def test_a_part_is_not_compared_by_value() -> None:
    # samples are arrays, whose equality is an array
    assert MediaPart("audio", 1, "here") != MediaPart("audio", 1, "here")
