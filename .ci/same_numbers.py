"""Do two outputs of tests/native/smoke.c say the same? ``python .ci/same_numbers.py EXPECTED FOUND``.

Words are the same; numbers of a line with an rms differ by at most a hundredth of it, the rms by a
thousandth. The systems' math libraries and the order of sums differ by far less.
"""

from __future__ import annotations

import sys
from pathlib import Path


def differences(expected: list[str], found: list[str]) -> list[str]:
    """Return a sentence for each line that differs."""
    said = [] if len(expected) == len(found) else [f"{len(found)} lines found, expected {len(expected)}"]
    for number, (a, b) in enumerate(zip(expected, found, strict=False), 1):
        if a != b and not _close(a, b):
            said.append(f"line {number} is {b!r}, expected {a!r}")
    return said


def _close(a: str, b: str) -> bool:
    ours, theirs = (dict(word.partition("=")[::2] for word in line.split()) for line in (a, b))
    rms = float(ours.get("rms") or 0)
    if ours.keys() != theirs.keys() or not rms:
        return False
    allowed = {"n": 0.0, "rms": rms / 1000}
    return all(
        abs(float(theirs[k] or 0) - float(v or 0)) <= allowed.get(k, rms / 100) for k, v in ours.items()
    )


if __name__ == "__main__":
    texts = [Path(name).read_text(encoding="utf-8").splitlines() for name in sys.argv[1:3]]
    said = differences(*texts)
    print("\n".join(said) or f"the same {len(texts[0])} lines")
    sys.exit(bool(said) or "done" not in texts[0])
