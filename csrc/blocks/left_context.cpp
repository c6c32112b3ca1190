#include "blocks/left_context.h"

#include "blocks/snake.h"

#include <algorithm>
#include <cstring>

namespace omni {

ggml_tensor * join(graph & g, ggml_tensor * a, ggml_tensor * b) {
    const int64_t n = a->ne[0];  // as [n, 1, T]: ggml's CPU spreads the third axis over its threads, and no other
    ggml_tensor * both = ggml_concat(g.ctx, ggml_reshape_3d(g.ctx, a, n, 1, a->ne[1]), ggml_reshape_3d(g.ctx, b, n, 1, b->ne[1]), 2);
    return ggml_reshape_2d(g.ctx, both, n, both->ne[2]);
}

ggml_tensor * steps(graph & g, ggml_tensor * x, int64_t at, int64_t n) {
    return ggml_view_2d(g.ctx, x, x->ne[0], n, x->nb[1], size_t(at) * x->nb[1]);
}

// dst is the state; sources: it, x, and a snake's a and b. A thread has some of the channels.
static void shift(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * x = dst->src[1];
    const int64_t n = dst->ne[0], n_kept = dst->ne[1], n_new = x->ne[1], piece = 16;
    const int64_t n_pieces = (n + piece - 1) / piece;
    const int64_t first = n_pieces * ith / nth * piece, last = std::min(n, n_pieces * (ith + 1) / nth * piece);
    if (first >= last) {
        return;
    }
    float * state = static_cast<float *>(dst->data) + first;
    const float * rows = static_cast<const float *>(x->data) + first;
    for (int64_t t = 0; t < n_kept; t++) {
        const int64_t from = t + n_new - n_kept;  // of x; before it, of the state
        if (from < 0) {
            std::memcpy(state + t * n, state + (t + n_new) * n, size_t(last - first) * sizeof(float));
        } else if (dst->src[2]) {
            snake_row(state + t * n, rows + from * n, static_cast<const float *>(dst->src[2]->data) + first,
                      static_cast<const float *>(dst->src[3]->data) + first, last - first);
        } else {
            std::memcpy(state + t * n, rows + from * n, size_t(last - first) * sizeof(float));
        }
    }
}

void keep_newest(graph & g, ggml_tensor * state, ggml_tensor * x, const snake * s) {
    ggml_tensor * sources[] = {x, s ? s->a : nullptr, s ? s->b : nullptr};
    g.after(ggml_custom_inplace(g.ctx, state, sources, s ? 3 : 1, shift, GGML_N_TASKS_MAX, nullptr));
}

left_context::left_context(const loader & l, int64_t n_channels, int64_t n_steps)
    : n_steps(n_steps), state(n_steps ? l.state_zeros({n_channels, n_steps}) : -1) {}

ggml_tensor * left_context::extend(graph & g, ggml_tensor * x) const {
    if (n_steps == 0) {
        return x;
    }
    ggml_tensor * seen = join(g, g.state(state), x);
    g.store(state, steps(g, seen, x->ne[1], n_steps));
    return seen;
}

} // namespace omni
