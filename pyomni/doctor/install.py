"""The install: what was built, which features of the processor it uses, and which devices there are."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from pyomni import __version__
from pyomni.doctor.check import FAIL, OK, WARN, Check

__all__ = ["install_checks"]

#: ggml's name of a feature to the words by which Linux knows a processor that has it, all of them needed.
LINUX = {
    "SSE3": ("pni",), "SSSE3": ("ssse3",), "AVX": ("avx",), "AVX2": ("avx2",), "F16C": ("f16c",),
    "FMA": ("fma",), "BMI2": ("bmi2",), "AVX_VNNI": ("avx_vnni",), "AVX512": ("avx512f",),
    "AVX512_VBMI": ("avx512vbmi",), "AVX512_VNNI": ("avx512_vnni",), "AVX512_BF16": ("avx512_bf16",),
    "AMX_INT8": ("amx_int8", "amx_tile"), "NEON": ("asimd",), "FP16_VA": ("asimdhp",),
    "MATMUL_INT8": ("i8mm",), "SVE": ("sve",), "DOTPROD": ("asimddp",), "SME": ("sme",),
}  # fmt: skip
#: Without these a build is several times slower than the processor allows.
FAST = ("AVX2", "FMA", "F16C", "AVX512", "DOTPROD")


def install_checks(device: str = "auto", threads: int | None = None) -> Iterator[Check]:
    """Yield the checks of the install; the last one is failed where nothing can be computed."""
    try:
        from pyomni._binding import build_about
    except ImportError as error:
        yield Check(
            "install",
            FAIL,
            f"pyomni {__version__}: the compiled module is not there ({error})",
            "pyomni/_native is beside the Python files and loads",
            "Python runs in the source tree, or the wheel is for another platform or an older C library",
            "run elsewhere than in the source folder; pip install --force-reinstall pyomni",
        )
        return
    about = build_about()
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Check("install", OK, f"pyomni {__version__}, ggml {about.pop('ggml', 'unknown')}, {python}")
    ours, fast, problem = about.pop("kernels", None), about.pop("fast", "none"), about.pop("error", "")
    if problem and not about:  # a wheel has no library for this CPU: nothing can be computed
        yield _kernels(ours, fast, problem)
        return
    check = _processor(about, _linux_flags(), about.pop("cpu", None))
    yield check
    if check.status != FAIL:  # the first product would end the process
        yield _kernels(ours, fast, problem)
        yield _devices(device, threads)


def _linux_flags() -> set[str]:
    """Return the words Linux has for this processor; none elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def _processor(about: dict[str, str], flags: set[str], library: str | None = None) -> Check:
    """Compare the features that kernels use with those the processor has; `library` is what a wheel has."""
    used = [name for name, value in about.items() if value != "0"]
    has = {name for name, words in LINUX.items() if flags.issuperset(words)}
    lacking = [name for name in used if flags and name in LINUX and name not in has]
    unused = [name for name in FAST if name in has and name not in used]
    words = " ".join(used) or "none that ggml names"
    if library:
        words = f"library {library}: {words}"
    normal = "kernels use what this processor has"
    if lacking:
        return Check(
            "processor",
            FAIL,
            f"built for {', '.join(lacking)}, which this processor does not have",
            normal,
            "pyomni was compiled on another machine; it will end with 'illegal instruction'",
            "build it here: pip install --no-binary pyomni pyomni; or build with GGML_NATIVE=OFF",
        )
    if unused and library:
        return Check(
            "processor",
            WARN,
            f"{words}; {', '.join(unused)} not used",
            normal,
            "$PYOMNI_CPU_VARIANT names a library for lesser processors: right, but slower than it could be",
            "unset PYOMNI_CPU_VARIANT",
        )
    if unused:
        return Check(
            "processor",
            WARN,
            f"{words}; {', '.join(unused)} not used",
            normal,
            "a build for any machine: right, but slower than it could be",
            "build it here: pip install --no-binary pyomni pyomni",
        )
    return Check("processor", OK, words, normal)


def _kernels(ours: str | None, fast: str, problem: str) -> Check:
    """Say which of pyomni's own kernels run: `ours`, and `fast` for ``precision="fast"``; or a `problem`."""
    normal = "the best that this processor runs"
    if ours is None:
        asked = "PYOMNI_CPU_VARIANT" in problem
        return Check(
            "kernels",
            FAIL,
            problem,
            normal,
            "no model can be opened",
            "unset PYOMNI_CPU_VARIANT" if asked else "pip install --force-reinstall pyomni",
        )
    return Check("kernels", OK, f"{ours}; precision fast: {'runs exact' if fast == 'none' else fast}", normal)


def _devices(device: str, threads: int | None) -> Check:
    from pyomni._binding import Device, found_devices, load_addons
    from pyomni.machine import pick

    picked, found = pick(device), found_devices()
    with Device(picked.name, threads) as opened:
        name, n = opened.name, opened.n_threads
    listed = [f"{one.name} ({' '.join(one.description.split())})" for one in found]
    for addon in load_addons():
        if addon.problem:
            listed.append(f"{addon.name}: the add-on is not used, {addon.problem}")
        elif not any(one.name.startswith(addon.name) for one in found):
            listed.append(f"{addon.name}: found, no device")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    measured = f"{', '.join([*listed, *picked.problems])}; using {name} with {n} threads: {picked.why}"
    normal = f"a GPU where there is one, at most {cores} threads"
    if picked.problems:
        means = "the driver or the memory is bad, the device is full, or the library is for other GPUs"
        return Check("devices", FAIL if device == name else WARN, measured, normal, means, "--device cpu")
    if any(addon.problem for addon in load_addons()):
        means = "an add-on of another version, or a library it needs is not there"
        return Check("devices", WARN, measured, normal, means, "install pyomni and the add-on together")
    if n > cores:
        means = "threads wait for each other: much slower"
        return Check("devices", WARN, measured, normal, means, f"--threads {cores} or fewer")
    return Check("devices", OK, measured, normal)
