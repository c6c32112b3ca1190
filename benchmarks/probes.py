"""What this machine can do, measured beside a benchmark: float32 products and bytes read per second.

Machines of the kind we have are shared and change from minute to minute, so a figure is worth as much as the
probes around it. The loops are C, compiled here for this machine (``cc`` or ``$CC``).

    with probed(threads) as probes:
        ...
    print(json.dumps(probes))
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

SOURCE = r"""
#include <stddef.h>
#include <stdint.h>
#if defined(__AVX512F__)
enum { BYTES = 64, N = 24 };
#elif defined(__AVX__)
enum { BYTES = 32, N = 12 };
#else
enum { BYTES = 16, N = 12 };
#endif
typedef float vec __attribute__((vector_size(BYTES)));
typedef uint64_t word __attribute__((vector_size(BYTES)));

/* Multiply-adds in registers; returns how many floating point operations that were. */
double products(long rounds, float * sink) {
    vec s[N], a = (vec){} + 0.999f, b = (vec){} + 1e-5f;
#pragma GCC unroll 32
    for (int i = 0; i < N; i++) s[i] = (vec){} + (float) i;
    for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 32
        for (int i = 0; i < N; i++) {
            s[i] = s[i] * a + b;
            __asm__ volatile("" : "+REG"(s[i]));
        }
    }
#pragma GCC unroll 32
    for (int i = 0; i < N; i++) *sink += s[i][0];
    return 2.0 * rounds * N * (BYTES / 4);
}

uint64_t read_all(const void * from, size_t n) {
    const word * w = from;
    word s[4] = {{0}};
    for (size_t i = 0; i + 4 <= n / BYTES; i += 4)
        for (int j = 0; j < 4; j++) s[j] += w[i + j];
    s[0] += s[1] + s[2] + s[3];
    return s[0][0];
}
"""
MEGABYTES = 192  # that a thread reads: more than most caches hold
AWAKE_S = 0.5  # so long at most the threads of an engine in this process look for work before they sleep


@cache
def _loops() -> ctypes.CDLL:
    x86 = os.uname().machine in ("x86_64", "AMD64")
    source = SOURCE.replace("+REG", "+v" if x86 else "+w")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probes.c"
        path.write_text(source)
        out = path.with_suffix(".so")
        flags = ["-O3", "-march=native" if x86 else "-mcpu=native", "-ffp-contract=fast"]
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-shared", "-fPIC", *flags, "-o", str(out), str(path)], check=True)
        loops = ctypes.CDLL(str(out))
    loops.products.restype = ctypes.c_double
    loops.products.argtypes = [ctypes.c_long, ctypes.POINTER(ctypes.c_float)]
    loops.read_all.restype = ctypes.c_uint64
    loops.read_all.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return loops


def peak_gflops(threads: int, repeats: int = 5) -> float:
    """Return the most float32 operations per second, in 10**9, of `threads` threads together."""
    loops, rounds = _loops(), 1_000_000

    def work(_: int) -> float:
        return float(loops.products(rounds, ctypes.byref(ctypes.c_float())))

    return _best(work, threads, repeats) / 1e9


def read_gbytes(threads: int, repeats: int = 3) -> float:
    """Return the most bytes read per second, in 10**9, of `threads` threads, each in its own memory."""
    loops, n = _loops(), MEGABYTES << 20
    blocks = [ctypes.create_string_buffer(n) for _ in range(threads)]
    for block in blocks:
        ctypes.memset(block, 1, n)  # else all of it is the same page of zeros

    def work(i: int) -> float:
        loops.read_all(blocks[i], n)
        return n

    return _best(work, threads, repeats) / 1e9


def _best(work: Any, threads: int, repeats: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        rates = []
        for _ in range(repeats):
            start = perf_counter()
            done = sum(pool.map(work, range(threads)))
            rates.append(done / (perf_counter() - start))
    return float(max(rates))


@contextmanager
def probed(threads: int) -> Iterator[dict[str, Any]]:
    """Measure before and after what is inside; the mapping then has both, as [before, after]."""
    found: dict[str, Any] = {"peak_gflops": [], "read_gbytes": []}

    def measure() -> None:
        sleep(AWAKE_S)
        found["peak_gflops"].append(round(peak_gflops(threads), 1))
        found["read_gbytes"].append(round(read_gbytes(threads), 1))

    measure()
    yield found
    measure()
