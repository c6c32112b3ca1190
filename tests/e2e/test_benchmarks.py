"""Benchmarks of models that converse run to their end and print one line; the figures are not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from thinker_for_llama_cpp import write_for_llama_cpp
from tiny import tiny_gguf
from tiny_omni import omni_gguf
from toys import toy

SCRIPTS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return omni_gguf(tmp_path_factory.mktemp("omni") / "toy.gguf", "q8_0", thinker__vocab=400)


def line(script: str, *args: object) -> dict[str, Any]:
    [found] = lines(script, *args)
    return found


def lines(script: str, *args: object) -> list[dict[str, Any]]:
    command = [sys.executable, str(SCRIPTS / script), *map(str, args), "-t", "1"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(text) for text in run.stdout.splitlines()]


@pytest.mark.parametrize("apart", [0, 1])
def test_thinkers_in_turns(path: Path, tmp_path: Path, apart: int) -> None:
    file = write_for_llama_cpp(path, tmp_path / "llama-layout.gguf") if apart else path
    turns = ("--engines", "pyomni", "pyomni-packed", "--rounds", 2, "--apart", apart)
    found = line("omni.py", file, *turns, "--prompt", 5, 9, "--decode", 3)
    assert {"prefill_ratio_5", "decode_ratio_9", "read_gb_s", "active_mb", "commit", "machine"} <= set(found)
    for engine in ("pyomni", "pyomni-packed"):
        assert found[engine]["prompt_9"]["decode_tokens_s"] > 0
        assert len(found[engine]["open_s"]) == 1


def test_start_up() -> None:
    command = [sys.executable, str(SCRIPTS / "startup.py"), "--rounds", "1"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    [text] = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.splitlines()
    assert json.loads(text)["first_sound_s"] > 0


def test_lanes_and_late_positions() -> None:
    found = line("lanes.py", toy(), "--lanes", 1, 3, "--positions", 2, 30, "--rounds", 1)
    assert found["lanes"]["1"]["of_one"] == found["growth"]["2"]["of_first"] == 1
    assert found["lanes"]["3"]["talker_ms"] > 0
    assert found["growth"]["30"]["talker_ms"] > 0


def test_prompts_and_steps() -> None:
    found = line("prefill.py", toy(), "--rows", 9, 17, "--at", 12, "--rounds", 1)
    assert set(found["rows"]) == set(found["text"]) == {"9", "17"}
    assert found["rows"]["9"]["node"]["ms"] > 0
    assert found["rows"]["9"]["chain"]["ms"] > 0
    assert found["step_at"]["12"]["ms"] > 0


def test_the_codec_alone() -> None:
    found = line("codec.py", toy(), "--frames", 2, "--calls", 2)
    assert found["s_per_s"] > 0
    assert found["of_peak"] == pytest.approx(
        2 * found["gflops"] / sum(found["peak_gflops"]), rel=0.05, abs=0.01
    )
    assert {"read_gbytes", "kernels", "precision", "commit", "machine"} <= set(found)


def test_answers(path: Path) -> None:
    found = line("reply.py", path, "--tokens", 5, "--frames", 4)
    assert found["text_next"]["tokens"] == 5
    assert found["spoken_next"]["sound_s"] == pytest.approx((4 * 1920 - 555) / 24000, abs=0.01)
    assert {"talker", "code2wav"} <= set(found["loaded_mb"])


def test_a_server_under_load() -> None:
    few = ("--clients", "3", "--lanes", "2", "--requests", "9", "--minutes", "5")
    command = [sys.executable, str(SCRIPTS / "serve_load.py"), str(toy()), "--max-frames", "4", *few]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    [text] = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.splitlines()
    found = json.loads(text)
    assert (found["requests"], found["errors"], found["differing"]) == (9, 0, 0)
    assert found["first_byte_ms"]["median"] <= found["whole_ms"]["p95"]
    assert {"rss_mb", "requests_s", "commit", "machine"} <= set(found)


def test_types_compared(tmp_path: Path) -> None:
    voice = tiny_gguf(tmp_path / "voice.gguf", hidden=256, ff=256, n_groups=4)
    said, heard = tmp_path / "said.txt", tmp_path / "calibration.txt"
    said.write_text("Hello there.\nOne two.\n")
    heard.write_text("Three four five.\n")
    given = (voice, said, "--calibrate", heard, "--max-frames", 4, "--types", "bf16", "q4_k")
    found = {(one["type"], one["imatrix"]): one for one in lines("file_types.py", "quality", *given)}
    assert list(found) == [("bf16", False), ("q4_k", False), ("q4_k", True)]
    near, far, weighted = found.values()
    assert 0 < near["talker_rms"] < far["talker_rms"]
    assert 0 <= near["talker_kl"] < far["talker_kl"]
    assert len(near["agreement"]) == 4
    assert near["agreement"][0] == 1.0
    assert weighted["talker_rms"] != far["talker_rms"]
    assert {"commit", "machine", "bytes", "predictor_max", "frames"} <= set(near)
    turns = lines("file_types.py", "speed", voice, "--frames", 3, "--rounds", 2, "--types", "q8_0", "q4_0")
    assert [(one["round"], one["type"]) for one in turns] == [
        (0, "q8_0"),
        (0, "q4_0"),
        (1, "q8_0"),
        (1, "q4_0"),
    ]
    assert all(one["rtf"] > 0 for one in turns)
    assert not list(tmp_path.glob("pyomni-types-*"))


def test_drafts_and_what_passes_cost() -> None:
    found = lines("speculation.py", "acceptance", "--sentences", 1)
    drafts = [one for one in found if "draft" in one]
    assert {one["group"] for one in drafts} == {1, 2, 3}
    assert all(0 <= one["greedy"] <= 1 and 0 <= one["sampled"] <= 1 for one in drafts)
    assert [one["engine"] for one in found if "engine" in one] == ["greedy", "sampled"]
    cost = line("speculation.py", "cost", toy(), "--rounds", 1)
    assert min(cost["median_ms"].values()) > 0
    assert {"pass_4", "frame", "frame_3"} <= set(cost["median_ratio"])
