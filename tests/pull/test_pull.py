"""`pyomni pull` from a hub on loopback: models by name, and the command line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from hub_server import HubServer
from hub_toys import OMNI, REPO, TTS, WEIGHTS, models, visible

from pyomni import DownloadError, errors
from pyomni.api import model_path
from pyomni.cli import main
from pyomni.convert import FILE_TYPES, convert
from pyomni.hub import names, store
from pyomni.hub.pulling import pull


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
