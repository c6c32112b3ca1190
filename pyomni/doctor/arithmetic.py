"""The ops against numpy: a small talker of random weights, in each type, on each device."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from pyomni.doctor.check import Check, graded
from pyomni.machine.small_talker import BEARABLE, ELSEWHERE, TYPES, SmallTalker

__all__ = ["arithmetic_checks"]


def arithmetic_checks() -> Iterator[Check]:
    """Yield one check for each device."""
    from pyomni._binding import devices

    with tempfile.TemporaryDirectory(prefix="pyomni-doctor-") as folder:
        talkers = {kind: SmallTalker(Path(folder, f"{kind}.gguf"), kind) for kind in TYPES}
        for name, _ in devices():
            found = {kind: talker.difference(name) for kind, talker in talkers.items()}
            limits = TYPES if name == "cpu" else ELSEWHERE
            shares = {kind: value / limits[kind] for kind, value in found.items()}
            worst = max(shares, key=lambda kind: shares[kind])
            yield Check(
                f"ops {name}",
                graded(shares[worst], 1.0, BEARABLE),
                f"relative difference to numpy: {', '.join(f'{k} {v:.0e}' for k, v in found.items())}",
                ", ".join(f"{kind} below {limits[kind]:.0e}" for kind in found),
                f"kernels of {worst} on {name} compute something else: a bad build, driver or memory",
                "another --device; build again with GGML_NATIVE=OFF; please report it",
            )
