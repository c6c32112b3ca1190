#include "blocks/snake.h"

#include "kernels/conv_run.h"

namespace omni {

void snake_row(float * y, const float * x, const float * a, const float * b, int64_t n) { conv_exact()->snake_row(y, x, a, b, n); }

static void snake_rows(ggml_tensor * dst, const ggml_tensor * x, const ggml_tensor * a, const ggml_tensor * b, int ith, int nth, void *) {
    const int64_t n = x->ne[0], n_rows = x->ne[1];
    for (int64_t t = n_rows * ith / nth; t < n_rows * (ith + 1) / nth; t++) {
        snake_row(static_cast<float *>(dst->data) + t * n, static_cast<const float *>(x->data) + t * n,
                  static_cast<const float *>(a->data), static_cast<const float *>(b->data), n);
    }
}

snake::snake(const loader & l, int64_t n_channels) : a(l.f32("a", {n_channels})), b(l.f32("b", {n_channels})) {}

ggml_tensor * snake::build(graph & g, ggml_tensor * x) const {
    if (g.cpu) {  // there ggml's SIN and SQR run on one thread, a number at a time
        return ggml_map_custom3(g.ctx, x, a, b, snake_rows, GGML_N_TASKS_MAX, nullptr);
    }
    ggml_tensor * wave = ggml_sqr(g.ctx, ggml_sin(g.ctx, ggml_mul(g.ctx, x, a)));
    return ggml_add(g.ctx, x, ggml_mul(g.ctx, wave, b));
}

} // namespace omni
