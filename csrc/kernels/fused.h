// fma for a file that is compiled for any CPU. Not for the files of one instruction set (see cpu.h).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace omni {

// a * b + c, rounded once. The product is exact in a double; the sum is rounded to odd there, so that rounding it again is
// harmless. A library's fma, where the CPU has none, is many times slower.
static inline float fused(float a, float b, float c) {
#if defined(FP_FAST_FMAF)
    return std::fma(a, b, c);
#else
    const double product = double(a) * double(b), sum = product + double(c), from_c = sum - product;
    const double lost = (product - (sum - from_c)) + (double(c) - from_c);
    int64_t bits;
    std::memcpy(&bits, &sum, sizeof(bits));
    const bool inexact = lost < 0.0 || lost > 0.0;  // neither for what is no number
    bits += inexact && !(bits & 1) ? ((lost > 0.0) == (sum > 0.0) ? 1 : -1) : 0;
    double odd;
    std::memcpy(&odd, &bits, sizeof(odd));
    return float(odd);
#endif
}

} // namespace omni
