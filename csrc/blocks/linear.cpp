#include "blocks/linear.h"

namespace omni {

static ggml_tensor * biased(graph & g, ggml_tensor * y, ggml_tensor * b) { return b ? ggml_add(g.ctx, y, b) : y; }

ggml_tensor * linear_rows(graph & g, ggml_tensor * w, ggml_tensor * x, ggml_tensor * b) {
    const int64_t n_rows = x->ne[1];
    g.tap(std::string(w->name) + ".in", x);
    ggml_tensor * rows = ggml_reshape_3d(g.ctx, x, x->ne[0], 1, n_rows);             // [n_in, 1, n_rows]
    ggml_tensor * y    = ggml_mul_mat(g.ctx, w, rows);                               // [n_out, 1, n_rows]
    return biased(g, ggml_reshape_2d(g.ctx, y, y->ne[0], n_rows), b);
}

ggml_tensor * linear(graph & g, ggml_tensor * w, ggml_tensor * x, ggml_tensor * b, int64_t n_lanes) {
    const int64_t n = x->ne[1] / n_lanes;
    if (n <= max_single_rows) {
        return linear_rows(g, w, x, b);
    }
    g.tap(std::string(w->name) + ".in", x);
    ggml_tensor * y = ggml_mul_mat(g.ctx, w, ggml_reshape_3d(g.ctx, x, x->ne[0], n, n_lanes));  // [n_out, n, n_lanes]
    return biased(g, ggml_reshape_2d(g.ctx, y, y->ne[0], n * n_lanes), b);
}

} // namespace omni
