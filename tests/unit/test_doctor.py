"""`pyomni doctor`: fit files pass, and each check can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from doctor_checks import by_name, make_speech
from mutate import rewrite
from tiny_omni import omni_gguf
from toys import toy, variant

from pyomni.api.result import Speech
from pyomni.cli import main
from pyomni.doctor import (
    FAIL,
    OK,
    SKIP,
    WARN,
    Check,
    arithmetic,
    codec,
    examine,
    file,
    install,
    quantised,
    speech,
)
from pyomni.doctor.check import graded, guarded
from pyomni.doctor.tensors import dequantised, raw_parts, read_tensor, scales_finite
from pyomni.machine import small_talker
from pyomni.metadata import Metadata, SpeechMetadata, read_model

BOOK = "codec_decoder.book.1.weight"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare fewer types with numpy."""
    monkeypatch.setattr(arithmetic, "TYPES", {"f32": 1e-5})


# --- whole runs -------------------------------------------------------------------------------------------


def test_a_toy_is_fit_but_for_its_noise(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(toy()), "--json", "--device", "cpu", "-t", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    status = {check["name"]: check["status"] for check in found["checks"]}
    assert found["ok"]
    assert found["counts"][FAIL] == 0
    fine = [
        "install",
        "devices",
        "ops cpu",
        "file",
        "finite",
        "codebooks",
        "held frame",
        "stream",
        "codes",
        "length",
    ]
    assert {status[name] for name in fine} == {OK}
    assert status["silence"] == WARN  # random weights
    assert status["talker types"] == status["predictor types"] == OK
    for check in found["checks"]:
        if check["status"] in (WARN, FAIL):
            assert all(check[key] for key in ("normal", "means", "advice")), check["name"]


@pytest.mark.usefixtures("quick")
def test_a_damaged_file_ends_with_6_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def spoil(rows: np.ndarray) -> np.ndarray:
        rows[3, 1] = np.nan
        return rows

    path = rewrite(toy(), tmp_path / "bad.gguf", tensors={"talker.blk.1.attn_q.weight": spoil})
    assert main(["doctor", str(path), "--device", "cpu"]) == 6
    out, err = capsys.readouterr()
    assert "not finite: talker.blk.1.attn_q.weight" in out
    assert "convert or download the file again" in " ".join(out.split())
    assert "1 failed" in out.splitlines()[-1]
    assert "Traceback" not in out + err
    assert max(map(len, out.splitlines())) <= 110


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("n", [100, 3000])
def test_a_file_that_was_cut_is_a_failed_check(
    n: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.gguf").write_bytes(toy().read_bytes()[:n])
    assert main(["doctor", str(tmp_path / "cut.gguf"), "--quiet"]) == 6
    out = capsys.readouterr().out
    assert out.startswith("fail file")
    assert "truncated" in out


def test_no_such_file_is_the_usual_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "nowhere.gguf"]) == 3
    assert "nowhere.gguf" in capsys.readouterr().err
    assert main(["doctor", str(toy()), "--device", "abacus9"]) == 5


@pytest.mark.usefixtures("quick")
def test_an_omni_file_says_what_is_not_checked(tmp_path: Path) -> None:
    path = omni_gguf(tmp_path / "omni.gguf")
    checks = by_name(examine(path, "cpu", 1))
    assert checks["model"].status == SKIP
    assert "thinker" in checks["model"].measured
    assert checks["codebooks"].status == checks["held frame"].status == checks["stream"].status == OK
    (tmp_path / "omni.speech.gguf").unlink()
    assert by_name(examine(path, "cpu", 1))["codec"].status == SKIP


def test_a_bug_in_a_check_is_a_failed_check() -> None:
    def broken() -> Iterator[Check]:
        yield Check("one", OK, "fine")
        raise KeyError("two")

    first, second = guarded("family", broken)
    assert (first.name, second.name, second.status) == ("one", "family", FAIL)
    assert "KeyError" in second.measured
    assert "Traceback" in second.trace


def test_without_the_compiled_module_the_file_is_still_looked_at(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pyomni._native'] = None; from pyomni.cli import main; sys.exit(main())"
    run = subprocess.run(
        [sys.executable, "-c", code, "doctor", str(toy()), "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert run.returncode == 6, run.stderr
    status = {check["name"]: check["status"] for check in json.loads(run.stdout)["checks"]}
    assert status["install"] == FAIL
    assert status["file"] == status["finite"] == status["codebooks"] == OK
    assert status["speech"] == SKIP


def test_grades() -> None:
    assert [graded(x, 1, 2) for x in (0.5, 1.5, 3, float("nan"), float("inf"))] == [
        OK,
        WARN,
        FAIL,
        FAIL,
        FAIL,
    ]


# --- the install and the ops ------------------------------------------------------------------------------


def test_a_build_for_another_processor_fails() -> None:
    about = {"AVX2": "1", "AVX512": "1"}
    assert install._processor(about, {"avx2", "avx512f"}).status == OK
    assert install._processor(about, {"avx2"}).status == FAIL
    assert install._processor({"AVX2": "1"}, {"avx2", "avx512f"}).status == WARN
    assert install._processor(about, set()).status == OK  # not Linux: nothing is known


def test_ops_that_compute_something_else_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    right = small_talker._numpy
    monkeypatch.setattr(arithmetic, "TYPES", {"f32": 1e-5})
    monkeypatch.setattr(small_talker, "_numpy", lambda held, rows: tuple(x * 1.01 for x in right(held, rows)))
    assert by_name(arithmetic.arithmetic_checks())["ops cpu"].status == FAIL


# --- the file ---------------------------------------------------------------------------------------------


def test_collapsed_and_unused_entries_are_counted(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    assert file.dead(rows) == (0, 0)
    rows[:5] = 0
    rows[5] *= 1e6
    rows[10:20] = rows[10]
    assert file.dead(rows) == (6, 9)
    path = rewrite(
        toy(), tmp_path / "flat.gguf", tensors={BOOK: lambda book: np.repeat(book[:1], len(book), 0)}
    )
    check = by_name(file.file_checks(read_model(path)))["codebooks"]
    assert check.status == FAIL
    assert "codec_decoder 1" in check.measured


@pytest.mark.parametrize(("kind", "at"), [("q8_0", 0), ("q4_k", 2), ("q6_k", 208), ("q5_1", 2)])
def test_a_scale_that_is_no_number_is_found(kind: str, at: int) -> None:
    from pyomni._binding import quantize

    raw = quantize(kind, np.random.default_rng(0).standard_normal((2, 512)).astype(np.float32)).reshape(-1)
    assert scales_finite(kind, raw)
    raw[at : at + 2] = np.frombuffer(np.float16(np.inf).tobytes(), np.uint8)
    assert not scales_finite(kind, raw)


# --- the codec and speech ---------------------------------------------------------------------------------


def test_a_codec_that_forgets_or_hums_is_noticed() -> None:
    class Info:
        n_vocab = 64

    class Session:
        info = Info()

    class Codec:
        """Noise that never repeats."""

        n_groups, hop, lead, session = 4, 50, 0, Session()

        def __init__(self) -> None:
            self.rng = np.random.default_rng(0)

        def rewind(self) -> None:
            pass

        def decode(self, codes: np.ndarray) -> np.ndarray:
            return (0.1 * self.rng.standard_normal(len(codes) * self.hop)).astype(np.float32)

    checks = by_name(codec.codec_checks(Codec(), 20))  # type: ignore[arg-type]
    assert checks["held frame"].status == checks["stream"].status == FAIL
    assert checks["silence"].status == WARN


def test_levels() -> None:
    assert codec.dbfs(np.ones(10, np.float32)) == pytest.approx(0)
    assert codec.dbfs(np.zeros(10, np.float32)) == -200
    buzz = np.tile(np.random.default_rng(0).standard_normal(50), 4).astype(np.float32)
    assert codec.periodicity(buzz, 50) == 0


def test_what_can_be_wrong_with_a_sentence() -> None:
    rng = np.random.default_rng(0)
    codes, audio = rng.integers(0, 64, (40, 4)), 0.1 * rng.standard_normal(4000)

    def status(speech_: Speech) -> dict[str, str]:
        return {check.name: check.status for check in speech.speech_checks(speech_, 100, 64)}

    good = {"codes": OK, "samples": OK, "length": OK, "ending": OK}
    assert status(make_speech(codes, audio)) == good
    assert status(make_speech(codes, audio, "length")) == {**good, "ending": WARN}
    assert status(make_speech(codes, audio[:-1])) == {**good, "length": FAIL}
    assert status(make_speech(codes, np.sign(audio))) == {**good, "samples": FAIL}
    assert status(make_speech(codes * 0, audio)) == {**good, "codes": FAIL}
    assert status(make_speech(codes + 1, audio))["codes"] == (FAIL if codes.max() == 63 else OK)
    audio[5] = np.nan
    assert status(make_speech(codes, audio))["samples"] == FAIL


def test_models_without_speakers_speak_as_well() -> None:
    for kind in ("base", "voice_design"):
        from pyomni.api import SpeechModel

        with SpeechModel(variant(kind), device="cpu", threads=1) as model:
            # a toy that never ends: the cap on its length is what this is about
            monkey = speech.MOST_SECONDS
            speech.MOST_SECONDS = 0.5
            try:
                assert speech.speak(model).finish_reason != "stop"
            finally:
                speech.MOST_SECONDS = monkey


# --- types against float ----------------------------------------------------------------------------------


def test_a_float_copy_holds_the_same_numbers(tiny_paths: dict[str, Path], tmp_path: Path) -> None:
    meta = Metadata.read(tiny_paths["q8_0"])
    dequantised(meta, tmp_path / "f32.gguf", lambda info: info.name.startswith("talker."))
    copy = Metadata.read(tmp_path / "f32.gguf")
    assert {info.type for info in copy.tensors} == {"f32"}
    by = {info.name: info for info in meta.tensors}
    for info in copy.tensors:
        np.testing.assert_array_equal(read_tensor(copy.path, info), read_tensor(meta.path, by[info.name]))
        assert sum(part.size for part in raw_parts(copy.path, info)) == info.n_bytes
    assert copy.u32("talker.n_layer") == meta.u32("talker.n_layer")


def test_types_against_float(tiny_paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from pyomni._binding import Device

    with Device("cpu", 1) as device:
        for name, words in (("q8_0", "q8_0"), ("f32", "q8_0 (made here")):
            meta = SpeechMetadata.read(tiny_paths[name])
            found = list(quantised.quantised_checks(meta, device))
            assert [check.status for check, _ in found] == [OK, OK]
            drift = found[0][1]
            assert drift is not None
            assert words in drift.types
            assert 1e-4 < drift.hidden < 0.08
            assert len(drift.layers) == meta.meta.u32("talker.n_layer")
        monkeypatch.setattr(quantised, "LARGEST", 1000)
        assert [check.status for check, _ in quantised.quantised_checks(meta, device)] == [SKIP, SKIP]


def test_the_layers_that_add_most_are_named() -> None:
    drift = quantised.Drift("talker", "q4_k", (0.01, 0.05, 0.051, 0.2), 0.2, 0.2, True)
    assert drift.sensitive() == [3, 1]
    assert quantised.Drift("talker", "q4_k", (0.01, 0.02), 0.2, 0.2, True).sensitive() == [1]


# --- official codes -----------------------------------------------------------------------------------------


def test_official_codes_are_compared_and_a_damaged_weight_is_told(tmp_path: Path) -> None:
    from mutate import rewrite
    from parity.recordings import FOLDER

    from pyomni._binding import Device
    from pyomni.doctor.reference import recorded_codes_check, reference_codes_check
    from pyomni.metadata import SpeechMetadata
    from pyomni.verify.codes import beside
    from pyomni.verify.speech_engine import gguf

    def loud(weight: np.ndarray) -> np.ndarray:
        return weight * np.float32(2)

    path = rewrite(gguf("gqa"), tmp_path / "bad.gguf", tensors={"code_predictor.blk.0.ffn_up.weight": loud})
    beside(path).write_bytes((FOLDER / "gqa.codes.npz").read_bytes())
    with Device("cpu", 2) as device:
        assert [check.status for check in reference_codes_check(device)] == [OK]
        (check,) = recorded_codes_check(SpeechMetadata.read(path), device)
        assert check.status == FAIL
        assert "code predictor, other groups" in check.measured
        assert "code group 0" not in check.measured  # the talker is whole
        (check,) = recorded_codes_check(SpeechMetadata.read(gguf("gqa")), device)
        assert check.status == SKIP
