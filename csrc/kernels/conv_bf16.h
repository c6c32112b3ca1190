// Cells of BF16, for the instruction sets that have it.
#pragma once

#include "kernels/conv_rows.h"

#include <immintrin.h>

namespace {

// Rounded to the nearest, a tie to the even one; denormal numbers become zero, which the products would take them for.
struct bf16_cells {
    static constexpr long per_cell = 2 * lanes;
    static void store(char * to, const float * x) {
        const auto rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(x));  // of a type that compilers call differently
        memcpy(to, &rounded, 32);
    }
};

} // namespace
