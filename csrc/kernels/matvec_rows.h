// The loop around few-row products with floats, without intrinsics.
#pragma once

#include <cstddef>
#include <cstdint>

namespace {

// All rows of the matrix times as many rows of x as it is made for.
using rows_fn = void (*)(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, float * y,
                         int64_t y_stride);

// N rows of x at a time, then those that are left; by_n[n - 1] works on n of them.
template <int N>
inline void in_groups(const rows_fn (&by_n)[N], const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x,
                      size_t x_stride, int64_t n_x, float * y, int64_t y_stride) {
    for (int64_t i = 0; i < n_x; i += N) {
        const int64_t n = n_x - i < N ? n_x - i : N;
        by_n[n - 1](w, w_stride, n_rows, n_in, x + size_t(i) * x_stride, x_stride, y + i * y_stride, y_stride);
    }
}

} // namespace
