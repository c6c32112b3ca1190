"""Does the installed wheel work? For the Python it is installed in, outside the source tree, no compiler.

    cd /tmp && env -i PATH=venv/bin venv/bin/python -I .ci/wheel_test.py [--variants | --native]

With --variants also each kind of CPU in the wheel, those that run here and those that do not. With --native
what was installed is a build for this machine and has no libraries to choose from.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import pyomni
from pyomni._binding import Device, build_about

PACKAGE = Path(pyomni.__file__).resolve().parent
LIBRARIES = PACKAGE / "lib"
NATIVE = "--native" in sys.argv[1:]


def run(*words: str, variant: str | None = None, code: int = 0) -> str:
    """Run the command line in this folder; return its stdout, or its stderr where a failure is expected."""
    env = {key: value for key, value in os.environ.items() if key != "PYOMNI_CPU_VARIANT"}
    if variant:
        env["PYOMNI_CPU_VARIANT"] = variant
    command = [str(Path(sys.executable).with_name("pyomni")), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == code, (
        f"{words}, {variant}: ended with {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done.stderr if code else done.stdout


def doctor(variant: str | None = None) -> dict[str, dict[str, str]]:
    """Return the checks of ``pyomni doctor``, by name; none of them has failed."""
    checks = {
        check["name"]: check
        for check in json.loads(run("doctor", "--json", "-t", "2", variant=variant))["checks"]
    }
    assert not [c for c in checks.values() if c["status"] == "fail"], checks
    return checks


def test_the_place() -> None:
    """It is the installed package, and nothing here could have compiled it."""
    assert "site-packages" in PACKAGE.parts, PACKAGE
    found = [name for name in ("cc", "gcc", "c++", "g++", "clang", "cmake") if shutil.which(name)]
    assert not found or "CIBUILDWHEEL" in os.environ, f"{found} are on PATH, expected no compiler"


def test_libraries_come_from_the_package_only() -> None:
    """A library in the working directory, where ggml's own search would look, is not loaded."""
    for name in ("libggml-cpu-zen9.so", "libpyomni-ggml-cpu-zen9.so"):
        Path(name).write_bytes(b"not a library")
    with Device("cpu", 1):
        pass
    maps = Path("/proc/self/maps")
    if maps.exists():
        mapped = {line.split()[-1] for line in maps.read_text().splitlines() if "ggml" in line}
        elsewhere = [path for path in mapped if Path(path).resolve().parent != LIBRARIES]
        assert mapped, "no library of ggml is loaded"
        assert not elsewhere, f"{elsewhere} are loaded from elsewhere than {LIBRARIES}"
        assert len([path for path in mapped if "ggml-cpu-" in path]) == 1, mapped


def test_the_command_line() -> None:
    """What a newcomer does first."""
    checks = doctor()
    chosen = build_about().get("cpu")
    assert (chosen is None) == NATIVE, build_about()
    assert NATIVE or f"library {chosen}:" in checks["processor"]["measured"], checks["processor"]
    assert checks["processor"]["status"] == "ok", checks["processor"]
    run("speak", "Hello", "-o", "hello.wav")
    with wave.open("hello.wav") as sound:
        assert sound.getnframes() > sound.getframerate() // 10, sound.getparams()
        assert any(sound.readframes(sound.getnframes())), "silence"
    for words in (["--version"], ["--help"], ["info"], ["voices"]):
        assert run(*words).strip(), words
    run("speak", "Hello", "-m", "missing.gguf", "-o", "none.wav", code=3)
    assert not Path("none.wav").exists()


def test_variants() -> None:
    """Libraries that run here compute what was recorded; the others say so, and so does a wrong name."""
    names = sorted(path.stem.partition("-cpu-")[2] for path in LIBRARIES.glob("*-cpu-*.so"))
    wrong = run("speak", "Hello", "-o", "none.wav", variant="zen9", code=5)
    assert "PYOMNI_CPU_VARIANT is 'zen9', expected" in wrong, wrong
    fit, unfit = [], []
    for name in names:
        program = (
            "from pyomni._binding import build_about as b; print(b().get('cpu')); print(b().get('error'))"
        )
        env = {**os.environ, "PYOMNI_CPU_VARIANT": name}
        said = subprocess.run(
            [sys.executable, "-I", "-c", program], env=env, capture_output=True, text=True, check=True
        )
        cpu, error = said.stdout.splitlines()
        if cpu == name:
            fit.append(name)
        else:
            assert f"PYOMNI_CPU_VARIANT is '{name}', which this CPU does not run" in error, said.stdout
            unfit.append(name)
    assert build_about()["cpu"] in fit, fit
    print("runs here:", *fit, "- does not:", *unfit or ["none"])
    for name in unfit:
        said_here = run("doctor", "-t", "1", variant=name, code=6)
        run("speak", "Hello", "-o", "none.wav", variant=name, code=3)
        assert not Path("none.wav").exists(), said_here
    for name in sorted({fit[0], *{"x64", "haswell"}.intersection(fit), build_about()["cpu"]}):
        checks = doctor(name)
        assert f"library {name}:" in checks["processor"]["measured"], checks["processor"]
        run("verify", "-t", "2", variant=name)
        print(f"{name}: ops and recordings, kernels {checks['kernels']['measured']}")


def main() -> None:
    """Run the tests in a folder that is thrown away."""
    tests = [test_the_place, test_the_command_line]
    if not NATIVE:
        tests.append(test_libraries_come_from_the_package_only)
    if "--variants" in sys.argv[1:]:
        tests.append(test_variants)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for test in tests:
            test()
            print(f"{test.__name__}: passed", flush=True)
        os.chdir("/")


if __name__ == "__main__":
    main()
