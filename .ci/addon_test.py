"""Does an add-on work beside the installed pyomni? Outside the source tree; no GPU is needed.

    cd /tmp && venv/bin/python -I .ci/addon_test.py cuda

Where the machine has a device for it, that one is used too; of Vulkan also software such as lavapipe.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import files
from pathlib import Path

import pyomni

BIN = Path(sys.executable).parent
NAME = sys.argv[1]
PACKAGE = Path(pyomni.__file__).resolve().parents[1] / f"pyomni_{NAME}"
#: ggml lists software that calls itself a Vulkan GPU only where it is asked for by number.
SOFTWARE = {"GGML_VK_VISIBLE_DEVICES": "0"}


def run(*words: str, code: int = 0, **env: str) -> tuple[str, str]:
    """Run the command line; return what it wrote to stdout and stderr."""
    command = [str(BIN / "pyomni"), *words]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=1800)
    assert done.returncode == code, f"{words}: ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def devices(**env: str) -> dict[str, str]:
    """Return the check of the devices that ``pyomni doctor`` makes."""
    program = (
        "import json; from pyomni.doctor.install import install_checks as c;"
        "print(json.dumps([one for one in c() if one.name == 'devices'][0].as_dict()))"
    )
    command = [sys.executable, "-I", "-c", program]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return {**found, "stderr": done.stderr}


def test_it_is_found_and_nothing_else_changes() -> None:
    """Without a device, the same sound as before, and no word but doctor's."""
    check = devices()
    print(f"doctor: {check['status']}: {check['measured']}")
    assert check["status"] == "ok", check
    if f"{NAME}: found, no device" in check["measured"]:
        assert not check["stderr"], check
        _, with_it = run("speak", "Hello", "--seed", "1", "-o", "with.wav", "-q")
        run("speak", "Hello", "--seed", "1", "-o", "cpu.wav", "-q", "--device", "cpu")
        assert not with_it, with_it
        assert Path("with.wav").read_bytes() == Path("cpu.wav").read_bytes()
        run("speak", "Hello", "-o", "none.wav", "--device", f"{NAME}0", code=5)


def test_software() -> None:
    """What calls itself a GPU and is none is listed, not taken, and runs where it is asked for."""
    check = devices(**SOFTWARE)
    if "software" not in check["measured"]:
        print("no software for Vulkan is here")
        return
    print(f"doctor: {check['measured']}")
    assert "using cpu" in check["measured"], check
    run("speak", "Hello", "-o", "software.wav", "--device", "vulkan0", "--max-seconds", "0.2", **SOFTWARE)
    assert Path("software.wav").stat().st_size > 1000


def test_another_version_is_refused() -> None:
    """One warning line, and the CPU."""
    init = PACKAGE / "__init__.py"
    text = init.read_text()
    try:
        init.write_text(text.replace(pyomni.__version__, "0.0.9"))
        _, said = run("speak", "Hello", "-o", "other.wav")
    finally:
        init.write_text(text)
    warned = [line for line in said.splitlines() if "warning" in line]
    print(*warned)
    assert len(warned) == 1, said
    assert f"pyomni-{NAME} is not used: it is version 0.0.9, expected {pyomni.__version__}" in warned[0]


def test_uninstalling_leaves_nothing() -> None:
    """Its package goes, and pyomni's stays whole."""
    ours = [Path(str(f.locate())) for f in files("pyomni") or ()]
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "-q", "-y", f"pyomni-{NAME}"], check=True)
    assert not PACKAGE.exists(), list(PACKAGE.iterdir())
    assert not [path for path in ours if not path.exists() and "__pycache__" not in path.parts]
    assert NAME not in devices()["measured"]


def main() -> None:
    """Run the tests in a folder that is thrown away."""
    tests = [test_it_is_found_and_nothing_else_changes, test_another_version_is_refused]
    tests += [test_software] if NAME == "vulkan" else []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for test in [*tests, test_uninstalling_leaves_nothing]:
            test()
            print(f"{test.__name__}: passed", flush=True)
        os.chdir("/")


if __name__ == "__main__":
    main()
