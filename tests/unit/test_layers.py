"""The layers: each file uses the ones below it, never above (Python imports, C++ ``#include``)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Bottom first; a module may import from lower rows and its own package. A new module needs a place here.
PYTHON_LAYERS = (
    {"digests", "errors", "siblings"},
    {"audio", "folders", "options", "text", "vision"},
    {"chat_options", "metadata", "receipt", "sampling", "voices"},
    {"_native"},
    {"_binding"},
    {"components"},
    {"pipelines"},
    {"convert"},
    {"hub", "machine", "quantize", "toy"},
    {"api"},
    {"batch", "bench", "compat", "imatrix", "verify"},
    {"doctor", "server"},
    {"cli"},
    {"__main__"},
)
# Where less than all lower rows is allowed. The converter runs where nothing was compiled, but for K types.
PYTHON_ONLY = {
    "_binding": {"errors", "_native"},
    "components": {"_binding", "errors"},
    "convert": {"_binding", "errors", "siblings"},
}

CPP_LAYERS = ("core", "kernels", "blocks", "components", "verbs", "api.cpp")
CPP_FACE = {"omni.h", "omni_api.h"}  # the C types, which every layer may name
CPP_EXTERNAL = re.compile(r"(ggml[\w-]*|gguf)\.h")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)  # where a formula's source may be cited
# a kernel's file for one instruction set
VARIANT = re.compile(r"_(avx2|avx512|avx512_bf16|amx|neon|neon_dotprod|neon_i8mm)$")
MODEL_NAMES = re.compile(r"talker|thinker|predictor|codec|qwen", re.IGNORECASE)


def imports_of(path: Path, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, unit) for each import of the package's own modules; ``pyomni.text.x`` is unit ``text``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "."  # relative: not read here, so not allowed
                continue
            # `from pyomni import options` names a module, `from pyomni.text import x` has named it already
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == package else [module]
        for name in names:
            parts = name.split(".")
            if parts[0] == package and len(parts) > 1:
                yield node.lineno, parts[1]


def python_arrows(package: Path) -> Iterator[str]:
    """Yield one sentence for each import that points up, sideways, or past the binding."""
    rank = {unit: i for i, units in enumerate(PYTHON_LAYERS) for unit in units}
    for path in sorted(package.rglob("*.py")):
        unit = path.relative_to(package).parts[0].removesuffix(".py")
        if unit != "__init__" and unit not in rank:
            yield f"{path.name}: '{unit}' has no place in PYTHON_LAYERS"
            continue
        for line, other in imports_of(path, package.name):
            where = f"{path.relative_to(package.parent).as_posix()}:{line}"
            if other == "_native" and unit != "_binding":
                yield f"{where}: imports _native, which only _binding may"
            elif unit == "__init__" or other == unit or (other not in rank and other.startswith("__")):
                continue  # the public names come from everywhere; a package may import from itself
            elif other not in rank:
                yield f"{where}: imports '{other}', which has no place in PYTHON_LAYERS"
            elif rank[other] >= rank[unit] or other not in PYTHON_ONLY.get(unit, {other}):
                yield f"{where}: {unit} imports {other}, which is not below it"


def cpp_arrows(csrc: Path) -> Iterator[str]:
    """Yield one sentence for each #include that points up or from one component to another."""
    for path in sorted(p for p in csrc.rglob("*") if p.suffix in {".cpp", ".h"}):
        relative = path.relative_to(csrc)
        layer = relative.parts[0]
        if layer in CPP_FACE:
            continue
        if layer not in CPP_LAYERS:
            yield f"{relative.as_posix()}: '{layer}' has no place in CPP_LAYERS"
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if not found or found[1] in CPP_FACE or CPP_EXTERNAL.fullmatch(found[1]):
                continue
            where, other = f"{relative.as_posix()}:{number}", found[1].split("/")[0]
            if not (csrc / found[1]).is_file():
                yield f"{where}: includes '{found[1]}', which is not a path below csrc"
            elif other not in CPP_LAYERS or CPP_LAYERS.index(other) > CPP_LAYERS.index(layer):
                yield f"{where}: {layer} includes {found[1]}, which is not below it"
            elif layer == other == "components" and relative.name != "table.cpp":
                own = relative.with_suffix(".h").as_posix()
                if found[1] not in {"components/component.h", own}:
                    yield f"{where}: a component includes {found[1]}; what two share is a block"


def model_names_in(blocks: Path) -> Iterator[str]:
    """Yield one sentence for each line of a block that names a model."""
    for path in sorted(p for p in blocks.rglob("*") if p.suffix in {".cpp", ".h"}):
        code = COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), path.read_text(encoding="utf-8"))
        for number, line in enumerate(code.splitlines(), 1):
            if found := MODEL_NAMES.search(line):
                yield f"{path.name}:{number}: a block names '{found[0]}'; its parameters lack a field"


def test_python_layers() -> None:
    assert list(python_arrows(ROOT / "pyomni")) == []


def test_cpp_layers() -> None:
    assert list(cpp_arrows(ROOT / "csrc")) == []


def std_headers_in(kernels: Path) -> Iterator[str]:
    """Yield one sentence for each standard header that a file of one instruction set includes."""
    for path in sorted(p for p in kernels.glob("*.cpp") if VARIANT.search(p.stem)):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = re.match(r"\s*#\s*include\s*<([^>]+)>", line)
            if found and found[1] not in {"immintrin.h", "arm_neon.h", "cstddef", "cstdint"}:
                yield f"{path.name}:{number}: includes <{found[1]}>, whose functions may be kept for all"


@pytest.mark.parametrize("folder", ["blocks", "kernels"])
def test_blocks_name_no_model(folder: str) -> None:
    assert list(model_names_in(ROOT / "csrc" / folder)) == []


def test_kernels_of_one_instruction_set_stand_alone(tmp_path: Path) -> None:
    assert list(std_headers_in(ROOT / "csrc" / "kernels")) == []
    (tmp_path / "dot_avx2.cpp").write_text("#include <immintrin.h>\n#include <vector>\n")
    [sentence] = std_headers_in(tmp_path)
    assert "dot_avx2.cpp:2: includes <vector>" in sentence


# --- the tests above would notice -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("pipelines/speech.py", "from pyomni.api import load", "pipelines imports api"),
        (
            "text/tokenizer.py",
            "def f():\n    from pyomni import sampling",
            "text/tokenizer.py:2: text imports sampling",
        ),
        ("convert/writer.py", "import pyomni.metadata.header", "convert imports metadata"),
        ("pipelines/speech.py", "from pyomni._native import lib", "only _binding may"),
        ("__init__.py", "from pyomni import _native", "only _binding may"),
        ("sampling.py", "from .options import Draw", "imports '.'"),
        ("newcomer.py", "import json", "'newcomer' has no place"),
    ],
)
def test_an_upward_import_is_noticed(file: str, text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "pyomni" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    [sentence] = python_arrows(tmp_path / "pyomni")
    assert words in sentence


@pytest.mark.parametrize(
    ("file", "included", "words"),
    [
        ("core/graph.cpp", "blocks/norm.h", "core includes blocks/norm.h"),
        ("blocks/stack.h", "components/component.h", "blocks includes components/component.h"),
        ("components/talker.cpp", "components/other.h", "a component includes components/other.h"),
        ("components/talker.cpp", "verbs/lm.h", "components includes verbs/lm.h"),
        ("core/graph.cpp", "loader.h", "not a path below csrc"),
        ("tools/x.cpp", "omni.h", "'tools' has no place"),
    ],
)
def test_an_upward_include_is_noticed(file: str, included: str, words: str, tmp_path: Path) -> None:
    for name in (
        "core/loader.h",
        "blocks/norm.h",
        "components/component.h",
        "components/other.h",
        "verbs/lm.h",
        file,
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / file).write_text(f'#include "ggml-backend.h"\n#include "omni.h"\n#include "{included}"\n')
    [sentence] = cpp_arrows(tmp_path)
    assert words in sentence


def test_a_models_name_in_a_block_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "attention.h").write_text("/* as in\n   Qwen3 */ int n_head; // Qwen3\nbool is_Talker;\n")
    assert list(model_names_in(tmp_path)) == [
        "attention.h:3: a block names 'Talker'; its parameters lack a field"
    ]


# What the CPU backend has for itself (ggml-cpu.h). A wheel loads it at run time and links nothing of it.
CPU_BACKEND = re.compile(
    r"\bggml_(backend_cpu_|backend_is_cpu|cpu_|get_type_traits_cpu|graph_(compute|plan)\b|is_numa|numa_"
    r"|(get|set|new)_[fi]32|threadpool_(new|free|pause|resume|get_n_threads))\w*\s*\("
)
BUILD_FOR_HERE = ROOT / "csrc/core/backends.cpp"  # calls one where the backend is linked in


def test_csrc_calls_nothing_of_the_cpu_backend() -> None:
    assert CPU_BACKEND.search(BUILD_FOR_HERE.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "csrc").rglob("*.cpp")) + sorted((ROOT / "csrc").rglob("*.h")):
        found = CPU_BACKEND.search(path.read_text(encoding="utf-8"))
        assert path == BUILD_FOR_HERE or not found, f"{path}: {found} is not there in a wheel"
