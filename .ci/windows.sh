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

configure() { # NAME OPTION...
    local name=$1 launcher=()
    shift
    if command -v ccache >/dev/null; then
        launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    fi
    cmake -S . -B "$out/$name" -G Ninja -DPYOMNI_SMOKE=ON -DGGML_NATIVE=OFF -DGGML_LLAMAFILE=OFF \
        -DPython_EXECUTABLE="$(command -v "$python")" "${launcher[@]}" \
        -DCMAKE_C_FLAGS_RELEASE="-O1 -DNDEBUG" -DCMAKE_CXX_FLAGS_RELEASE="-O1 -DNDEBUG" "$@"
}
build() { cmake --build "$out/$1" -j "$jobs" --target "$2"; } # NAME TARGET
say() { # NAME COMMAND...: what it prints, as lines that end alike
    local name=$1
    shift
    (cd "$out" && "$@" 2>"$name.err") | tr -d '\r' >"$out/$name.txt"
}

configure windows --toolchain "$PWD/cmake/mingw.cmake"
build windows pyomni-system
if command -v wine >/dev/null; then
    configure here
    build here pyomni-system
    export WINEPREFIX WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
    WINEPREFIX="$(cd "$out" && pwd)/wine"
    large="$out/groß ☃.bin" # 5 GiB, of which two pages are stored
    printf 'head' >"$large"
    truncate -s $((5 << 30)) "$large"
    printf 'tail' | dd of="$large" bs=1 seek=$(((5 << 30) - 4)) conv=notrunc status=none
    say system-here here/pyomni-system
    say system-windows wine windows/pyomni-system.exe
    rm "$large"
    diff "$out/system-here.txt" "$out/system-windows.txt"
    echo "windows.sh: files, maps, processors: the same $(wc -l <"$out/system-here.txt") lines under wine"
fi

build windows _native
echo "windows.sh: built $out/windows/pyomni-smoke.exe"
if ! command -v wine >/dev/null; then
    echo "windows.sh: wine is not here, so nothing of it was run: apt-get install wine64 wine" >&2
    exit 0
fi
build here _native
cp pyomni/data/demo.gguf "$out/démo ☃.gguf"
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
