"""No memory, no threads, a full disk, a kill: each ends with a sentence, and the next command works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import tiny_checkpoint
from toys import variant

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and mounts as Linux has them")

#: Runs the command line with so many bytes of address space more than it has once everything is imported.
LIMITED = """
import pathlib, resource, sys
for name in sys.argv.pop(1).split():
    __import__(name)
from pyomni.cli import main
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
now = int(status["VmSize"].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""

EVERYTHING = "numpy.random pyomni soundfile tokenizers pyomni.api.model pyomni.pipelines.engine"


def limited(
    folder: Path, n_bytes: int, *argv: str, imports: str = EVERYTHING
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GGML_NO_BACKTRACE": "1"}
    command = [sys.executable, "-c", LIMITED, imports, str(n_bytes), *argv]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_too_little_memory_to_speak(tmp_path: Path, threads: str) -> None:
    argv = ("speak", "Hi", "-t", threads, "--no-guard", "--max-seconds", "1", "-q", "-o", "a.wav")
    codes = set()
    for n_mib in (1, 4, 12, 20, 64, 200, 2000):
        done = limited(tmp_path, n_mib << 20, *argv, "-m", str(variant("custom_voice")))
        codes.add(done.returncode)
        assert done.returncode in (0, 5), f"{n_mib} MiB: {done.returncode}, {done.stderr}"
        if done.returncode:
            [line] = done.stderr.splitlines()
            assert line.startswith("pyomni: error: ")
            assert not list(tmp_path.iterdir()), "nothing is left behind"
    assert codes == {0, 5}
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_too_little_memory_to_import(tmp_path: Path) -> None:
    argv = ("speak", "Hi", "-t", "1", "-q", "-o", "a.wav", "-m", str(variant("custom_voice")))
    for n_mib in (1, 10, 20, 30, 80, 90):
        done = limited(tmp_path, n_mib << 20, *argv, imports="pyomni")
        if "OpenBLAS error" not in done.stderr:  # which ends the process itself, with 1
            assert done.returncode == 5, f"{n_mib} MiB: {done.returncode}, {done.stderr}"
            assert done.stderr.startswith("pyomni: error: ")
            assert len(done.stderr.splitlines()) == 1
        assert not list(tmp_path.iterdir()), "nothing is left behind"
        assert n_mib > 30 or done.returncode == 5, done.stderr


def test_no_more_threads(tmp_path: Path) -> None:
    # stacks of 8 MiB each: this many are more than the limit
    done = limited(
        tmp_path, 300 << 20, "speak", "Hi", "-t", "200", "-m", str(variant("custom_voice")), "-o", "a.wav"
    )
    assert done.returncode == 5
    assert done.stderr == "pyomni: error: 199 threads could not be started\n"


# --- disks ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", place], check=True)


def run(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "pyomni", *argv]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_a_disk_too_small_for_the_sound(small_disk: Path) -> None:
    argv = (
        "speak",
        "Hi",
        "-t",
        "1",
        "--no-guard",
        "--max-seconds",
        "3",
        "-q",
        "-m",
        str(variant("custom_voice")),
    )
    done = run(small_disk, *argv, "-o", "a.wav")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "pyomni: error: output file 'a.wav' could not be written: No space left on device\n"
    assert list(small_disk.iterdir()) == []
    done = run(small_disk, *argv[:6], "1", *argv[7:], "-o", "a.wav")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in small_disk.iterdir()] == ["a.wav"]


def test_a_disk_too_small_for_the_model(small_disk: Path, tmp_path: Path) -> None:
    source = tiny_checkpoint(tmp_path / "hf")
    done = run(small_disk, "convert", str(source), "model.gguf", "--type", "f32")
    assert done.returncode in (3, 5)
    assert done.stderr.startswith("pyomni: error: ")
    assert list(small_disk.iterdir()) == []


# --- convert, stopped half way ----------------------------------------------------------------------------

#: Converts; half way it says so and waits, in the thread that encodes, for a file.
HALF_WAY = """
import pathlib, sys, time
import pyomni.convert.encode as encode
from pyomni.cli import main
make, calls = encode._encode, []
def slow(*args, **kwargs):
    calls.append(1)
    if len(calls) == 40:
        print("half way", flush=True)
        while not pathlib.Path("../go on").exists():
            time.sleep(0.01)
    return make(*args, **kwargs)
encode._encode = slow
sys.exit(main(["convert", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_convert_stopped_half_way(tmp_path: Path, number: signal.Signals) -> None:
    source = tiny_checkpoint(tmp_path / "hf")
    folder = tmp_path / "out"
    folder.mkdir()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, source, "model.gguf", "--type", "q8_0"],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs us in the background lets its children ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "half way\n"
    [part] = folder.iterdir()
    assert part.name.endswith(".part")
    child.send_signal(number)
    (tmp_path / "go on").touch()
    _, err = child.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert child.returncode == -signal.SIGKILL
    else:
        assert (child.returncode, err) == (130, "pyomni: error: interrupted, nothing was written\n")
        assert list(folder.iterdir()) == []
    assert not (folder / "model.gguf").exists()
    done = run(folder, "convert", str(source), "model.gguf", "--type", "q8_0")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["model.gguf"], (
        "what the killed one left is gone as well"
    )
    assert run(folder, "info", "model.gguf").returncode == 0
