// What happens to rows on their way into cells and out of sums, without intrinsics: each instruction set compiles it for
// itself. Channels go by sixteen, always, so that a channel's result does not depend on where a row ends.
#pragma once

#include "kernels/conv.h"
#include "kernels/sin_squared.h"

namespace {

constexpr long lanes = 16;

// The last channels of a row, where there are less than sixteen, with zeros behind them.
struct short_row {
    alignas(64) float v[lanes];
    short_row(const float * from, long n) {
        for (long i = 0; i < lanes; i++) {
            v[i] = 0.0f;
        }
        for (long i = 0; from && i < n; i++) {
            v[i] = from[i];
        }
    }
};

inline void snake_lanes(float * y, const float * x, const float * a, const float * b) {
    for (long i = 0; i < lanes; i++) {
        y[i] = x[i] + b[i] * sin_squared(a[i] * x[i]);
    }
}

void snake_row(float * y, const float * x, const float * a, const float * b, int64_t n) {
    int64_t at = 0;
    for (; at + lanes <= n; at += lanes) {
        snake_lanes(y + at, x + at, a + at, b + at);
    }
    if (at < n) {
        const short_row xs(x + at, n - at), as(a + at, n - at), bs(b + at, n - at);
        float ys[lanes];
        snake_lanes(ys, xs.v, as.v, bs.v);
        for (long i = 0; i < n - at; i++) {
            y[at + i] = ys[i];
        }
    }
}

// How sixteen channels become a cell, or half of one.
struct f32_cells {
    static constexpr long per_cell = lanes;
    static void store(char * to, const float * x) { memcpy(to, x, lanes * sizeof(float)); }
};

template <typename Cells> inline void pack_lanes(char * to, const float * x, const float * a, const float * b) {
    alignas(64) float y[lanes];
    if (a) {
        snake_lanes(y, x, a, b);
        x = y;
    }
    Cells::store(to, x);
}

template <typename Cells> void pack(char * cells, int64_t block_bytes, const float * row, int64_t n, omni::conv_snake s) {
    constexpr long per_cell = Cells::per_cell, lane_bytes = omni::conv_cell_bytes / per_cell;
    for (int64_t at = 0; at < n; at += per_cell, cells += block_bytes) {
        for (long part = 0; part < per_cell; part += lanes) {
            const int64_t from = at + part;
            if (from + lanes <= n) {
                pack_lanes<Cells>(cells + part * lane_bytes, row + from, s.a ? s.a + from : nullptr, s.a ? s.b + from : nullptr);
            } else {
                const int64_t left = n > from ? n - from : 0;
                const short_row x(row + from, left), a(s.a ? s.a + from : nullptr, left), b(s.a ? s.b + from : nullptr, left);
                pack_lanes<Cells>(cells + part * lane_bytes, x.v, s.a ? a.v : nullptr, b.v);
            }
        }
    }
}

inline void finish_lanes(float * y, const float * sums, const float * bias, const float * a, const float * b, const float * residual) {
    float v[lanes];
    for (long i = 0; i < lanes; i++) {
        v[i] = sums[i] + bias[i];
    }
    if (a) {
        snake_lanes(v, v, a, b);
    }
    if (residual) {
        for (long i = 0; i < lanes; i++) {
            v[i] += residual[i];
        }
    }
    for (long i = 0; i < lanes; i++) {
        y[i] = v[i];
    }
}

template <long width> void finish(const omni::conv_finish & f) {
    for (long at = 0; at < width && at < f.n_outs; at += lanes) {
        const int64_t left = f.n_outs - at;
        const short_row bias(f.bias ? f.bias + at : nullptr, left < lanes ? left : lanes);
        const short_row a(f.snake.a ? f.snake.a + at : nullptr, left < lanes ? left : lanes);
        const short_row b(f.snake.a ? f.snake.b + at : nullptr, left < lanes ? left : lanes);
        const float * snake = f.snake.a ? a.v : nullptr;
        for (int64_t r = 0; r < f.n_rows; r++) {
            const float * sums = f.sums + r * width + at;
            const float * residual = f.residual ? f.residual + r * f.row_floats + at : nullptr;
            float * out = f.out + r * f.row_floats + at;
            if (left >= lanes) {
                finish_lanes(out, sums, bias.v, snake, b.v, residual);
            } else {
                const short_row more(residual, left);
                float y[lanes];
                finish_lanes(y, sums, bias.v, snake, b.v, residual ? more.v : nullptr);
                for (long i = 0; i < left; i++) {
                    out[i] = y[i];
                }
            }
        }
    }
}

} // namespace
