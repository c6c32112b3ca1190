"""Routes: what they answer, and what they refuse."""

from __future__ import annotations

import base64
import json
import sys

import numpy as np
import pytest
from http_answers import decoded, error_of
from toys import toy, variant

from pyomni.api import SpeechModel
from pyomni.audio.tempo import stretched
from pyomni.audio.wav import to_int16
from pyomni.options import SpeechOptions
from pyomni.receipt import Receipt, codes_hash

URL = "/v1/audio/speech"
SAY = {"input": "Hello there.", "seed": 7}


@pytest.fixture(scope="module")
def alone():
    with SpeechModel(toy(), device="cpu", threads=1) as model:
        return model.speak("Hello there.", options=SpeechOptions(seed=7))


@pytest.mark.parametrize(
    ("kind", "media", "magic"),
    [
        (None, "audio/mpeg", b""),
        ("mp3", "audio/mpeg", b""),
        ("opus", "audio/ogg", b"OggS"),
        ("aac", "audio/aac", b"\xff"),
        ("flac", "audio/flac", b"fLaC"),
        ("wav", "audio/wav", b"RIFF"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_formats_whole_and_streamed(served, alone, kind, media, magic, stream):
    body = {**SAY, "stream": stream} | ({} if kind is None else {"response_format": kind})
    answer = served().post(URL, json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media
    assert answer.headers["x-audio-sample-rate"] == str(alone.sample_rate)
    assert answer.headers["x-audio-channels"] == "1"
    assert answer.headers["x-request-id"]
    assert answer.content.startswith(magic)
    pcm, rate = decoded(answer.content)
    assert rate in (alone.sample_rate, 48000)
    # an encoder of mp3 pads both ends
    assert abs(len(pcm) / rate - alone.seconds) < (0.12 if kind in (None, "mp3", "aac") else 0.001)
    if kind in ("flac", "wav"):
        assert np.array_equal(pcm, to_int16(alone.audio))


def test_pcm_is_streamed_and_is_what_speak_gives(served, alone):
    answer = served().post(URL, json={**SAY, "response_format": "pcm"})
    assert answer.headers["x-audio-encoding"] == "pcm_s16le"
    assert answer.headers["x-audio-bits-per-sample"] == "16"
    assert answer.content == to_int16(alone.audio).astype("<i2").tobytes()


def test_the_receipt_is_that_of_speak_and_has_no_words(served, alone):
    answer = served().post(URL, json=SAY)
    receipt = Receipt.from_dict(json.loads(answer.headers["x-pyomni-receipt"]))
    assert receipt == alone.receipt.public()
    assert receipt.codes_hash == codes_hash(alone.codes)
    assert "Hello" not in answer.headers["x-pyomni-receipt"]


def test_events(served, alone):
    answer = served().post(URL, json={**SAY, "response_format": "pcm", "stream_format": "sse"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert {e["type"] for e in events[:-1]} == {"speech.audio.delta"}
    assert len(events) > 2
    sound = b"".join(base64.b64decode(e["audio"]) for e in events[:-1])
    assert sound == to_int16(alone.audio).astype("<i2").tobytes()
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["output_tokens"] == len(alone.codes)


@pytest.mark.parametrize("stream", [False, True])
def test_speed_is_that_of_the_filter_and_not_of_the_codes(served, alone, stream):
    body = {**SAY, "response_format": "pcm", "speed": 1.5, "stream": stream}
    answer = served().post(URL, json=body)
    want = np.concatenate(list(stretched([alone.audio], alone.sample_rate, 1.5)))
    assert answer.content == to_int16(want).astype("<i2").tobytes()
    if not stream:
        assert json.loads(answer.headers["x-pyomni-receipt"])["codes_hash"] == codes_hash(alone.codes)


def test_what_needs_av_says_so(served, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    client = served()
    for change, param in (({"speed": 2}, "speed"), ({"response_format": "aac"}, "response_format")):
        error = error_of(client.post(URL, json={**SAY, **change}), 400)
        assert error["param"] == param
        assert "needs the package av" in error["message"]
    assert client.post(URL, json={**SAY, "speed": 1}).status_code == 200


def test_a_language_in_the_models_name(served):
    client = served(kind="custom_voice")
    body = {**SAY, "max_new_tokens": 3}
    changes = [
        {"model": "tts-1-es"},
        {"language": "spanish"},
        {"model": "tts-1-es", "language": "german"},
        {},
    ]
    answers = [client.post(URL, json={**body, **change}) for change in changes]
    found = [json.loads(a.headers["x-pyomni-receipt"])["codes_hash"] for a in answers]
    assert found[0] == found[1]
    assert len(set(found)) == 3


@pytest.mark.parametrize("task", ["Base", "base"])
def test_the_task_is_that_of_the_model(served, task):
    body = {**SAY, "max_new_tokens": 3, "task_type": task, "initial_codec_chunk_frames": 4}
    assert served(kind="base").post(URL, json=body).status_code == 200


def test_a_clip_by_its_speaker_alone_or_by_an_embedding(served, clip):
    client = served(kind="base")
    body = {**SAY, "max_new_tokens": 3}
    given = {"ref_audio": base64.b64encode(clip).decode()}
    with SpeechModel(variant("base"), device="cpu", threads=1) as model:
        row = model.clone(clip).embedding
    answers = [
        client.post(URL, json={**body, **given}),
        client.post(URL, json={**body, **given, "ref_text": "Aa.", "x_vector_only_mode": True}),
        client.post(URL, json={**body, "speaker_embedding": [float(x) for x in row]}),
    ]
    assert len({json.loads(a.headers["x-pyomni-receipt"])["codes_hash"] for a in answers}) == 1
    short = client.post(URL, json={**body, "speaker_embedding": [0.5, 0.5]})
    assert "expected" in error_of(short, 400)["message"]


@pytest.mark.parametrize("model", ["tts-1", "tts-1-hd", "gpt-4o-mini-tts", "toy"])
def test_models_by_their_names(served, model):
    assert served().post(URL, json={**SAY, "model": model, "voice": "alloy", "speed": 1}).status_code == 200


def test_voices_by_name_by_object_and_by_openais_names(served):
    client = served(kind="custom_voice")
    speakers = client.app.state.pyomni.model.speakers
    names = [speakers[0], {"id": speakers[0]}, "alloy"]
    answers = [client.post(URL, json={**SAY, "voice": v, "max_new_tokens": 3}) for v in names]
    assert len({a.headers["x-pyomni-receipt"] for a in answers}) == 1
    other = client.post(URL, json={**SAY, "voice": "echo", "max_new_tokens": 3})
    assert json.loads(other.headers["x-pyomni-receipt"])["voice_name"] == speakers[1]


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"input": None}, 400, "input"),
        ({"input": " "}, 400, "input"),
        ({"input": 3}, 400, "input"),
        ({"input": "\ud800"}, 400, "input"),
        ({"input": "a" * 101}, 413, "input"),
        ({"model": "gpt-9"}, 404, "model"),
        ({"model": []}, 400, "model"),
        ({"voice": "nobody"}, 404, "voice"),
        ({"voice": "../../etc/passwd"}, 404, "voice"),
        ({"voice": "x.voice"}, 404, "voice"),
        ({"voice": 4}, 400, "voice"),
        ({"voice": {"name": "x"}}, 400, "voice"),
        ({"response_format": "ogg"}, 400, "response_format"),
        ({"response_format": 1}, 400, "response_format"),
        ({"speed": 5}, 400, "speed"),
        ({"speed": "fast"}, 400, "speed"),
        ({"speed": True}, 400, "speed"),
        ({"speed": 0.2}, 400, "speed"),
        ({"task_type": "Base"}, 400, "task_type"),
        ({"task_type": "Singing"}, 400, "task_type"),
        ({"task_type": 1}, 400, "task_type"),
        ({"model": "tts-1-xx"}, 404, "model"),
        ({"model": "toy-es"}, 404, "model"),
        ({"initial_codec_chunk_frames": -1}, 400, "initial_codec_chunk_frames"),
        ({"initial_codec_chunk_frames": "4"}, 400, "initial_codec_chunk_frames"),
        ({"x_vector_only_mode": 1}, 400, "x_vector_only_mode"),
        ({"speaker_embedding": "1"}, 400, "speaker_embedding"),
        ({"speaker_embedding": []}, 400, "speaker_embedding"),
        ({"speaker_embedding": [1, "2"]}, 400, "speaker_embedding"),
        ({"speaker_embedding": [1, True]}, 400, "speaker_embedding"),
        ({"speaker_embedding": [10**400]}, 400, "speaker_embedding"),
        ({"speaker_embedding": [1, 2], "ref_audio": "aGVsbG8="}, 400, "speaker_embedding"),
        ({"speaker_embedding": [1, 2]}, 400, None),  # this model does not clone
        ({"stream": "yes"}, 400, "stream"),
        ({"stream_format": "ws"}, 400, "stream_format"),
        ({"instructions": 1}, 400, "instructions"),
        ({"instruct": []}, 400, "instruct"),
        ({"language": 2}, 400, "language"),
        ({"language": "klingon"}, 400, None),
        ({"seed": -1}, 400, "seed"),
        ({"seed": "1"}, 400, "seed"),
        ({"temperature": -1}, 400, "temperature"),
        ({"temperature": 10**400}, 400, "temperature"),
        ({"top_k": 1.5}, 400, "top_k"),
        ({"top_p": 0}, 400, "top_p"),
        ({"repetition_penalty": 0}, 400, "repetition_penalty"),
        ({"max_new_tokens": 0}, 400, "max_new_tokens"),
        ({"ref_audio": "https://example.org/a.wav"}, 400, "ref_audio"),
        ({"ref_audio": "file:///etc/passwd"}, 400, "ref_audio"),
        ({"ref_audio": "data:audio/wav,x"}, 400, "ref_audio"),
        ({"ref_audio": "!"}, 400, "ref_audio"),
        ({"ref_audio": 5}, 400, "ref_audio"),
        ({"ref_text": "hi"}, 400, "ref_text"),
        ({"ref_audio": "aGVsbG8="}, 400, None),  # not sound; and this model does not clone
    ],
)
def test_bad_fields(served, change, status, param):
    raw = json.dumps({**SAY, **change})
    error = error_of(served(max_chars=100).post(URL, content=raw), status)
    assert error["param"] == param


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_bodies_that_are_no_json_object(served, raw):
    error_of(served().post(URL, content=raw), 400)


def test_a_body_beyond_the_limit(served):
    client = served(max_upload=1000)
    error_of(client.post(URL, json={"input": "a" * 2000}), 413)
    error_of(client.post(URL, content=(b"x" * 600 for _ in range(3))), 413)  # no length is given


def test_what_is_not_there(served):
    assert error_of(served().get("/v1/nothing"), 404)["code"] == "not_found"
    error_of(served().get(URL), 405)


def test_the_key(served):
    client = served(api_key="secret")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
        error_of(client.post(URL, json=SAY, headers=headers), 401)
        error_of(client.get("/metrics", headers=headers), 401)
    assert client.get("/health").status_code == client.get("/ready").status_code == 200
    assert client.post(URL, json=SAY, headers={"Authorization": "Bearer secret"}).status_code == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
def test_web_pages_of_others_are_refused_without_a_key(served, headers):
    error_of(served().post(URL, json=SAY, headers=headers), 401)


def test_lists(served):
    client = served()
    assert client.get("/v1/models").json()["data"][0]["id"] == "toy"
    assert client.get("/v1/audio/models").json()["models"][0]["id"] == "toy"
    voices = client.get("/v1/audio/voices").json()["voices"]
    assert [v["id"] for v in voices] == client.app.state.pyomni.model.speakers
    assert all(v["name"] for v in voices)


def test_metrics_count(served):
    client = served()
    client.post(URL, json=SAY)
    client.post(URL, json={})
    text = client.get("/metrics").text
    for row in ("requests_total 2", "requests_failed_total 1", "speeches_total 1", "lanes 2"):
        assert f"\npyomni_{row}\n" in text


def test_a_batch_answers_in_order_and_each_for_itself(served, alone):
    items = [{"input": "Hello there."}, {"input": ""}, {"input": "Two.", "seed": 8}, 5]
    answer = served().post(URL + "/batch", json={"items": items, "seed": 7, "response_format": "pcm"})
    results = answer.json()["results"]
    assert [r["status"] for r in results] == [200, 400, 200, 400]
    assert base64.b64decode(results[0]["audio"]) == to_int16(alone.audio).astype("<i2").tobytes()
    assert results[1]["error"]["param"] == "input"


@pytest.mark.parametrize("items", [None, [], [{"input": "a"}] * 33, {}])
def test_batches_that_are_none(served, items):
    assert error_of(served().post(URL + "/batch", json={"items": items}), 400)["param"] == "items"


# --- voices -----------------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.setenv("PYOMNI_VOICES", str(tmp_path / "voices"))


def test_a_voice_is_made_used_listed_and_deleted(served, library, clip):
    client = served(kind="base")
    sample = base64.b64encode(clip).decode()
    made = client.post("/v1/audio/voices", json={"name": "Ann", "consent": True, "audio_sample": sample})
    assert made.status_code == 201, made.text
    assert made.json()["id"] == "ann"
    form = {"name": "Bea", "consent": "true"}
    made = client.post("/v1/audio/voices", data=form, files={"audio_sample": ("b.wav", clip)})
    assert made.status_code == 201, made.text
    assert [v["id"] for v in client.get("/v1/audio/voices").json()["voices"]] == ["ann", "bea"]
    body = {**SAY, "max_new_tokens": 3}
    saved = client.post(URL, json={**body, "voice": "ann"})
    given = client.post(URL, json={**body, "ref_audio": "data:audio/wav;base64," + sample})
    hashes = [json.loads(a.headers["x-pyomni-receipt"])["codes_hash"] for a in (saved, given)]
    assert hashes[0] == hashes[1]
    assert client.delete("/v1/audio/voices/ann").json()["deleted"]
    error_of(client.delete("/v1/audio/voices/ann"), 404)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"consent": None}, "consent"),
        ({"consent": "no"}, "consent"),
        ({"consent": 1.5}, "consent"),
        ({"name": "../x"}, "name"),
        ({"name": None}, "name"),
        ({"audio_sample": None}, "audio_sample"),
        ({"audio_sample": "http://example.org/a"}, "audio_sample"),
        ({"audio_sample": "aGVsbG8="}, None),
        ({"ref_text": 4}, "ref_text"),
    ],
)
def test_voices_that_are_refused(served, library, clip, change, param):
    good = {"name": "ann", "consent": True, "audio_sample": base64.b64encode(clip).decode()}
    client = served(kind="base")
    error = error_of(client.post("/v1/audio/voices", json={**good, **change}), 400)
    assert error["param"] == param
    assert client.get("/v1/audio/voices").json()["voices"] == []
