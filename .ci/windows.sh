#!/usr/bin/env bash
# csrc and ggml for Windows, cross-compiled with mingw-w64, and where Wine is, run: the program of tests/native/smoke.c
# says there what it says here. Both builds are without optimisation for this machine; the second of two runs is quick.
#
#     apt-get install g++-mingw-w64-x86-64-posix wine64 wine
#     bash .ci/windows.sh [FOLDER]        # build/smoke
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${1:-build/smoke}
python=${PYTHON:-python3}
jobs=${JOBS:-$(nproc)}

if ! command -v x86_64-w64-mingw32-g++-posix >/dev/null; then
    echo "windows.sh: x86_64-w64-mingw32-g++-posix is not here, expected mingw-w64: apt-get install g++-mingw-w64-x86-64-posix" >&2
    exit 3
fi

build() { # NAME OPTION...
    local name=$1 launcher=()
    shift
    if command -v ccache >/dev/null; then
        launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    fi
    cmake -S . -B "$out/$name" -G Ninja -DPYOMNI_SMOKE=ON -DGGML_NATIVE=OFF -DGGML_LLAMAFILE=OFF \
        -DPython_EXECUTABLE="$(command -v "$python")" "${launcher[@]}" \
        -DCMAKE_C_FLAGS_RELEASE="-O1 -DNDEBUG" -DCMAKE_CXX_FLAGS_RELEASE="-O1 -DNDEBUG" "$@"
    cmake --build "$out/$name" -j "$jobs"
}

build windows --toolchain "$PWD/cmake/mingw.cmake"
echo "built: $out/windows/pyomni-smoke.exe"
if ! command -v wine >/dev/null; then
    echo "windows.sh: wine is not here, so the program is built and not run: apt-get install wine64 wine" >&2
    exit 0
fi

build here
cp pyomni/data/demo.gguf "$out/démo ☃.gguf"
say() { # NAME COMMAND...: what it prints, as lines that end alike
    local name=$1
    shift
    (cd "$out" && "$@" 2>"$name.err") | tr -d '\r' >"$out/$name.txt"
}
export WINEPREFIX WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
WINEPREFIX="$(cd "$out" && pwd)/wine"
say here here/pyomni-smoke
for variant in scalar avx2 avx512 avx512_bf16 ""; do
    export PYOMNI_CPU_VARIANT=$variant
    if ! say windows wine windows/pyomni-smoke.exe; then
        if grep -q "which this CPU does not run" "$out/windows.txt"; then
            echo "windows.sh: $variant: this CPU does not run it"
            continue
        fi
        cat "$out/windows.txt" "$out/windows.err" >&2
        echo "windows.sh: the program ended with an error under wine${variant:+, $variant}" >&2
        exit 1
    fi
    grep -E '^(kernels|threads)' "$out/windows.err" | tr -d '\r' | paste -sd ' '
    "$python" .ci/same_numbers.py "$out/here.txt" "$out/windows.txt"
done
