#include "kernels/conv.h"

#if defined(__AVX512BF16__)
#include "kernels/conv_bf16.h"
#include "kernels/conv_narrow.h"

#include <immintrin.h>

namespace {

constexpr long width = 32, max_rows = 14;

template <long n> void tile(const omni::conv_product & p, int64_t row) {
    float * sums = p.sums + row * width;
    __m512 low[n], high[n];
#pragma GCC unroll 16
    for (long r = 0; r < n; r++) {
        low[r]  = _mm512_loadu_ps(sums + r * width);
        high[r] = _mm512_loadu_ps(sums + r * width + 16);
    }
    cell_walk walk(p, row);
    const char * w = p.panel;
    prefetch_walk ahead(p, row, width);
    for (int64_t q = p.first; q < p.last; q++) {
        const int * x = reinterpret_cast<const int *>(walk.next());  // a pair of channels each
#pragma GCC unroll 4
        for (long i = 0; i < 16; i++, w += 4 * width, ahead.step()) {
            _mm_prefetch(ahead.at, _MM_HINT_T1);
            _mm_prefetch(ahead.at + 64, _MM_HINT_T1);
            const __m512bh w_low = (__m512bh) _mm512_loadu_si512(w), w_high = (__m512bh) _mm512_loadu_si512(w + 64);
#pragma GCC unroll 16
            for (long r = 0; r < n; r++) {
                const __m512bh xi = (__m512bh) _mm512_set1_epi32(x[r * 16 + i]);
                low[r]  = _mm512_dpbf16_ps(low[r], xi, w_low);
                high[r] = _mm512_dpbf16_ps(high[r], xi, w_high);
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

static const conv_kernels kernels = {"avx512_bf16", true, width, 0, nullptr, nullptr, multiply, pack<bf16_cells>, finish<width>, snake_row, &narrow};
const conv_kernels * const conv_avx512_bf16 = &kernels;

} // namespace omni
#else
const omni::conv_kernels * const omni::conv_avx512_bf16 = nullptr;
#endif
