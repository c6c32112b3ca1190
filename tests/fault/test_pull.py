"""`pyomni pull` from a hub on loopback: what is there is found; failures are said and spoil nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from tiny import tiny_checkpoint
from tiny_omni import omni_checkpoint

from pyomni import DownloadError, ModelFileError, OutputFileError, UnsupportedModel, errors
from pyomni.api import model_path
from pyomni.cli import main
from pyomni.convert import FILE_TYPES, convert
from pyomni.hub import download, names, pulling, store
from pyomni.hub.pulling import pull

TTS, REPO = "qwen3-tts-0.6b-customvoice", "Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice"
OMNI, OMNI_REPO = "qwen3-omni-30b-a3b-instruct", "Qwen/Qwen3-Omni-30B-A3B-Instruct"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Toy checkpoints by repository."""
    folder = tmp_path_factory.mktemp("hub")
    tts = tiny_checkpoint(folder / REPO, head_dim=16, cp_head_dim=16)
    (tts / "README.md").write_text("Nobody needs this.")
    omni = omni_checkpoint(folder / OMNI_REPO, n_shards=3)
    other = shutil.copytree(tts, folder / "some.one/Voice_2")
    return {REPO: tts, OMNI_REPO: omni, "some.one/Voice_2": other}


@pytest.fixture
def hub(sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub, and an empty folder for models."""
    constants = pytest.importorskip("huggingface_hub.constants")
    repos = {repo: shutil.copytree(path, tmp_path / "hub" / repo) for repo, path in sources.items()}
    monkeypatch.setenv("PYOMNI_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("PYOMNI_MODEL", raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.001)
    with HubServer(repos) as server:
        point_at(constants, server.url, tmp_path, monkeypatch)
        yield server


def point_at(constants: Any, url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do here what HF_ENDPOINT and HF_HOME do to a new process."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))


def models() -> Path:
    return Path(os.environ["PYOMNI_MODELS"])


def visible() -> list[str]:
    """Every file in the folder that is not our own business, by its path there."""
    found = (path.relative_to(models()) for path in models().rglob("*") if path.is_file())
    return [path.as_posix() for path in sorted(found) if not path.parts[0].startswith(".")]


def nothing_half() -> None:
    """No model, no leftover of a conversion, and no file under its real name that is not whole."""
    assert visible() == []
    assert not any((models() / ".making").glob("*"))


# --- what works -------------------------------------------------------------------------------------------


def test_a_speech_model_is_fetched_converted_and_found(hub: HubServer, tmp_path: Path):
    stages: list[tuple[str, str, int, int]] = []
    path = pull(f"{TTS}:q8_0", progress=lambda *stage: stages.append(stage))
    assert visible() == [f"{TTS}-q8_0/pulled.json", f"{TTS}-q8_0/{TTS}-q8_0.gguf"]
    # byte for byte what `pyomni convert` makes of the same folder
    assert path.read_bytes() == convert(hub.repos[REPO], tmp_path / "here.gguf", "q8_0").read_bytes()
    assert "README.md" not in {name for name, _ in hub.seen}
    for stage in ("download", "convert"):
        done = [(done, total) for name, _, done, total in stages if name == stage]
        assert done == sorted(done)
        assert done[-1][0] == done[-1][1]
    for name in (TTS, f"{TTS}:q8_0", REPO, f"{REPO.lower()}:Q8_0", str(path)):
        assert model_path(name) == path
    asked = len(hub.seen)
    assert pull(REPO, "q8_0") == path
    assert len(hub.seen) == asked, "what is here is not asked for again"


def test_another_type_costs_no_download(hub: HubServer):
    pull(TTS)
    asked = len(hub.seen)
    path = pull(TTS, "f16")
    assert len(hub.seen) == asked
    assert model_path(f"{TTS}:f16") == path
    assert model_path(TTS) == store.place_of(store.Name.expect(TTS), "q8_0"), "the default type goes first"
    shutil.rmtree(store.place_of(store.Name.expect(TTS), "q8_0").parent)
    assert model_path(TTS) == path, "then any"


def test_an_omni_model_is_three_files(hub: HubServer):
    path = pull(OMNI)
    stem = f"{OMNI}-q4_k"
    assert visible() == [
        f"{stem}/{name}"
        for name in ("pulled.json", f"{stem}.gguf", f"{stem}.media.gguf", f"{stem}.speech.gguf")
    ]
    [one] = store.held()
    assert [file.name for file in one.files] == [f"{stem}.gguf", f"{stem}.media.gguf", f"{stem}.speech.gguf"]
    assert model_path(OMNI) == path
    shards = [name for name, _ in hub.seen if name.endswith(".safetensors")]
    assert len(shards) == len(set(shards)) == 3


def test_any_repository(hub: HubServer):
    path = pull("some.one/Voice_2:f32", discard=True)
    assert visible()[1] == "some.one--Voice_2-f32/some.one--Voice_2-f32.gguf"
    assert model_path("some.one/Voice_2") == path
    assert not store.downloads("some.one/Voice_2").exists(), "discarded"
    pull(TTS)
    pull(TTS, discard=True)
    assert not store.downloads(REPO).exists(), "of a model that was here before, too"


def test_a_model_that_was_pulled_speaks(hub: HubServer):
    import pyomni

    pull(f"{TTS}:f32")
    with pyomni.load(f"{TTS}:f32", device="cpu", threads=1) as model:
        assert model.speakers


def test_a_new_commit_fetches_what_changed(hub: HubServer):
    path = pull(TTS)
    hub.commit = "beef" + "1" * 36
    config = hub.repos[REPO] / "generation_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "top_k": 7}))
    hub.seen.clear()
    assert pull(TTS, force=True) == path
    assert hub.seen == [("generation_config.json", 0)]
    assert store.held()[0].revision == hub.commit


def test_a_mirror_that_lists_names_alone(hub: HubServer):
    hub.bare = True
    hub.cut[WEIGHTS] = [5000]
    pull(TTS)
    assert hub.transfers(WEIGHTS) == [0, 5000]
    hub.seen.clear()
    pull(TTS, "f16")
    assert hub.seen == []
    hub.commit = "beef" + "1" * 36
    pull(TTS, force=True)
    assert hub.transfers(WEIGHTS) == [0], "without checksums a new commit is fetched whole"


def test_a_token_is_sent(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_toy")
    hub.store = hub.url.replace("127.0.0.1", "localhost")  # another host, as far as tokens go
    pull(TTS)
    to_hub = {token for path, token in hub.tokens if not path.startswith("/cdn/")}
    to_store = {token for path, token in hub.tokens if path.startswith("/cdn/")}
    assert (to_hub, to_store) == ({"Bearer hf_toy"}, {None})


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


# --- the disk ---------------------------------------------------------------------------------------------


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Let the disk have so many bytes free, and more when downloads are removed."""
    root = models()

    def _free(folder: Path) -> int:
        return free - store.folder_bytes(root / ".downloads")

    monkeypatch.setattr(pulling, "_free", _free)


def test_no_room_is_said_before_the_large_files(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pulling, "_free", lambda folder: 1000)
    with pytest.raises(OutputFileError, match=r"needs about \d.* GB in .*PYOMNI_MODELS"):
        pull(TTS)
    assert hub.transfers(WEIGHTS) == []


def test_converted_checkpoints_make_room(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    pull(OMNI)
    pull(TTS)
    size = store.folder_bytes(store.downloads(REPO))
    with_free(monkeypatch, 4 * size)
    told: list[str] = []
    pull("some.one/Voice_2:f32", tell=told.append)
    assert store.downloads("some.one/Voice_2").is_dir()
    assert not store.downloads(OMNI_REPO).exists(), "the oldest goes first"
    assert any(OMNI_REPO in text and "make room" in text for text in told)
    assert {one.name for one in store.held()} == {OMNI, TTS, "some.one/Voice_2"}, "no model goes"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up(hub: HubServer):
    folder = store.downloads(REPO)
    pull(TTS)
    listing = pulling.remote.listing(REPO)
    file = next(one for one in listing.files if one.path == WEIGHTS)
    place = folder / "again.safetensors"
    download.part_of(listing, file, place).symlink_to("/dev/full")
    with pytest.raises(OutputFileError, match="No space left"):
        download.fetch(listing, file, place, lambda n_bytes: None)
    assert not place.exists()


def test_a_folder_that_cannot_be_written(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PYOMNI_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(OutputFileError, match="cannot be written"):
        pull(TTS)


# --- killed, and two at once ------------------------------------------------------------------------------


def child(hub: HubServer, tmp_path: Path, code: str) -> subprocess.Popen[str]:
    """Run code in a process of its own that knows of the hub by HF_ENDPOINT alone."""
    env = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


CLI = f"import sys; from pyomni.cli import main; sys.exit(main(['pull', '{TTS}']))"


def test_killed_while_downloading(hub: HubServer, tmp_path: Path):
    hub.hold, hub.held = threading.Event(), 20_000
    process = child(hub, tmp_path, CLI)
    assert hub.holding.wait(60), process.communicate(timeout=5)
    part = next(iter(wait_for(lambda: list(store.downloads(REPO).glob(".model*.part")))))
    wait_for(lambda: part.stat().st_size)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    hub.hold.set()
    hub.hold = None
    nothing_half()
    n_bytes = part.stat().st_size
    hub.seen.clear()
    pull(TTS)
    assert hub.transfers(WEIGHTS) == [n_bytes]


def wait_for(found: Any) -> Any:
    for _ in range(600):
        if result := found():
            return result
        threading.Event().wait(0.05)
    raise AssertionError("it did not come")


def test_killed_while_converting(hub: HubServer, tmp_path: Path):
    code = (
        "import os, signal\nfrom pyomni.hub.pulling import pull\n"
        "def stage(name, what, done, total):\n"
        "    if name == 'convert' and 2 * done > total: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"pull('{TTS}', progress=stage)"
    )
    process = child(hub, tmp_path, code)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert visible() == []
    assert any((models() / ".making").rglob("*.part")), "it was killed half way"
    with pytest.raises(ModelFileError, match=f"pyomni pull {TTS}"):
        model_path(TTS)
    hub.seen.clear()
    path = pull(TTS)
    assert hub.seen == []
    assert path.read_bytes() == convert(hub.repos[REPO], tmp_path / "here.gguf", "q8_0").read_bytes()
    assert not any((models() / ".making").iterdir())


def test_killed_while_replacing(hub: HubServer):
    place = pull(TTS).parent
    aside = store.making() / f"{place.name}.old"
    place.rename(aside)  # what a kill between the two renames leaves
    hub.seen.clear()
    assert pull(TTS).parent == place
    assert hub.seen == []
    assert not aside.exists()


def test_killed_before_a_file_was_noted(hub: HubServer):
    pull(TTS)
    (store.downloads(REPO) / ".pulling.json").unlink()
    config = store.downloads(REPO) / "generation_config.json"
    config.write_bytes(b" " + config.read_bytes()[:-1])  # of the same size, and another
    hub.seen.clear()
    pull(TTS, "f16")
    assert hub.seen == [("generation_config.json", 0)], "what is here is checked, not fetched"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(hub: HubServer, tmp_path: Path, number: int):
    hub.hold, hub.held = threading.Event(), 20_000
    process = child(hub, tmp_path, CLI)
    assert hub.holding.wait(60), process.communicate(timeout=5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == [
        "pyomni: what was downloaded is kept; the same command goes on from there",
        "pyomni: error: interrupted, nothing was written",
    ]
    nothing_half()


def test_two_at_once(hub: HubServer, tmp_path: Path):
    hub.hold, hub.held = threading.Event(), 1000
    processes = [child(hub, tmp_path, CLI)]
    assert hub.holding.wait(60), processes[0].communicate(timeout=5)
    processes.append(child(hub, tmp_path, CLI))
    assert processes[1].stderr is not None
    line = processes[1].stderr.readline()
    assert "another process is pulling" in line
    with pytest.raises(DownloadError, match="another process"):
        store.remove(store.Name.expect(TTS))
    hub.hold.set()
    hub.hold = None
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ""
    assert hub.transfers(WEIGHTS) == [0]


# --- the command line and names ---------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command(hub: HubServer, capsys: pytest.CaptureFixture[str]):
    code, out, err = run(capsys, "pull", TTS, "--json")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert (answer["name"], answer["repo"], answer["type"]) == (TTS, REPO, "q8_0")
    assert answer["revision"] == hub.commit
    assert run(capsys, "info", "-m", TTS)[0] == 0

    code, out, err = run(capsys, "pull", "--list")
    assert code == 0
    assert str(models()) in err
    line = next(line for line in out.splitlines() if line.startswith(f"{TTS} "))
    assert "q8_0 " in line
    assert "checkpoint " in line
    assert len(out.splitlines()) == 8
    listed = json.loads(run(capsys, "pull", "--list", "--json")[1])
    assert [one["here"] != [] for one in listed["models"]] == [one["name"] == TTS for one in listed["models"]]

    (store.downloads("half/way") / "speech_tokenizer").mkdir(parents=True)
    (store.downloads("half/way") / "vocab.json").write_text("{}")
    line = run(capsys, "pull", "--list")[1].splitlines()[-1]
    assert line.startswith("half/way ")
    assert "part of the checkpoint" in line
    assert run(capsys, "pull", "--remove", "half/way")[0] == 0

    run(capsys, "pull", TTS, "--type", "f16")
    assert "q8_0" in run(capsys, "pull", "--remove", f"{TTS}:q8_0")[1]
    assert [one.type for one in store.held()] == ["f16"]
    code, out, err = run(capsys, "pull", "--remove", TTS, "--json")
    assert json.loads(out)["removed"] == [f"{TTS}:f16"]
    assert (visible(), store.downloads(REPO).exists()) == ([], False)
    code, out, err = run(capsys, "pull", "--remove", TTS)
    assert (code, out) == (3, "")
    assert "is not here" in err


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        ((), 2, "found nothing to pull, expected one of NAME, --list or --remove NAME"),
        (("a/b", "--list"), 2, "found NAME and --list"),
        (("qwen3-tts-0.6b-costumvoice",), 4, "did you mean qwen3-tts-0.6b-customvoice?"),
        (("a/b/c",), 4, "is no model's name"),
        (("../b",), 4, "is no model's name"),
        (("a--b/c",), 4, "is no model's name"),
        ((f"{TTS}:q3",), 4, "type 'q3' is unknown, expected one of q8_0"),
        ((f"{TTS}:q8_0", "--type", "f16"), 4, "names type q8_0, and f16 was asked for"),
    ],
)
def test_wrong_usage(
    hub: HubServer, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], code: int, words: str
):
    got, out, err = run(capsys, "pull", *argv)
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert words in err
    assert not models().exists()


def test_one_list_of_types():
    assert sorted(names.TYPES) == sorted(FILE_TYPES)
    assert {default for _, default in names.KNOWN.values()} <= set(FILE_TYPES)


def test_what_was_not_pulled_says_how(hub: HubServer, capsys: pytest.CaptureFixture[str]):
    for name, words in (
        (TTS, f"`pyomni pull {TTS}` fetches it"),
        (f"{REPO}:f16", f"`pyomni pull {TTS}:f16` fetches it"),
        ("owner/repo", "`pyomni pull owner/repo` fetches it"),
        ("qwen3-tts-06b-base", "did you mean qwen3-tts-0.6b-base?"),
        ("folder/no.gguf", "does not exist, expected a GGUF file"),
        ("./folder/no", "does not exist, expected a GGUF file"),
    ):
        code, _, err = run(capsys, "info", name)
        assert (code, err.count("\n")) == (3, 1)
        assert words in err
    with pytest.raises(errors.ArgumentError, match="type 'q9' is unknown"):
        model_path(f"{TTS}:q9")


@pytest.mark.parametrize("package", ["huggingface_hub", "filelock"])
def test_without_the_extra(
    hub: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, package: str
):
    monkeypatch.setitem(sys.modules, package, None)
    code, out, err = run(capsys, "pull", TTS)
    assert (code, out) == (3, "")
    assert err == (
        f"pyomni: error: pulling models needs the package {package}, which is not installed; "
        "pip install 'pyomni[hub]'\n"
    )


def test_with_one_that_is_too_old(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "__version__", "0.36.2")
    with pytest.raises(DownloadError, match=r"needs huggingface_hub 1.0 or newer, found 0.36.2"):
        pull(TTS)
