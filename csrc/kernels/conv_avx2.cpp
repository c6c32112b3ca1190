#include "kernels/conv.h"

#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/conv_narrow.h"

#include <immintrin.h>

namespace {

constexpr long width = 16, max_rows = 6;  // 12 sums, two vectors of the panel and a channel: 15 registers of 16

template <long n> void tile(const omni::conv_product & p, int64_t row) {
    float * sums = p.sums + row * width;
    __m256 low[n], high[n];
#pragma GCC unroll 8
    for (long r = 0; r < n; r++) {
        low[r]  = _mm256_loadu_ps(sums + r * width);
        high[r] = _mm256_loadu_ps(sums + r * width + 8);
    }
    cell_walk walk(p, row);
    const float * w = reinterpret_cast<const float *>(p.panel);
    for (int64_t q = p.first; q < p.last; q++) {
        const float * x = reinterpret_cast<const float *>(walk.next());
#pragma GCC unroll 4
        for (long i = 0; i < 16; i++, w += width) {
            const __m256 w_low = _mm256_loadu_ps(w), w_high = _mm256_loadu_ps(w + 8);
#pragma GCC unroll 8
            for (long r = 0; r < n; r++) {
                const __m256 xi = _mm256_broadcast_ss(x + r * 16 + i);
                low[r]  = _mm256_fmadd_ps(xi, w_low, low[r]);
                high[r] = _mm256_fmadd_ps(xi, w_high, high[r]);
            }
        }
    }
#pragma GCC unroll 8
    for (long r = 0; r < n; r++) {
        _mm256_storeu_ps(sums + r * width, low[r]);
        _mm256_storeu_ps(sums + r * width + 8, high[r]);
    }
}

void multiply(const omni::conv_product & p) {
    static constexpr tile_function tiles[max_rows] = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};
    multiply_rows<max_rows>(p, tiles);
}

} // namespace

namespace omni {

static const conv_kernels kernels = {"avx2", false, width, 0, nullptr, nullptr, multiply, pack<f32_cells>, finish<width>, snake_row, &narrow};
const conv_kernels * const conv_avx2 = &kernels;

} // namespace omni
#else
const omni::conv_kernels * const omni::conv_avx2 = nullptr;
#endif
