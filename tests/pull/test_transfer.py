"""Transfers that break, and what is not there: said in a line, spoiling nothing, gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from hub_toys import OMNI, OMNI_REPO, REPO, TTS, WEIGHTS, nothing_half, point_at

from pyomni import DownloadError, ModelFileError, UnsupportedModel
from pyomni.hub import download, store
from pyomni.hub.pulling import pull

# --- transfers that break ---------------------------------------------------------------------------------


def test_an_interrupted_transfer_goes_on(hub: HubServer):
    hub.cut[WEIGHTS] = [1000, 7, 30_000]
    hub.statuses[WEIGHTS] = [503, 429]
    pull(TTS)
    assert hub.transfers(WEIGHTS) == [0, 1000, 1007, 31007]


def test_a_hub_that_wants_to_be_left_alone(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    waited: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waited.append)
    for hub.retry_after, seconds in (("17", 17.0), ("99999", 300.0), ("soon", download.PAUSE)):
        waited.clear()
        hub.statuses[WEIGHTS] = [429]
        pull(TTS, discard=True)
        assert waited == [seconds]
        store.remove(store.Name.expect(TTS))


def test_a_hub_that_knows_no_ranges_sends_it_again(hub: HubServer):
    hub.ranges = False
    hub.cut[WEIGHTS] = [1000]
    done: list[int] = []
    pull(TTS, progress=lambda stage, what, n, total: done.append(n) if stage == "download" else None)
    assert hub.transfers(WEIGHTS) == [0, 0]
    assert done[-1] == sum(file.stat().st_size for file in hub.repos[REPO].rglob("*.safetensors"))


def test_a_hub_that_gives_up_leaves_a_part_to_go_on_with(hub: HubServer):
    hub.cut[WEIGHTS] = [4000] + [0] * 5
    with pytest.raises(
        DownloadError, match=r"model.safetensors broke off 5 times at byte 4000 .*expected \d+"
    ):
        pull(TTS)
    nothing_half()
    assert not (store.downloads(REPO) / WEIGHTS).exists()
    hub.seen.clear()
    pull(TTS)
    assert hub.transfers(WEIGHTS) == [4000]
    assert hub.transfers("config.json") == []


def test_other_bytes_than_promised(hub: HubServer):
    hub.swapped[WEIGHTS] = 1
    pull(TTS)
    assert hub.transfers(WEIGHTS) == [0, 0], "once may be the line"
    hub.swapped["speech_tokenizer/" + WEIGHTS] = hub.swapped["config.json"] = 2
    for repo, words in (("some.one/Voice_2", "config.json has the git checksum"), (OMNI, "config.json has")):
        hub.swapped["config.json"] = 2
        with pytest.raises(DownloadError, match=f"{words}.*, twice; it is not kept"):
            pull(repo)
    with pytest.raises(
        DownloadError, match=rf"speech_tokenizer/{WEIGHTS} has the sha256 \w+, expected \w+, twice"
    ):
        pull("some.one/Voice_2")
    assert not any(store.downloads("some.one/Voice_2").rglob("*.part"))
    pull("some.one/Voice_2")


@pytest.mark.parametrize("change", [-10, 10])
def test_another_size_than_promised(hub: HubServer, monkeypatch: pytest.MonkeyPatch, change: int):
    listing = hub.listing

    def wrong(repo: str) -> dict[str, Any]:
        answer = listing(repo)
        for entry in answer["siblings"]:
            if entry["rfilename"] == WEIGHTS:
                entry["size"] = entry["lfs"]["size"] = entry["size"] + change
        return answer

    monkeypatch.setattr(hub, "listing", wrong)
    words = "has more than the" if change < 0 else "ends before byte|broke off"
    with pytest.raises(DownloadError, match=words):
        pull(TTS)
    nothing_half()


# --- what is not there ------------------------------------------------------------------------------------


def test_no_such_repository(hub: HubServer):
    with pytest.raises(DownloadError, match="nobody/nothing: the hub has no such repository"):
        pull("nobody/nothing")
    nothing_half()


def test_a_repository_behind_terms(hub: HubServer):
    hub.gated = True
    with pytest.raises(DownloadError, match="accepted its terms"):
        pull(TTS)


def test_a_hub_in_trouble(hub: HubServer):
    hub.statuses[""] = [500]
    with pytest.raises(DownloadError, match="answered with status 500"):
        pull(TTS)


def test_a_server_that_is_no_hub(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    for answer in ([], {"id": REPO}, {"id": REPO, "sha": "../..", "siblings": []}, {"id": REPO, "sha": 3}):
        monkeypatch.setattr(hub, "listing", lambda repo, answer=answer: answer)
        with pytest.raises(DownloadError, match="expected a hub's listing"):
            pull(TTS)


def test_names_that_lead_elsewhere_are_not_fetched(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    names = ("../evil.json", "/tmp/evil.json", "speech_tokenizer/../../evil.json", ".hidden.json", "a/b.json")
    listing = hub.listing

    def hostile(repo: str) -> dict[str, Any]:
        answer = listing(repo)
        answer["siblings"] += [{"rfilename": name, "size": 1, "blobId": "0" * 40} for name in names]
        return answer

    monkeypatch.setattr(hub, "listing", hostile)
    pull(TTS)
    assert not {name for name, _ in hub.seen} & set(names)


@pytest.mark.parametrize("path", ["config.json", WEIGHTS, f"speech_tokenizer/{WEIGHTS}"])
def test_a_repository_without_a_file(hub: HubServer, path: str):
    (hub.repos[REPO] / path).unlink()
    with pytest.raises(DownloadError, match=f"has no {path}"):
        pull(TTS)
    assert not any(name.endswith(".safetensors") for name, _ in hub.seen), "seen before the large files"
    nothing_half()


def test_a_file_that_is_listed_and_lost(hub: HubServer):
    hub.lost.add(WEIGHTS)
    with pytest.raises(DownloadError, match=r"the hub lists model.safetensors and has it not"):
        pull(TTS)
    nothing_half()


def test_a_shard_that_is_missing(hub: HubServer):
    next(hub.repos[OMNI_REPO].glob("*-00002-of-*")).unlink()
    with pytest.raises(DownloadError, match=r"has no model-00002-of-00003.safetensors"):
        pull(OMNI)
    assert not any(name.endswith(".safetensors") for name, _ in hub.seen)


def test_another_model(hub: HubServer):
    config = hub.repos[REPO] / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "bert"}))
    with pytest.raises(UnsupportedModel, match="model_type is 'bert'"):
        pull(TTS)
    assert hub.transfers(WEIGHTS) == []


def test_a_checkpoint_that_cannot_be_converted_leaves_no_model(hub: HubServer):
    (hub.repos[REPO] / "vocab.json").unlink()
    with pytest.raises(ModelFileError):
        pull(TTS)
    nothing_half()


# --- no network -------------------------------------------------------------------------------------------


def test_nobody_listens(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    pull(TTS)
    with HubServer({}) as gone:
        pass
    point_at(constants, gone.url, tmp_path, monkeypatch)
    with pytest.raises(DownloadError, match="the hub cannot be reached"):
        pull("some.one/Voice_2")
    told: list[str] = []
    pull(TTS, "f16", tell=told.append)  # of the checkpoint that is here
    assert "using what was downloaded before" in told[0]
    (store.downloads(REPO) / "config.json").unlink()
    with pytest.raises(DownloadError, match="the hub cannot be reached"):
        pull(TTS, "bf16")


def test_offline(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE forbids"):
        pull(TTS)
    assert hub.seen == []
