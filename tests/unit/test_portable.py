"""What is one system's or one compiler's lies in a file for that system, so csrc builds with others too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "csrc"
SYSTEM = re.compile(r"_(posix|windows)\.cpp$")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# Of POSIX or GNU C++, or on Windows made of other names and 32-bit offsets (core/file.h has what is not).
FOREIGN = re.compile(
    r"__builtin_\w+|__attribute__|__asm__|\bssize_t\b|\boff_t\b|\btypeof\b|\bf(?:open|seeko?|tello?)\("
    r"|<(?:sys/[^>]+|unistd\.h|fcntl\.h|pthread\.h|sched\.h|dlfcn\.h|windows\.h|intrin\.h)>|_cvts[sh]_s[sh]\b"
)
# Each behind an #if for the compiler that has it.
GUARDED = {
    ("core/error.h", "__attribute__"),
    ("kernels/team.cpp", "__asm__"),
    ("core/windows.h", "<windows.h>"),
    ("kernels/cpu_arm.cpp", "<sys/sysctl.h>"),
    ("kernels/cpu_arm.cpp", "<sys/auxv.h>"),
    ("kernels/attend_neon.cpp", "__builtin_prefetch"),
    ("kernels/matvec_neon.cpp", "__builtin_prefetch"),
    ("kernels/matvec_neon.cpp", "__builtin_inff"),
    ("kernels/panel_neon.h", "__builtin_prefetch"),
}


def foreign_in(csrc: Path) -> Iterator[str]:
    """Yield one sentence for each thing that another system or compiler does not have."""
    for path in sorted(p for p in csrc.rglob("*") if p.suffix in {".cpp", ".h"}):
        if SYSTEM.search(path.name):
            continue
        name = path.relative_to(csrc).as_posix()
        code = COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), path.read_text(encoding="utf-8"))
        for number, line in enumerate(code.splitlines(), 1):
            for found in FOREIGN.findall(line):
                if (name, found) not in GUARDED:
                    yield f"{name}:{number}: '{found}' belongs into a file of its system"


def test_csrc_is_for_every_system() -> None:
    assert list(foreign_in(CSRC)) == []


def test_what_one_system_has_the_other_has_too() -> None:
    files = {path.name for path in CSRC.rglob("*.cpp") if SYSTEM.search(path.name)}
    assert files
    for name in files:
        assert {SYSTEM.sub("_posix.cpp", name), SYSTEM.sub("_windows.cpp", name)} <= files


@pytest.mark.parametrize(
    ("line", "n"),
    [
        ("    const off_t at = 0;", 1),
        ("    ssize_t n = 0;", 1),
        ("    size_t n = 0;  // no off_t", 0),
        ("    if (fseeko(f, 0, SEEK_SET)) {", 1),
        ("#include <sys/mman.h>", 1),
        ("    __builtin_memcpy(a, b, 4);", 1),
        ("    v = _cvtsh_ss(x);", 1),
    ],
)
def test_foreign_things_are_seen(tmp_path: Path, line: str, n: int) -> None:
    (tmp_path / "a.cpp").write_text(line + "\n", encoding="utf-8")
    (tmp_path / "a_posix.cpp").write_text(line + "\n", encoding="utf-8")
    assert len(list(foreign_in(tmp_path))) == n
