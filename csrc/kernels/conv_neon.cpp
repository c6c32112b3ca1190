#include "kernels/conv.h"

#if defined(__aarch64__) && defined(__ARM_NEON)
#include "kernels/conv_narrow.h"

#include <arm_neon.h>

namespace {

constexpr long width = 16, max_rows = 5;  // 20 sums, four vectors of the panel, four channels of each row: 29 registers of 32

// Channel LANE of the four that are at hand of each row.
template <int LANE, long n> inline void channel(const float * w, const float32x4_t (&x)[n], float32x4_t (&sums)[n][4]) {
    const float32x4_t ws[4] = {vld1q_f32(w), vld1q_f32(w + 4), vld1q_f32(w + 8), vld1q_f32(w + 12)};
#pragma GCC unroll 8
    for (long r = 0; r < n; r++) {
#pragma GCC unroll 4
        for (long j = 0; j < 4; j++) {
            sums[r][j] = vfmaq_laneq_f32(sums[r][j], ws[j], x[r], LANE);
        }
    }
}

template <long n> void tile(const omni::conv_product & p, int64_t row) {
    float * sums = p.sums + row * width;
    float32x4_t s[n][4];
#pragma GCC unroll 8
    for (long r = 0; r < n; r++) {
#pragma GCC unroll 4
        for (long j = 0; j < 4; j++) {
            s[r][j] = vld1q_f32(sums + r * width + 4 * j);
        }
    }
    cell_walk walk(p, row);
    const float * w = reinterpret_cast<const float *>(p.panel);
    for (int64_t q = p.first; q < p.last; q++) {
        const float * cell = reinterpret_cast<const float *>(walk.next());
        for (long i = 0; i < 16; i += 4, w += 4 * width) {
            float32x4_t x[n];
#pragma GCC unroll 8
            for (long r = 0; r < n; r++) {
                x[r] = vld1q_f32(cell + r * 16 + i);
            }
            channel<0>(w, x, s);
            channel<1>(w + width, x, s);
            channel<2>(w + 2 * width, x, s);
            channel<3>(w + 3 * width, x, s);
        }
    }
#pragma GCC unroll 8
    for (long r = 0; r < n; r++) {
#pragma GCC unroll 4
        for (long j = 0; j < 4; j++) {
            vst1q_f32(sums + r * width + 4 * j, s[r][j]);
        }
    }
}

void multiply(const omni::conv_product & p) {
    static constexpr tile_function tiles[max_rows] = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>};
    multiply_rows<max_rows>(p, tiles);
}

} // namespace

namespace omni {

static const conv_kernels kernels = {"neon", false, width, 0, nullptr, nullptr, multiply, pack<f32_cells>, finish<width>, snake_row, &narrow};
const conv_kernels * const conv_neon = &kernels;

} // namespace omni
#else
const omni::conv_kernels * const omni::conv_neon = nullptr;
#endif
