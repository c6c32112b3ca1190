// For any CPU: loops that a compiler makes vectors of where its baseline has them.
#include "kernels/conv_narrow.h"

namespace {

constexpr long width = 16, max_rows = 4, part = 4;  // a panel's outputs in parts: few enough sums for 16 registers

template <long n> void tile(const omni::conv_product & p, int64_t row) {
    for (long at = 0; at < width; at += part) {
        float * sums = p.sums + row * width + at;
        float s[n][part];
        for (long r = 0; r < n; r++) {
            for (long j = 0; j < part; j++) {
                s[r][j] = sums[r * width + j];
            }
        }
        cell_walk walk(p, row);
        const float * w = reinterpret_cast<const float *>(p.panel) + at;
        for (int64_t q = p.first; q < p.last; q++) {
            const float * x = reinterpret_cast<const float *>(walk.next());
            for (long i = 0; i < 16; i++, w += width) {
                for (long r = 0; r < n; r++) {
                    for (long j = 0; j < part; j++) {
                        s[r][j] += x[r * 16 + i] * w[j];
                    }
                }
            }
        }
        for (long r = 0; r < n; r++) {
            for (long j = 0; j < part; j++) {
                sums[r * width + j] = s[r][j];
            }
        }
    }
}

void multiply(const omni::conv_product & p) {
    static constexpr tile_function tiles[max_rows] = {tile<1>, tile<2>, tile<3>, tile<4>};
    multiply_rows<max_rows>(p, tiles);
}

} // namespace

namespace omni {

static const conv_kernels kernels = {"scalar", false, width, 0, nullptr, nullptr, multiply, pack<f32_cells>, finish<width>, snake_row, &narrow};
const conv_kernels * const conv_scalar = &kernels;

} // namespace omni
