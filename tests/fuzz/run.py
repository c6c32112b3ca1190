"""Mutation fuzzing of the readers of strangers' files: any ending but success or a PyOmniError is a finding.

    python tests/fuzz/run.py                                    # every reader, 2000 files each
    python tests/fuzz/run.py gguf session --count 20000 --seed 3 --native build/address/module
    python tests/fuzz/run.py gguf --minutes 600                 # until the time is over
    python tests/fuzz/run.py gguf --seed 3 --only 1234          # one file again

A case is a number: reader, seed and number give the same file again. Children read some hundred files each;
where one dies, another goes on behind it. Files that ended badly stay in --keep. Exit code 1 on any finding.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
NAMES = ["gguf", "quantize", "voice", "session", "wav", "safetensors"]
BATCH = 1000  # files of one child
MAX_FINDINGS = 20  # of one reader, after which more of them say nothing new

#: A size that was believed is an error or, where C++ asked with new, a report; memory that is never given
#: back is not looked for, since Python keeps a lot of it.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096"
    ":hard_rss_limit_mb=6000:quarantine_size_mb=64:detect_stack_use_after_return=0:handle_abort=1",
    "TSAN_OPTIONS": f"exitcode=66:suppressions={Path(__file__).with_name('tsan.supp')}",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"
    f":suppressions={Path(__file__).with_name('ubsan.supp')}",
}


def environment(native: Path | None) -> dict[str, str]:
    """Return the environment of a child: this import path, and the sanitizers of a module built so."""
    path = [
        str(TESTS),
        *(entry for entry in sys.path if entry and Path(entry).resolve() != Path(__file__).parent),
    ]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1", "PYOMNI_CACHE_MB": "0"}
    if native is None:
        return env
    env["PYOMNI_FUZZ_NATIVE"] = str(native.resolve())
    [module] = native.glob("_native*")
    needed = subprocess.run(["ldd", module], capture_output=True, text=True, check=True).stdout
    # libstdc++ as well: the sanitizer looks for its functions at the start, before Python loads any C++
    wanted = [line.split()[2] for line in needed.splitlines() if "san.so" in line or "libstdc++.so" in line]
    if any("san.so" in library for library in wanted):
        env |= {**SANITIZERS, "LD_PRELOAD": " ".join(wanted), "PYOMNI_FUZZ_SANITIZED": "1"}
    return env


class Run:
    """The cases of one reader.

    Parameters
    ----------
    reader, seed : what the cases are made of
    native : folder of another compiled module, or None
    keep : folder for files that ended badly
    """

    def __init__(self, reader: str, seed: int, native: Path | None, keep: Path) -> None:
        self.reader, self.seed, self.keep = reader, seed, keep
        self.env, self.ends, self.findings = environment(native), Counter[str](), 0
        memory = (
            "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        )  # each file is written, and read at once
        self.folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{reader}-", dir=memory))
        self.seeds = self.folder / "seeds"
        self.seeds.mkdir()
        code = "import sys, pathlib; from fuzz.readers import READERS\n"
        code += "READERS[sys.argv[1]].seeds(pathlib.Path(sys.argv[2]))"
        plain = environment(None)
        subprocess.run(
            [sys.executable, "-c", code, reader, self.seeds], env=plain, cwd=self.folder, check=True
        )

    def batch(self, first: int, count: int) -> None:
        """Try some cases, in as many children as it takes."""
        end = first + count
        scratch = Path(tempfile.mkdtemp(dir=self.folder))
        while first < end and self.findings < MAX_FINDINGS:
            command = [
                sys.executable,
                "-m",
                "fuzz.child",
                self.reader,
                str(self.seed),
                str(first),
                str(end - first),
            ]
            child = subprocess.run(
                [*command, self.seeds, scratch], env=self.env, cwd=scratch, capture_output=True, text=True,
                errors="replace", stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
            for line in child.stdout.splitlines():
                told = json.loads(line) if line.startswith("{") else {}
                if "ends" in told:
                    self.ends.update(told["ends"])
                elif "case" in told:
                    self.found(told["case"], told["end"], told["trace"], scratch / "kept" / str(told["case"]))
            if child.returncode == 0:
                break
            if not (scratch / "case").exists():
                raise SystemExit(f"the child could not start:\n{child.stderr}")
            [case] = struct.unpack("<Q", (scratch / "case").read_bytes())
            self.ends["died"] += 1
            self.ends["before one that died"] += case - first
            self.found(case, f"died with {child.returncode}", child.stderr[-6000:], scratch / "files")
            first = case + 1
        shutil.rmtree(scratch, ignore_errors=True)

    def found(self, case: int, end: str, trace: str, files: Path) -> None:
        """Tell about a case that ended badly, and keep its files."""
        self.findings += 1
        print(f"\n{self.reader}: seed {self.seed}, case {case}: {end}\n{trace}", file=sys.stderr, flush=True)
        for path in (path for path in files.rglob("*") if path.is_file()):
            place = self.keep / f"{self.reader}-{self.seed}-{case}-{path.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
            print(f"its file: {place}", file=sys.stderr)
        again = f"python tests/fuzz/run.py {self.reader} --seed {self.seed} --only {case}"
        print(f"to repeat: {again}", file=sys.stderr, flush=True)

    def summary(self) -> str:
        """Return one line: how many files ended how."""
        ends = ", ".join(f"{n} {end}" for end, n in self.ends.most_common())
        return f"{self.reader}: {self.ends.total()} files, {self.findings} findings ({ends})"


def batches(options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of each batch, by count or for so many minutes."""
    if options.only is not None:
        yield options.only, 1
        return
    end, first = time.monotonic() + 60 * (options.minutes or 0), 0
    while time.monotonic() < end if options.minutes else first < options.count:
        yield first, BATCH if options.minutes else min(BATCH, options.count - first)
        first += BATCH


def fuzz(name: str, options: argparse.Namespace) -> Run:
    """Run one reader and return what was found."""
    started = time.monotonic()
    run = Run(name, options.seed, options.native, options.keep)
    try:
        with ThreadPoolExecutor(options.jobs) as pool:
            waiting: list[Any] = []
            for first, count in batches(options):
                waiting.append(pool.submit(run.batch, first, count))
                while len(waiting) > 2 * options.jobs:
                    waiting.pop(0).result()
            for one in waiting:
                one.result()
    finally:
        shutil.rmtree(run.folder, ignore_errors=True)
    print(f"{run.summary()}, {time.monotonic() - started:.0f} s", flush=True)
    return run


def main(argv: list[str] | None = None) -> int:
    """Run as a program: returns 0, or 1 where something was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--count", type=int, default=2000, help="files of each reader")
    parser.add_argument("--minutes", type=float, help="in place of a count: for each reader so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="CASE", help="one case of the seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="children at a time")
    parser.add_argument(
        "--native", type=Path, help="folder of the compiled module, such as one with sanitizers"
    )
    parser.add_argument(
        "--keep", type=Path, default=Path("build/fuzz"), help="folder for files that ended badly"
    )
    options = parser.parse_args(argv)
    if unknown := set(options.readers) - set(NAMES):
        parser.error(f"reader {sorted(unknown)[0]!r}, expected one of {', '.join(NAMES)}")
    runs = [fuzz(name, options) for name in options.readers or NAMES]
    return 1 if any(run.findings for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
