// For one output, as a network ends with: a panel of it alone. Its sum runs over the channels of cells side by side.
#pragma once

#include "kernels/conv_rows.h"
#include "kernels/conv_tiles.h"

namespace {

void multiply_narrow(const omni::conv_product & p) {
    for (int64_t r = 0; r < p.n_rows; r++) {
        cell_walk walk(p, r);
        const float * w = reinterpret_cast<const float *>(p.panel);
        float s[lanes] = {};
        for (int64_t q = p.first; q < p.last; q++, w += lanes) {
            const float * x = reinterpret_cast<const float *>(walk.next());
            for (long i = 0; i < lanes; i++) {
                s[i] += x[i] * w[i];
            }
        }
        for (long half = lanes / 2; half > 0; half /= 2) {
            for (long i = 0; i < half; i++) {
                s[i] += s[i + half];
            }
        }
        p.sums[r] += s[0];
    }
}

void finish_narrow(const omni::conv_finish & f) {
    for (int64_t r = 0; r < f.n_rows; r++) {
        float y = f.sums[r] + (f.bias ? f.bias[0] : 0.0f);
        if (f.snake.a) {
            y += f.snake.b[0] * sin_squared(f.snake.a[0] * y);
        }
        f.out[r * f.row_floats] = f.residual ? y + f.residual[r * f.row_floats] : y;
    }
}

constexpr omni::conv_kernels narrow = {"narrow", false, 1, 0, nullptr, nullptr, multiply_narrow, pack<f32_cells>, finish_narrow,
                                       snake_row, nullptr};

} // namespace
