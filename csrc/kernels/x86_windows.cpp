// By the instructions themselves: MSVC has no words for a processor's features.
#include "kernels/x86.h"

#if defined(_M_X64) || defined(__x86_64__)
#include <immintrin.h>
#include <intrin.h>
#endif

namespace omni {

#if defined(_M_X64) || defined(__x86_64__)

namespace {

struct registers {
    int eax, ebx, ecx, edx;
};

registers cpuid(int leaf, int subleaf) {
    int most[4], r[4];
    __cpuid(most, 0);
    if (leaf > most[0]) {  // it would answer for the last one that it has
        return {};
    }
    __cpuidex(r, leaf, subleaf);
    return {r[0], r[1], r[2], r[3]};
}

bool has(int word, int bit) { return word >> bit & 1; }

bool all(int word, unsigned bits) { return (unsigned(word) & bits) == bits; }

// The registers whose content the system keeps: YMM, and with `wide` ZMM and the masks too.
bool system_keeps(bool wide) {
    const unsigned ymm = 0x06, zmm = 0xe6;
    return has(cpuid(1, 0).ecx, 27) && all(int(_xgetbv(0)), wide ? zmm : ymm);
}

} // namespace

bool x86_runs(cpu_variant v) {
    const registers one = cpuid(1, 0), seven = cpuid(7, 0);
    const bool avx2 = system_keeps(false) && has(one.ecx, 12) && has(one.ecx, 29) && has(seven.ebx, 5);  // FMA, F16C, AVX2
    const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    const bool avx512 = avx2 && system_keeps(true) && all(seven.ebx, f_dq_bw_vl) && has(seven.ecx, 11);  // VNNI
    switch (v) {
        case cpu_variant::avx2:        return avx2;
        case cpu_variant::avx512:      return avx512;
        case cpu_variant::avx512_bf16: return avx512 && seven.eax >= 1 && has(cpuid(7, 1).eax, 5);
        default:                       return false;
    }
}

bool x86_is_intel() {
    const registers r = cpuid(0, 0);
    return r.ebx == 0x756e6547 && r.edx == 0x49656e69 && r.ecx == 0x6c65746e;  // "GenuineIntel"
}

#else

bool x86_runs(cpu_variant) { return false; }
bool x86_is_intel() { return false; }

#endif

bool x86_tiles() { return false; }  // our kernel for them is built for Linux only

} // namespace omni
