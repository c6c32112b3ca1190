"""Is a wheel what docs/wheels.md says? Size, names of libraries and functions, licences, version.

python .ci/wheel_check.py pyomni-0.1.0-cp310-abi3-manylinux_2_34_x86_64.whl
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LIMIT = 40_000_000  # bytes
LIBRARY = re.compile(r"pyomni/(lib/libpyomni-ggml[\w.-]*\.so|_native\.abi3\.so)")
OWN = re.compile(r"pyomni_\w+|ggml_backend_(init|score)|PyInit__native")
FOREIGN = re.compile(r"(ggml|gguf|quantize|dequantize|iq[23]xs)_\w+")
ROOT = Path(__file__).resolve().parents[1]


def symbols(path: Path) -> tuple[list[str], list[str]]:
    """Return the dynamic symbols that a library defines, and those that it takes from elsewhere."""
    text = subprocess.run(
        ["nm", "-D", "--without-symbol-versions", path], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in text.stdout.splitlines()]
    return [row[-1] for row in rows if row[-2] not in "Uwv"], [row[-1] for row in rows if row[-2] in "Uwv"]


def problems(wheel: Path) -> list[str]:
    """Return a sentence for each thing that is wrong with it."""
    wrong = []
    if wheel.stat().st_size >= LIMIT:
        wrong.append(f"{wheel.stat().st_size} bytes, expected fewer than {LIMIT}")
    found = re.search(r'__version__ = "(.+)"', (ROOT / "pyomni/__init__.py").read_text(encoding="utf-8"))
    version = found[1] if found else "none"
    if not re.fullmatch(
        rf"pyomni-{re.escape(version)}-cp310-abi3-\w+\.whl|pyomni-{re.escape(version)}-cp310-abi3-[\w.]+\.whl",
        wheel.name,
    ):
        wrong.append(f"the name is {wheel.name}, expected pyomni-{version}-cp310-abi3-PLATFORM.whl")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        names = archive.namelist()
        for licence in ("LICENSE", "vendor/ggml/LICENSE"):
            if f"pyomni-{version}.dist-info/licenses/{licence}" not in names:
                wrong.append(f"the licence {licence} is not in it")
        binaries = [name for name in names if ".so" in Path(name).suffixes]
        if not any("ggml-cpu-" in name for name in binaries):
            wrong.append("no library for a CPU is in it")
        for name in binaries:
            if not LIBRARY.fullmatch(name):
                wrong.append(f"{name}: a library in another place or of another name than ours")
            defined, taken = symbols(Path(folder, name))
            wrong += [f"{name}: shows the symbol {s}" for s in defined if not OWN.fullmatch(s)]
            wrong += [
                f"{name}: takes {s} from whichever library has it" for s in taken if FOREIGN.fullmatch(s)
            ]
    return wrong


def told(wheel: Path, wrong: list[str]) -> int:
    """Print what is wrong, and the size; return the exit code."""
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    print(f"{wheel.stat().st_size:10} {wheel.name}")
    return 1 if wrong else 0


def main() -> int:
    """Print what is in it, and what is wrong."""
    wheel = Path(sys.argv[1])
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            if item.filename.endswith(".so"):
                print(f"{item.file_size:10} {item.filename}")
    return told(wheel, problems(wheel))


if __name__ == "__main__":
    sys.exit(main())
