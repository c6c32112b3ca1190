"""Where and on what a benchmark ran: the part every line of output ends with."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import pyomni


def where() -> dict[str, Any]:
    """Return the commit, the machine and the version."""
    return {"commit": commit(), "machine": machine(), "version": pyomni.__version__}


def commit() -> str | None:
    """Return the short hash of the tree this file is in, with a + where it was changed."""
    try:
        run = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def machine() -> str:
    """Return the processor's name and the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"
