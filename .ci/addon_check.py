"""Is the wheel of an add-on what docs/gpu.md says? One library, its names, what it needs, licences, version.

python .ci/addon_check.py pyomni_vulkan-0.1.0-py3-none-manylinux_2_34_x86_64.whl
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from wheel_check import FOREIGN, OWN, ROOT, symbols, told

LIMIT = 300_000_000  # bytes
SYSTEM = re.compile(r"(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)|ld-linux-[\w-]+)\.so\.\d")
#: What each may need besides: NVIDIA's own packages have the first two, the system of a GPU the third. Not
#: libcuda.so.1, the driver's, so that it can be loaded where there is none.
NEEDED = {"cuda": ("libcudart.so.13", "libcublas.so.13"), "vulkan": ("libvulkan.so.1",)}
BASE = "libpyomni-ggml-base.so"


def dynamic(path: Path) -> tuple[list[str], str]:
    """Return the libraries that a library needs, and where it looks for them first."""
    text = subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, check=True).stdout
    found = re.search(r"R(?:UN)?PATH.*\[(.*)\]", text)
    return re.findall(r"NEEDED.*\[(.*)\]", text), found[1] if found else ""


def problems(wheel: Path) -> list[str]:
    """Return a sentence for each thing that is wrong with it."""
    source = re.search(r'__version__ = "(.+)"', (ROOT / "pyomni/__init__.py").read_text(encoding="utf-8"))
    version = source[1] if source else "none"
    named = re.fullmatch(rf"pyomni_(cuda|vulkan)-{re.escape(version)}-py3-none-[\w.]+\.whl", wheel.name)
    if not named:
        return [f"the name is {wheel.name}, expected pyomni_(cuda|vulkan)-{version}-py3-none-PLATFORM.whl"]
    name, wrong = named[1], []
    if wheel.stat().st_size >= LIMIT:
        wrong.append(f"{wheel.stat().st_size} bytes, expected fewer than {LIMIT}")
    library = f"pyomni_{name}/libpyomni-ggml-{name}.so"
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        files = [p for p in archive.namelist() if ".dist-info/" not in p and not p.endswith("/")]
        if sorted(files) != sorted([library, f"pyomni_{name}/__init__.py"]):
            return [*wrong, f"it holds {files}, expected {library} and the package's __init__.py"]
        info = f"pyomni_{name}-{version}.dist-info"
        for licence in ("LICENSE", "vendor/ggml/LICENSE"):
            if f"{info}/licenses/{licence}" not in archive.namelist():
                wrong.append(f"the licence {licence} is not in it")
        if f"Requires-Dist: pyomni=={version}\n" not in Path(folder, info, "METADATA").read_text():
            wrong.append(f"it does not ask for pyomni=={version}")
        if f'__version__ = "{version}"' not in Path(folder, f"pyomni_{name}/__init__.py").read_text():
            wrong.append(f"its package does not say version {version}")
        defined, taken = symbols(Path(folder, library))
        wrong += [f"shows the symbol {s}" for s in defined if not OWN.fullmatch(s)]
        wrong += [f"takes {s} from whichever library has it" for s in taken if FOREIGN.fullmatch(s)]
        needed, place = dynamic(Path(folder, library))
        strange = [n for n in needed if n != BASE and n not in NEEDED[name] and not SYSTEM.fullmatch(n)]
        wrong += [f"needs {n}" for n in strange]
        if BASE not in needed or "$ORIGIN/../pyomni/lib" not in place.split(":"):
            wrong.append(f"needs {needed} and looks in '{place}', expected {BASE} in $ORIGIN/../pyomni/lib")
    return wrong


def main() -> int:
    """Print what is wrong, or the size."""
    wheel = Path(sys.argv[1])
    return told(wheel, problems(wheel))


if __name__ == "__main__":
    sys.exit(main())
