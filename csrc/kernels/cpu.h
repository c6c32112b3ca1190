// Which of our kernels this CPU runs. A kernel is a plain function over memory; one file each per instruction set, named
// for it (dot_avx2.cpp) and compiled for it by CMakeLists.txt, so a build for any x86-64 holds them all and the machine
// decides when it runs. Such a file includes no header that defines inline functions beyond intrinsics: the linker may
// keep its copy of one for the whole module.
#pragma once

#include <cstdint>

namespace omni {

enum class cpu_variant : int32_t {
    scalar,       // any CPU
    neon,         // any aarch64
    neon_dotprod, // and dot products of bytes
    neon_i8mm,    // and products of matrices of bytes
    avx2,         // AVX2, FMA and F16C
    avx512,       // AVX-512 F, BW, DQ, VL and VNNI
    avx512_bf16,  // and BF16 products
};

// The best one here, or the one that $PYOMNI_CPU_VARIANT names where this CPU runs it: what a test compares against.
cpu_variant  cpu_kernels();
bool         cpu_runs(cpu_variant v);
bool         cpu_at_least(cpu_variant v);  // the kernels that run are those of v or of what is built on it
const char * cpu_variant_name(cpu_variant v);

bool arm_runs(cpu_variant v);  // cpu_runs on aarch64

} // namespace omni
