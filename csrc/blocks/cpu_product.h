// A matrix on the CPU as kernels/matvec multiplies with it, cut into pieces for a team of threads.
#pragma once

#include "core/graph.h"
#include "kernels/matvec.h"

namespace omni {

constexpr int64_t max_piece_rows = 64;

struct cpu_product {
    cpu_product() = default;
    explicit cpu_product(const ggml_tensor * w, bool as_ggml = false);  // of several matrices, the first
    cpu_product at(int64_t i) const;              // another of them

    // Whether there is one for w: for few rows of x, or for any number of them. nullptr needs none. As ggml: with its dot
    // products, so that a row comes out as from its nodes.
    static bool serves(const ggml_tensor * w, bool many);

    // y[i * y_stride + r - r0] of rows r0 to r1 of the matrix and n_x ready rows of x.
    void multiply(int64_t r0, int64_t r1, const char * x, size_t x_stride, int64_t n_x, float * y, int64_t y_stride) const;
    size_t ready_bytes() const { return (kernel.ready_bytes(kernel.type, n_in) + 63) / 64 * 64; }

    matvec       kernel{};
    const char * data   = nullptr;
    size_t       stride = 0, apart = 0;           // bytes from row to row, and from matrix to matrix
    int64_t      n_in = 0, n_out = 0, rows = 0;  // rows of a piece
    int32_t      n_pieces = 0;
};

} // namespace omni
