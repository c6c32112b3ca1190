"""Quantizing fails well: one named error, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFWriter
from tiny import tiny_gguf
from tiny_omni import omni_gguf

from pyomni.cli import main
from pyomni.convert import encode, writer
from pyomni.errors import ArgumentError, ModelFileError, ModelFormatError, UnsupportedModel
from pyomni.metadata import Metadata
from pyomni.quantize import quantize_files
from pyomni.quantize.importance import ImportanceFile, Seen, read_importance, write_importance

Q = "talker.blk.0.attn_q.weight"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf(tmp_path_factory.mktemp("quantize") / "f32.gguf", layers=1, cp_layers=1, n_groups=4)


@pytest.fixture
def source(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(clean, tmp_path / "f32.gguf"))


def refused(source: Path, error: type[Exception], *words: str, out: Path | None = None, **how: Any) -> None:
    """It ends with `error`, whose text has the words, and the folder is as it was."""
    before = {path.name: path.stat().st_size for path in source.parent.iterdir()}
    with pytest.raises(error) as caught:
        quantize_files(source, out or source.with_name("out.gguf"), how.pop("type", "q8_0"), **how)
    for word in words:
        assert word in str(caught.value)
    assert {path.name: path.stat().st_size for path in source.parent.iterdir()} == before


def test_unknown_type(source: Path) -> None:
    refused(source, ArgumentError, "q3_k", "iq4_nl", type="q3_k")


def test_source_is_missing_or_none(source: Path) -> None:
    refused(source.with_name("no.gguf"), ModelFileError, "no.gguf: not found")
    text = source.with_name("text.gguf")
    text.write_text("This is not a model.")
    refused(text, ModelFormatError, "expected a GGUF file")
    short = source.with_name("short.gguf")
    short.write_bytes(source.read_bytes()[:-4096])
    refused(short, ModelFormatError, "truncated")


def gguf(path: Path, arch: str, *tensors: tuple[str, np.ndarray]) -> Path:
    w = GGUFWriter(path, arch)
    if arch == "imatrix":
        w.add_type(arch)
    for name, values in tensors:
        w.add_tensor(name, values)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def test_another_architecture(source: Path) -> None:
    path = gguf(source.with_name("other.gguf"), "llama", ("a", np.zeros((2, 32), np.float32)))
    refused(path, UnsupportedModel, "'llama'", "'qwen3-tts'")


def test_tensors_that_are_no_weights(source: Path) -> None:
    for values, words in (
        (np.zeros((2, 0), np.float32), "expected axes from 1"),
        (np.zeros((2, 32), np.int32), "is i32, expected floats or blocks"),
        (np.zeros((2, 32), np.float64), "is f64, expected floats or blocks"),
    ):
        path = gguf(source.with_name("other.gguf"), "qwen3-tts", ("talker.blk.0.attn_q.weight", values))
        refused(path, ModelFormatError, "attn_q", words)


def test_a_tensor_in_two_of_the_files(tmp_path: Path) -> None:
    values = "talker.codec_head.weight", np.zeros((2, 32), np.float32)
    for name in ("o.gguf", "o.speech.gguf"):
        gguf(tmp_path / name, "qwen3-omni", values)
    refused(
        tmp_path / "o.gguf",
        ModelFormatError,
        "o.speech.gguf",
        "codec_head",
        "another of the model's files",
        out=tmp_path / "x.gguf",
    )


def test_the_source_itself_by_any_name(source: Path) -> None:
    refused(source, ArgumentError, "is the file to read", out=source)
    link = source.with_name("link.gguf")
    link.symlink_to(source)
    refused(source, ArgumentError, "is the file to read", out=link)
    hard = source.with_name("hard.gguf")
    os.link(source, hard)
    refused(source, ArgumentError, "is the file to read", out=hard)


def test_quantised_already(source: Path) -> None:
    [small] = quantize_files(source, source.with_name("small.gguf"), "q8_0")
    refused(
        small, ArgumentError, "small.gguf", "quantised already", "is q8_0", "--allow-requantize", type="q4_0"
    )
    [smaller] = quantize_files(small, source.with_name("smaller.gguf"), "q4_0", allow_requantize=True)
    assert "q4_0" in {info.type for info in Metadata.read(smaller).tensors}
    # what has its type already is copied
    [same] = quantize_files(small, source.with_name("same.gguf"), "q8_0", allow_requantize=True)
    assert same.read_bytes() == small.read_bytes()


def test_a_sibling_alone_and_a_name_that_cannot_have_any(tmp_path: Path) -> None:
    omni = omni_gguf(tmp_path / "o.gguf", "bf16")
    refused(tmp_path / "o.media.gguf", ArgumentError, "is a sibling of", "o.gguf", out=tmp_path / "x.gguf")
    refused(omni, ArgumentError, "no name for a file with siblings", out=tmp_path / "x.bin")
    refused(omni, ArgumentError, "is the file to read", out=tmp_path / "o.gguf")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(source: Path, value: float) -> None:
    info = next(info for info in Metadata.read(source).tensors if info.name == Q)
    with source.open("r+b") as file:
        file.seek(info.offset + 40)
        file.write(np.float32(value).tobytes())
    refused(source, ModelFormatError, Q, "no number at all")


def test_output_folder_is_missing(source: Path) -> None:
    refused(source, ModelFileError, "not a folder that is there", out=source.parent / "no" / "o.gguf")


def test_disk_is_too_small(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    refused(source, ModelFileError, "0.00 GB are free")


def test_disk_fills_up_on_the_way(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(encode, "_encode", full)
    refused(source, ModelFileError, "out.gguf", "No space left")


def test_interrupted_half_way_leaves_no_file_of_three(tmp_path: Path) -> None:
    omni = omni_gguf(tmp_path / "o.gguf", "bf16")
    before = sorted(path.name for path in tmp_path.iterdir())

    def progress(name: str, done: int, total: int) -> None:
        if name.startswith("talker."):  # of the last file
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_files(omni, tmp_path / "q.gguf", "q4_k", progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_control_c_leaves_nothing(source: Path) -> None:
    mark = source.with_name("half")
    code = (
        "import sys, time, pathlib\n"
        "from pyomni.quantize import files as quantize\n"
        "from pyomni.cli import main\n"
        "real = quantize.tensor_blocks\n"
        "def slow(*args, **how):\n"
        "    yield from real(*args, **how)\n"
        "    pathlib.Path(sys.argv[3]).touch()\n"
        "    time.sleep(60)\n"
        "quantize.tensor_blocks = slow\n"
        "sys.exit(main(['quantize', sys.argv[1], sys.argv[2], 'q4_k']))\n"
    )
    out = source.with_name("out.gguf")
    child = subprocess.Popen(
        [sys.executable, "-c", code, source, out, mark], cwd=Path(__file__).parents[2], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not mark.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(source.parent.glob(".out.gguf.*.part")), "it was at work"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err.decode().splitlines()[-1]) == (
        130,
        "pyomni: error: interrupted, nothing was written",
    )
    assert sorted(path.name for path in source.parent.iterdir()) == ["f32.gguf", "half"]


# -- importance matrices ----------------------------------------------------------------------------------


def importance(source: Path, **change: Any) -> Path:
    """A file about the toy's first matrix."""
    info = next(info for info in Metadata.read(source).tensors if info.name == Q)
    whole = {Q: Seen(np.ones((1, info.shape[0]), np.float32), np.ones(1, np.float32))}
    path = source.with_name("i.gguf")
    write_importance(
        path, ImportanceFile(change.get("seen", whole), "texts.txt", 3, change.get("checkpoint", ""))
    )
    return path


def test_an_importance_matrix_of_another_model(source: Path) -> None:
    other = {"talker.blk.9.attn_q.weight": Seen(np.ones((1, 8), np.float32), np.ones(1, np.float32))}
    refused(source, ArgumentError, "another model", "blk.9", imatrix=importance(source, seen=other))
    narrow = {Q: Seen(np.ones((1, 8), np.float32), np.ones(1, np.float32))}
    refused(source, ArgumentError, Q, "1 matrices of 8 columns", imatrix=importance(source, seen=narrow))
    refused(source, ArgumentError, "checkpoint 0123", imatrix=importance(source, checkpoint="0123"))


def test_files_that_are_no_importance_matrix(source: Path) -> None:
    refused(source, ModelFileError, "not found", imatrix=source.with_name("none.gguf"))
    refused(source, ModelFormatError, "general.type", "'imatrix'", imatrix=source)
    empty = importance(source, seen={})
    refused(source, ModelFormatError, "holds no sums", imatrix=empty)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_sums_that_cannot_be(source: Path, bad: float) -> None:
    sums = np.ones((1, 64), np.float32)
    sums[0, 3] = bad
    path = importance(source, seen={Q: Seen(sums, np.ones(1, np.float32))})
    with pytest.raises(ModelFormatError, match="not finite or below zero"):
        read_importance(path)


def test_sums_and_counts_that_do_not_fit(source: Path) -> None:
    sums, counts = f"{Q}.in_sum2", f"{Q}.counts"
    ones, one = np.ones((1, 64), np.float32), np.ones((1, 1), np.float32)
    for tensors, words in (
        (((sums, ones),), "with counts none"),
        (((sums, ones), (counts, np.ones((3, 1), np.float32))), r"with counts f32 of shape \[1, 3\]"),
        (((sums, ones), (counts, one.astype(np.float16))), "with counts f16"),
        (((sums, np.ones((2, 2, 64), np.float32)), (counts, np.ones((2, 1), np.float32))), "expected f32"),
        (((sums, np.ones((1, 0), np.float32)), (counts, one)), "expected f32"),
    ):
        path = gguf(source.with_name("odd.gguf"), "imatrix", *tensors)
        with pytest.raises(ModelFormatError, match=words):
            read_importance(path)


def test_an_importance_matrix_cannot_be_written(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelFileError, match="not a folder that is there"):
        write_importance(source.parent / "no" / "i.gguf", ImportanceFile({}, "", 0))
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(ModelFileError, match="are free"):
        importance(source)
    assert [path.name for path in source.parent.iterdir()] == ["f32.gguf"]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("quantize", "f32.gguf", "o.gguf", "q9"), 2, "invalid choice: 'q9'"),
        (("quantize", "f32.gguf", "o.gguf"), 2, "TYPE"),
        (("quantize", "f32.gguf", "f32.gguf", "q8_0"), 4, "is the file to read"),
        (("quantize", "no.gguf", "o.gguf", "q8_0"), 3, "no.gguf: not found"),
        (("quantize", "f32.gguf", "o.gguf", "q8_0", "--tensor-type", "q8_0"), 4, "'q8_0' has no type"),
        (("quantize", "f32.gguf", "o.gguf", "q8_0", "--tensor-type", "blk.*=q8_0"), 4, "'blk.*' fits no"),
        (("imatrix", "f32.gguf", "no.txt", "-o", "i.gguf"), 4, "no.txt: cannot be read"),
        (("imatrix", "f32.gguf", "blank.txt", "-o", "i.gguf"), 4, "holds no text"),
        (("imatrix", "f32.gguf", "texts.txt", "-o", "no/i.gguf"), 3, "not a folder that is there"),
        (("imatrix", "f32.gguf", "texts.txt", "-o", "i.gguf", "--voice", "nobody"), 4, "nobody"),
        (("imatrix", "no.gguf", "texts.txt", "-o", "i.gguf"), 3, "does not exist"),
    ],
)
def test_the_command_line_says_so(
    source: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(source.parent)
    Path("blank.txt").write_text("\n  \n")
    Path("texts.txt").write_text("Hello there.\n")
    before = sorted(path.name for path in source.parent.iterdir())
    assert main(argv) == code
    [line] = capsys.readouterr().err.splitlines()
    assert words in line
    assert sorted(path.name for path in source.parent.iterdir()) == before
