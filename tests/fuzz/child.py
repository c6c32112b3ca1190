"""Reads one damaged file after the other, in a process of its own; `run.py` starts it.

    python -m fuzz.child READER SEED FIRST COUNT SEEDS SCRATCH

Before each case its number goes to ``SCRATCH/case``, so that whoever finds this process dead knows it. Then
a line of JSON on stdout for each that ended in something else than a PyOmniError, whose file stays in
``SCRATCH/kept``, and one with the counts at the end.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path

#: Seconds of one file, so that one which never ends is a finding: no file here takes a second.
LONGEST = 60
#: Bytes of address space without a sanitizer, which itself takes terabytes and has a limit of its own.
MEMORY = 4 << 30


def use_native(folder: str) -> None:
    """Take the compiled module from another folder than the package's."""
    [path] = Path(folder).glob("_native*")
    spec = importlib.util.spec_from_file_location("pyomni._native", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["pyomni._native"] = module


def random_of(reader: str, seed: int, case: int) -> random.Random:
    """Return the generator of one case, which depends on nothing else."""
    return random.Random(f"{reader} {seed} {case}")


def main(name: str, seed: int, first: int, count: int, seeds: Path, scratch: Path) -> None:
    """Try the cases."""
    from fuzz.readers import READERS

    import pyomni

    reader, ends = READERS[name], Counter[str]()
    number = os.open(scratch / "case", os.O_WRONLY | os.O_CREAT)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends this process wherever it is, in C++ too
    for case in range(first, first + count):
        os.pwrite(number, struct.pack("<Q", case), 0)
        file, data = reader.damage(seeds, random_of(name, seed, case))
        path = scratch / "files" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        signal.alarm(LONGEST)
        try:
            reader.read(path, seeds)
            end = "read"
        except pyomni.PyOmniError as error:
            end = type(error).__name__
            if isinstance(error, pyomni.errors.InternalError):  # it asks to be reported: say what it was
                end = f"{end} {str(error)[:60]!r}"
        except Exception as error:
            end = type(error).__name__
            print(
                json.dumps({"case": case, "end": f"{end}: {error}", "trace": traceback.format_exc()}),
                flush=True,
            )
            kept = scratch / "kept" / str(case)
            kept.mkdir(parents=True)
            shutil.copy(path, kept)
        finally:
            signal.alarm(0)
            path.unlink()
        ends[end] += 1
    print(json.dumps({"done": count, "ends": dict(ends)}), flush=True)


if __name__ == "__main__":
    if native := os.environ.get("PYOMNI_FUZZ_NATIVE"):
        use_native(native)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if "PYOMNI_FUZZ_SANITIZED" not in os.environ:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    reader, seed, first, count, seeds, scratch = sys.argv[1:]
    main(reader, int(seed), int(first), int(count), Path(seeds), Path(scratch))
