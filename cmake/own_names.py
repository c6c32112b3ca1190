"""Write the header that gives ggml's exported functions our own names: ``ggml_init`` is ``pyomni_ggml_init``.

A wheel holds ggml as shared libraries. Another package in the process may have its own ggml, and where that
was loaded with ``RTLD_GLOBAL`` the dynamic linker would take its functions for ours: symbol versions do not
prevent this, other names do. Every file of ggml and of csrc is compiled with the header put before it.

    python cmake/own_names.py OUTPUT.h
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

GGML = Path(__file__).resolve().parents[1] / "vendor" / "ggml"
PREFIX = "pyomni_"

#: Looked up by these names in one library, by its handle.
KEPT = {"ggml_backend_init", "ggml_backend_score"}
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
ATTRIBUTE = re.compile(
    r"GGML_ATTRIBUTE_FORMAT\s*\([^)]*\)|__attribute__\s*\(\([^)]*\)\)|^\s*#[^\n]*", re.MULTILINE
)
EXPORTED = re.compile(r"\bGGML_(?:BACKEND_)?API\b[^;({]*?\b(\w+)\s*\(")


def names(root: Path) -> list[str]:
    """Return the functions that ggml's headers export, sorted."""
    found: set[str] = set()
    for path in sorted([*root.glob("include/*.h"), *root.glob("src/*.h"), *root.glob("src/ggml-cpu/**/*.h")]):
        text = COMMENT.sub("", path.read_text(encoding="utf-8"))
        found.update(EXPORTED.findall(ATTRIBUTE.sub("", text)))
    return sorted(found - KEPT)


def header(root: Path) -> str:
    """Return the text of the header."""
    lines = [f"#define {name} {PREFIX}{name}" for name in names(root)]
    return "\n".join(["#pragma once", *lines, ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(header(GGML), encoding="utf-8")
