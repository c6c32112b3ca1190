#!/usr/bin/env bash
# The kernels for aarch64 on another machine: built with a cross compiler, run under emulation, and held against the scalar
# ones (tests/native). Which of them a CPU gets is checked with three CPUs.
#
#     bash .ci/aarch64.sh [FOLDER]        to build in: build/aarch64
#
# The compiler and the emulator are installed where they are missing and apt-get may do so. What is needed of Python is
# cmake, ninja and cffi, in the environment that is active.
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:-build/aarch64}
python=$(which python)

if ! command -v aarch64-linux-gnu-g++ >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++-aarch64-linux-gnu libc6-dev-arm64-cross \
        qemu-user >/dev/null
fi

# Python's headers are those of this machine: only what is in the stable ABI is asked of them, and of that nothing is built.
mkdir -p "$build"
cmake -S . -B "$build" -G Ninja --toolchain cmake/aarch64.cmake -DPYOMNI_KERNEL_CHECK=ON -DGGML_NATIVE=OFF \
    -DPython_EXECUTABLE="$python" -DPython_INCLUDE_DIR="$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
    >"$build/log" || { tail -50 "$build/log"; exit 1; }
cmake --build "$build" --target kernel_check >>"$build/log" || { tail -50 "$build/log"; exit 1; }

# with CPU LEVEL...: these levels, no more and no less, run on it, and all they give holds.
with() {
    local cpu=$1 found
    shift
    echo "$cpu:"
    timeout 10m qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu "$cpu" "$build/kernel_check" | tee "$build/said"
    found=$(awk '{ printf "%s ", $1 }' "$build/said")
    if [[ "$found" != "$* " ]]; then
        echo "on $cpu ran: $found- expected: $*" >&2
        return 1
    fi
}
with cortex-a53 scalar neon
with cortex-a76 scalar neon neon_dotprod
with max scalar neon neon_dotprod neon_i8mm
