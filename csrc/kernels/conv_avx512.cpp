#include "kernels/conv.h"

#if defined(__AVX512F__)
#include "kernels/conv_narrow.h"

#include <immintrin.h>

namespace {

constexpr long width = 32, max_rows = 14;  // 28 sums, two vectors of the panel and a channel: 31 registers of 32

template <long n> void tile(const omni::conv_product & p, int64_t row) {
    float * sums = p.sums + row * width;
    __m512 low[n], high[n];
#pragma GCC unroll 16
    for (long r = 0; r < n; r++) {
        low[r]  = _mm512_loadu_ps(sums + r * width);
        high[r] = _mm512_loadu_ps(sums + r * width + 16);
    }
    cell_walk walk(p, row);
    const float * w = reinterpret_cast<const float *>(p.panel);
    prefetch_walk ahead(p, row, width);
    for (int64_t q = p.first; q < p.last; q++) {
        const float * x = reinterpret_cast<const float *>(walk.next());
#pragma GCC unroll 4
        for (long i = 0; i < 16; i++, w += width, ahead.step()) {
            _mm_prefetch(ahead.at, _MM_HINT_T1);
            _mm_prefetch(ahead.at + 64, _MM_HINT_T1);
            const __m512 w_low = _mm512_loadu_ps(w), w_high = _mm512_loadu_ps(w + 16);
#pragma GCC unroll 16
            for (long r = 0; r < n; r++) {
                const __m512 xi = _mm512_set1_ps(x[r * 16 + i]);
                low[r]  = _mm512_fmadd_ps(xi, w_low, low[r]);
                high[r] = _mm512_fmadd_ps(xi, w_high, high[r]);
            }
        }
    }
#pragma GCC unroll 16
    for (long r = 0; r < n; r++) {
        _mm512_storeu_ps(sums + r * width, low[r]);
        _mm512_storeu_ps(sums + r * width + 16, high[r]);
    }
}

void multiply(const omni::conv_product & p) {
    static constexpr tile_function tiles[max_rows] = {tile<1>, tile<2>, tile<3>,  tile<4>,  tile<5>,  tile<6>,  tile<7>,
                                                      tile<8>, tile<9>, tile<10>, tile<11>, tile<12>, tile<13>, tile<14>};
    multiply_rows<max_rows>(p, tiles);
}

} // namespace

namespace omni {

static const conv_kernels kernels = {"avx512", false, width, 0, nullptr, nullptr, multiply, pack<f32_cells>, finish<width>, snake_row, &narrow};
const conv_kernels * const conv_avx512 = &kernels;

} // namespace omni
#else
const omni::conv_kernels * const omni::conv_avx512 = nullptr;
#endif
