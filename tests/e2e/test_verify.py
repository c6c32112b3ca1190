"""`pyomni verify`: its table on toys and on a model with recorded codes, and misses that it notices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mutate import rewrite
from parity.recordings import FOLDER

from pyomni._binding import Device
from pyomni.cli import main
from pyomni.errors import ArgumentError, ModelFileError
from pyomni.metadata import SpeechMetadata
from pyomni.verify import recording, speech_figures, toy_speaker, toy_speech, toys
from pyomni.verify.codes import Reference, beside, run_codes
from pyomni.verify.folders import converted
from pyomni.verify.speech_engine import gguf
from pyomni.verify.toys import TOYS, Row, run_toys

SPEECH, SPEAKER = TOYS[0], next(toy for toy in TOYS if toy.name == toy_speaker.PACKAGED)
CODES = FOLDER / "gqa.codes.npz"  # made by tools/record_codes.py of the toy `gqa`


@pytest.fixture
def device() -> Iterator[Device]:
    with Device("cpu", 2) as opened:
        yield opened


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The speech toy with one row of one matrix scaled."""

    def scaled(weight: np.ndarray) -> np.ndarray:
        weight = weight.copy()
        weight[3] *= 3
        return weight

    folder = tmp_path_factory.mktemp("damaged")
    return rewrite(gguf("gqa"), folder / "gqa.gguf", tensors={"talker.blk.0.ffn_up.weight": scaled})


def missed(rows: list[Row]) -> set[str]:
    return {row.stage for row in rows if not row.ok}


def test_every_component_has_a_row_and_none_misses(device: Device) -> None:
    rows = list(run_toys(device))
    assert missed(rows) == set()
    assert {row.component.split(",")[0] for row in rows} == {
        "talker", "code predictor", "codec decoder", "talker and predictor", "codec encoder",
        "speaker encoder", "thinker", "omni talker", "omni code predictor", "audio encoder",
        "vision encoder", "code2wav",
    }  # fmt: skip
    assert not any(row.relative for row in rows)


def test_a_quantised_toy_drifts_within_what_is_allowed(device: Device) -> None:
    rows = list(run_toys(device, "q8_0", (SPEECH,)))
    assert missed(rows) == set()
    by_stage = {row.stage: row for row in rows}
    assert 1e-4 < by_stage["talker logits"].reached < by_stage["talker logits"].allowed
    assert not by_stage["full decoder"].relative  # float32 in every type
    assert "greedy codes" not in by_stage


def test_a_damaged_weight_is_a_miss(device: Device, damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_figures, "gguf", lambda name, kind: damaged)
    assert {"talker blocks", "talker hidden", "talker logits"} <= missed(
        list(run_toys(device, "f32", (SPEECH,)))
    )
    monkeypatch.setattr(toys, "TOYS", (SPEECH,))
    assert main(["verify", "--quiet"]) == 6


def test_weights_of_another_last_bit_are_no_miss(device: Device) -> None:
    # as where the system's logarithm is another one: what is compared still holds
    rows = list(run_toys(device, "f32", (replace(SPEAKER, same_weights=lambda: False),)))
    assert len(rows) > 1
    assert missed(rows) == set()


def test_other_weights_and_failures_are_rows(
    device: Device, damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(speech_figures, "gguf", lambda name, kind: damaged)
        rows = list(run_toys(device, "f32", (replace(SPEECH, same_weights=lambda: False),)))
    assert missed(rows)
    assert all(("other weights" in row.detail) is not row.ok for row in rows)

    def broken(device: Device, kind: str) -> Iterator[tuple[str, speech_figures.Figure]]:
        raise ModelFileError("the disk is gone")
        yield

    (row,) = run_toys(device, "f32", (replace(SPEAKER, figures=broken),))
    assert (row.ok, row.detail) == (False, "the disk is gone")
    assert row.as_dict()["reached"] is None


# --- a model with recorded codes ----------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toys, "TOYS", (SPEAKER,))


@pytest.mark.usefixtures("few")
def test_recorded_codes_are_compared(
    capsys: pytest.CaptureFixture[str], damaged: Path, tmp_path: Path
) -> None:
    model = tmp_path / "gqa.gguf"
    model.write_bytes(gguf("gqa").read_bytes())
    beside(model).write_bytes(CODES.read_bytes())
    assert main(["verify", str(model), "--json", "-t", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["reference"]) == (True, str(beside(model)))
    stages = {row["stage"]: row for row in found["rows"]}
    for stage in ("code group 0, forced", "other groups, forced", "greedy codes"):
        assert stages[stage]["reached"] == 0
    assert stages["codes to waveform"]["ok"]

    assert main(["verify", str(damaged), "--reference", str(CODES), "-t", "2"]) == 6
    out = capsys.readouterr().out
    assert "MISS" in out
    assert out.splitlines()[-1].endswith("missed")


@pytest.mark.usefixtures("few")
def test_a_model_without_recorded_codes(capsys: pytest.CaptureFixture[str], tiny_path: Path) -> None:
    assert main(["verify", str(tiny_path), "-t", "2"]) == 0
    assert "no codes" in capsys.readouterr().err
    assert main(["verify", str(tiny_path), "--reference", str(CODES)]) == 4
    assert "is of checkpoint" in capsys.readouterr().err
    assert main(["verify", "--reference", str(CODES)]) == 4


def test_a_quantised_file_is_held_to_choices(device: Device) -> None:
    meta = SpeechMetadata.read(converted(toy_speech.folder("gqa"), "q8_0"))
    rows = {row.stage: row for row in run_codes(meta, Reference.read(CODES), device)}
    assert "greedy codes" not in rows
    assert all(row.ok for row in rows.values()), rows


def test_the_recording_is_the_one_that_was_committed_before() -> None:
    reference, official = Reference.read(CODES), recording.load("gqa")
    for p, (prompt, codes, margins) in enumerate(
        zip(reference.prompts, reference.codes, reference.margins, strict=True)
    ):
        assert prompt == toy_speech.CASES["gqa"].prompts[p]
        np.testing.assert_array_equal(codes, official[f"greedy.{p}"][: len(codes)])
        assert margins.min() > 0
    assert "qwen-tts" in reference.package


def test_a_file_of_codes_is_read_as_it_was_written(tmp_path: Path) -> None:
    reference = Reference.read(CODES)
    copy = replace(reference, path=tmp_path / "copy.codes.npz")
    copy.write()
    again = Reference.read(copy.path)
    assert (again.prompts, again.checkpoint, again.package) == (
        reference.prompts,
        reference.checkpoint,
        reference.package,
    )
    for name in ("codes", "margins", "pcm"):
        for a, b in zip(getattr(again, name), getattr(reference, name), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"\x93NUMPY", b"hello"])
def test_other_files_are_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(raw)
    with pytest.raises(ArgumentError, match="not a file of recorded codes"):
        Reference.read(tmp_path / "x.npz")
    with pytest.raises(ModelFileError, match="cannot be read"):
        Reference.read(tmp_path / "none.npz")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    raw = CODES.read_bytes()
    (tmp_path / "x.npz").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ArgumentError, match="not a file of recorded codes"):
        Reference.read(tmp_path / "x.npz")


@pytest.mark.reference
def test_the_official_package_still_says_this() -> None:
    import sys

    sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))
    from record_codes import record

    stored = Reference.read(CODES)
    fresh = record(toy_speech.folder("gqa"), gguf("gqa"), stored.path, stored.prompts, len(stored.codes[0]))
    assert fresh.checkpoint == stored.checkpoint
    for a, b in zip(fresh.codes, stored.codes, strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ("margins", "pcm"):
        for a, b in zip(getattr(fresh, name), getattr(stored, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)
